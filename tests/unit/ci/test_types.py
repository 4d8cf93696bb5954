"""`build/types`: which environments types are checked in, and what fails it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Stands for mypy: notes how it was called, and finds fault with components that are called `faulty`.
_MYPY = """\
#!/bin/sh
echo "$@" >>calls
case "$*" in *components/faulty*) echo "error: a wrong type"; exit 1 ;; esac
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "build").mkdir()
    shutil.copy(ROOT / "build/types", tmp_path / "build/types")
    (tmp_path / "libs/kit/src").mkdir(parents=True)
    _program(tmp_path / ".venv/bin/mypy", _MYPY)
    return tmp_path


def _program(path: Path, text: str = "#!/bin/sh\n") -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def _component(repository: Path, name: str, environment: bool = True) -> None:
    (repository / "components" / name / "src").mkdir(parents=True)
    if environment:
        _program(repository / "components" / name / ".venv/bin/python")


def _types(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [repository / "build/types", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_each_component_is_checked_in_its_own_environment(repository):
    _component(repository, "extract")
    _component(repository, "train")

    done = _types(repository, "--every")

    assert (done.returncode, done.stderr) == (0, "")
    calls = [call.split() for call in (repository / "calls").read_text(encoding="utf-8").splitlines()]
    assert [(call[call.index("--python-executable") + 1], call[-1]) for call in calls] == [
        (".venv/bin/python", "benchmarks"),
        ("components/extract/.venv/bin/python", "components/extract/src"),
        ("components/train/.venv/bin/python", "components/train/src"),
    ]
    assert "libs/kit/src" in calls[0]
    caches = [call[call.index("--cache-dir") + 1] for call in calls]
    assert len(set(caches)) == len(calls)


def test_a_wrong_type_of_one_component_fails_and_the_others_are_checked_all_the_same(repository):
    for name in ("faulty", "train"):
        _component(repository, name)

    done = _types(repository)

    assert (done.returncode, done.stdout) == (1, "error: a wrong type\n")
    assert "components/train/src" in (repository / "calls").read_text(encoding="utf-8")


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--every",), 1)])
def test_a_component_without_an_environment_is_told_and_fails_only_where_every_one_is_asked_for(
    repository, arguments, code
):
    _component(repository, "train", environment=False)

    done = _types(repository, *arguments)

    assert done.returncode == code
    assert "components/train: its types aren't checked" in done.stderr
    assert "make envs" in done.stderr
