"""Processes are found by their environment, those, too, that a first look can't see."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeyard.system import marks

_SLEEPS = ["sleep", "600"]


@pytest.fixture(name="marked")
def fixture_marked(tmp_path: Path) -> Iterator[dict[str, str]]:
    marked = {"PIPEYARD_TEST_MARK": str(tmp_path)}
    yield marked
    for process in marks.find(marked):
        process.kill()


@contextlib.contextmanager
def _sleeping(env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(_SLEEPS, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def test_one_that_was_about_to_run_its_program_is_looked_at_again(marked: dict[str, str]) -> None:
    """Within execve(2) a process has memory, but neither variables nor a place for them; that can't be held up here."""
    with _sleeping(marked) as process:
        looks = []

        def read(pid: int, name: str) -> bytes:
            known = marks.read_proc(pid, name)
            if pid != process.pid or len(looks) == 2:
                return known
            looks.append(name)
            if name == "environ":
                return b""
            before, end, fields = known.rpartition(b")")
            told = fields.split()
            told[47] = b"0"
            return before + end + b" " + b" ".join(told)

        assert marks.kill(marked, read) == 0
        assert process.wait(5) == -9
    assert looks == ["environ", "stat"]


def test_the_child_of_one_that_ends_before_it_is_looked_at_is_found(marked: dict[str, str]) -> None:
    forks = "import subprocess; input(); print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL).pid)"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", forks], env=marked, stdin=pipe, stdout=pipe, text=True) as parent:
        told = []

        def read(pid: int, name: str) -> bytes:
            if pid == parent.pid and not told:
                told.append(parent.communicate("\n")[0])  # listed, it forks and ends
            return marks.read_proc(pid, name)

        assert marks.kill(marked, read) == 0
    assert int(told[0])
    assert not marks.find(marked)


def test_one_without_variables_is_not_waited_for(marked: dict[str, str]) -> None:
    with _sleeping({}) as process:
        looks = []

        def read(pid: int, name: str) -> bytes:
            if pid == process.pid:
                looks.append(name)
            return marks.read_proc(pid, name)

        assert marks.kill(marked, read) == 0
        assert looks == ["environ", "stat"]
        assert process.poll() is None


def test_only_those_that_have_all_of_the_variables_are_found(marked: dict[str, str]) -> None:
    more = {**marked, "PIPEYARD_TEST_TASK": "a"}
    longer = {**marked, "PIPEYARD_TEST_TASK": "ab", "X": f"PIPEYARD_TEST_TASK=a{os.linesep}"}
    with _sleeping(more) as one, _sleeping(longer) as other:
        assert [process.pid for process in marks.find(more)] == [one.pid]
        assert {process.pid for process in marks.find(marked)} == {one.pid, other.pid}
        assert marks.kill(marked) == 0
