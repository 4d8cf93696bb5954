"""What is written aside: whole or not at all, and nothing of a killed writer's for ever."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeyard.system import files

# Writers that are killed, or wait, in the middle.
_WRITES = """
import os, signal, sys
from pathlib import Path
from pipeyard.system import files
with files.{what}(Path(sys.argv[1])) as aside:
    print("writes", flush=True)
    {then}
"""


@pytest.mark.parametrize("what", ["aside_file", "folder_whole"])
def test_only_what_a_killed_writer_left_aside_is_swept_away(tmp_path: Path, what: str) -> None:
    target, unrelated = tmp_path / "target", tmp_path / ".hidden"
    unrelated.touch()
    killed = _WRITES.format(what=what, then="os.kill(os.getpid(), signal.SIGKILL)")
    subprocess.run([sys.executable, "-c", killed, target], stdout=subprocess.DEVNULL, check=False)
    (left,) = tmp_path.glob(".target.*.partial")
    waits = [sys.executable, "-c", _WRITES.format(what=what, then="sys.stdin.read()"), target]
    with subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdin
        writer.stdout.readline()
        files.sweep(tmp_path)
        (writes,) = tmp_path.glob(".target.*.partial")
        assert writes != left
        writer.stdin.close()
    assert writer.returncode == 0
    assert not list(tmp_path.glob(".*.partial"))
    assert target.is_dir() == (what == "folder_whole")
    assert unrelated.exists()


def test_a_writer_that_was_swept_away_before_it_held_its_file_writes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch, swept = Path.touch, []

    def swept_away(path: Path, **options: bool) -> None:
        touch(path, **options)
        if not swept:
            swept.append(path)
            files.sweep(path.parent)

    monkeypatch.setattr(Path, "touch", swept_away)
    files.write_whole(tmp_path / "said", "done")
    assert swept and [path.name for path in tmp_path.iterdir()] == ["said"]
    assert (tmp_path / "said").read_text() == "done"


def test_a_writer_that_fails_leaves_nothing_and_tells_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/inside").touch()
    with pytest.raises(IsADirectoryError):
        files.write_whole(tmp_path / "folder", "text")
    with pytest.raises(FileNotFoundError), files.aside_file(tmp_path / "said") as aside:
        aside.with_name("absent").unlink()
    with pytest.raises(files.TakenError), files.folder_whole(tmp_path / "folder"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
