"""Environments that several make at once."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeyard.repository import venvs
from pipeyard.repository.project import Project

ROOT = Path(__file__).parents[3]
# uv as far as build/sync-env needs it. It tells when it begins to install, waits to be told to go on, and fails if
# another installs at the same time.
_UV = """\
#!/bin/sh
case "$1 $2" in
"venv "*) mkdir -p .venv/bin; ln -sf /bin/true .venv/bin/python ;;
"pip sync")
    mkdir busy || exit 7
    echo installing >>installs
    [ ! -p begun ] || echo >begun
    [ ! -p go ] || read -r _ <go
    rmdir busy ;;
esac
"""
_SYNC = """
import sys
from pathlib import Path
from pipeyard.repository import venvs
from pipeyard.repository.project import Project
project = Project(Path(sys.argv[1]))
venvs.sync(project, project.components["one"].folder)
"""


@pytest.fixture(name="project")
def fixture_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    folder = tmp_path / "components/one"
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to("/bin/true")
    for name in ("component.yaml", "pyproject.toml", "uv.lock"):
        (folder / name).touch()
    (tmp_path / "build").mkdir()
    shutil.copy(ROOT / "build/sync-env", tmp_path / "build")
    (tmp_path / "uv").write_text(_UV)
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setenv("UV", str(tmp_path / "uv"))
    return Project(tmp_path)


def test_of_several_at_once_one_makes_an_environment_and_the_others_wait(project: Project) -> None:
    barrier, made, failed = threading.Barrier(4), [], []

    def work() -> None:
        barrier.wait()
        try:
            made.append(venvs.sync(project, project.components["one"].folder))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sorted(made) == [False, False, False, True]
    assert (project.components["one"].folder / "installs").read_text() == "installing\n"


def test_what_a_killed_one_has_begun_is_waited_for(project: Project) -> None:
    folder = project.components["one"].folder
    os.mkfifo(folder / "begun")
    os.mkfifo(folder / "go")
    with subprocess.Popen([sys.executable, "-c", _SYNC, project.root]) as killed:
        (folder / "begun").read_text()  # waits until it installs
        killed.send_signal(signal.SIGKILL)
    with (folder / ".venv.lock").open() as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (folder / "begun").unlink()
        (folder / "go").write_text("\n")
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits until that has ended
    assert venvs.is_current(folder)
    assert not venvs.sync(project, folder)


def test_a_step_keeps_bytecode_and_its_own_python_whatever_the_machine_says(project: Project) -> None:
    machine = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHOME": "/elsewhere", "PATH": "/bin", "LANG": "C"}
    given = venvs.variables(project.components["one"], machine)
    assert not given.keys() & {"PYTHONDONTWRITEBYTECODE", "PYTHONHOME"}
    assert given["LANG"] == "C"
