"""A disk that fills up, or that becomes read-only, at each write of a run in turn."""

import errno
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from kfp import dsl
from support.tiny_components import Result, component

from pipeyard.errors import PipeyardError
from pipeyard.local import runner
from pipeyard.local.launcher import Launch
from pipeyard.runs import record, results
from pipeyard.runs.record import State
from pipeyard.system.process import Ended

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
NEEDS_ROOM, CHANGES = {"write", "open", "os.mkdir"}, {"os.rename", "os.remove", "os.rmdir"}
# More writes than the run has.
MOST = 200


class Disk:
    """Fails from the n-th write on: a full one until what was reserved is removed, others until `mend`, or once."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.left = MOST
        self.error = 0
        self.once = False
        self.on = False
        self.failed = False

    def breaks(self, number: int, error: int, once: bool) -> None:
        self.left, self.error, self.once, self.on, self.failed = number, error, once, True, False

    def mend(self) -> None:
        self.on = False

    @contextmanager
    def of_others(self) -> Iterator[None]:
        """What steps write isn't the runner's."""
        on, self.on = self.on, False
        yield
        self.on = on

    def touch(self, kind: str, path: str) -> None:
        if not self.on or not path.startswith(self.root):
            return
        if self.failed and self.error == errno.ENOSPC and kind == "os.remove" and path.endswith(record.RESERVE):
            self.on = False  # there is room again
            return
        if kind in NEEDS_ROOM or (self.error == errno.EROFS and kind in CHANGES):
            self.left -= 1
            if self.left < 0:
                self.failed, self.on = True, not self.once
                raise OSError(self.error, os.strerror(self.error), path if kind != "write" else None)


_disks: list[Disk] = []


def _audit(event: str, arguments: tuple) -> None:
    for disk in _disks:
        if event in CHANGES | {"os.mkdir"}:
            disk.touch(event, os.fspath(arguments[0]))
        elif event == "open" and isinstance(arguments[0], (str, Path)) and arguments[2] & WRITES:
            disk.touch("open", os.fspath(arguments[0]))


sys.addaudithook(_audit)  # for good; it does nothing without a disk


@pytest.fixture
def disk(tmp_path, monkeypatch):
    found = Disk(tmp_path / "runs")
    _disks.append(found)
    write = os.write

    def failing(descriptor: int, content: bytes) -> int:
        found.touch("write", str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", failing)
    yield found
    _disks.clear()


class NoProcess:
    """A launcher whose steps are done at once, and write what they are to, outside of the run too."""

    versions: Mapping[str, str] = {}

    def __init__(self, disk: Disk, registry: Path) -> None:
        self._disk = disk
        self._registry = registry

    def run(self, launch: Launch, canceled, timeout_seconds, started) -> Ended:
        with self._disk.of_others():
            launch.log.write_text("done")
            (launch.outputs / "data").write_text("data")
            if launch.component == "tests/push":
                self._registry.write_text("pushed")
        return Ended(0)

    def kill_all(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def go(run, disk, tmp_path):
    registry = tmp_path / "registry"
    registry.write_text("empty")
    first = component("first", {}, {"data": "Dataset"}, "")
    push = component("push", {"data": "Dataset", "registry": "String"}, {"data": "Dataset"}, "", image="tests/push")

    @dsl.pipeline(name="p")
    def pipeline():
        push(data=first().outputs["data"], registry=str(registry))

    outside = {
        "tests/push": {
            "component": "tests/push",
            "external_state": ["{registry}"],
            "external_writes": ["{registry}"],
        }
    }

    def go(resumed: Path | None = None) -> Result:
        made = NoProcess(disk, registry)
        options = runner.Options(max_parallel=1)
        return run(pipeline, options=options, outside=outside, resumed=resumed, launchers=lambda *_: made)

    return go


def begun(root: Path) -> list[Path]:
    return [path.parent for path in root.glob(f"[!.]*/{record.FILE}")]


@pytest.mark.parametrize(
    ("error", "once", "expected"),
    [
        (errno.ENOSPC, False, {"nothing", "run"}),  # a task's failure can't be recorded either
        (errno.ENOSPC, True, {"nothing", "run", "task", "unharmed"}),
        (errno.EROFS, False, {"nothing", "run", "unharmed"}),  # what isn't needed any more isn't removed
        (errno.EROFS, True, {"nothing", "run", "task", "unharmed"}),
    ],
    ids=["full", "full for a moment", "read-only", "read-only for a moment"],
)
def test_whichever_write_fails_the_run_says_so_and_ends_and_goes_on_later(go, disk, tmp_path, error, once, expected):
    root = tmp_path / "runs"
    remedy = {errno.ENOSPC: "Make room there.", errno.EROFS: "Make it writable."}[error]
    root.mkdir()
    outcomes = []
    for number in range(MOST):
        shutil.rmtree(root / ".cache", ignore_errors=True)
        before = begun(root)
        disk.breaks(number, error, once)
        try:
            result, told = go(), ""
        except PipeyardError as refused:
            result, told = None, str(refused)
        if not disk.failed:
            break
        disk.mend()
        new = [folder for folder in begun(root) if folder not in before]
        folder = new[0] if new else None
        if result and result.run.state == State.SUCCEEDED:
            outcomes.append("unharmed")
            assert record.load(folder) == result.run, number
            continue
        if result:
            (failed,) = (task for task in result.run.tasks if task.state == State.FAILED)
            outcomes.append("task")
            assert (result.run.state, result.folder) == (State.FAILED, folder), number
            told = failed.reason
        elif folder:
            outcomes.append("run")
            assert told.endswith(f"Then go on: pipeyard run p --resume {folder.name}"), number
        else:
            outcomes.append("nothing")
            assert told.startswith("The run can't begin: ") and told.endswith(" Then: pipeyard run p"), number
        assert f"{root}/" in told and f"{os.strerror(error)}. {remedy}" in told, (number, told)
        if folder:
            state = results.load(folder).state
            assert state == (State.INTERRUPTED if (error, once) == (errno.EROFS, False) else State.FAILED), number
        if error == errno.ENOSPC or once:
            assert not list(root.rglob("*.partial")), number
        again = go(folder)
        assert (again.run.state, record.load(again.folder)) == (State.SUCCEEDED, again.run), number
        assert not list(again.folder.rglob("*.partial")), number
    assert set(outcomes) == expected
    assert number > 15
