"""The record of a run that works here, kept on disk and shown, from several threads."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError, disk_problem
from pipeyard.local.display import Display
from pipeyard.runs.record import Run, State, Task
from pipeyard.runs.record_keeper import RecordKeeper


class UnwritableError(Exception):
    """A run's record can't be written, so that the run ends. No error of one step: none of them is to go on."""


class RunTracker:
    """See `steps.Tracker`.

    Args:
        started: as it is in the folder's `run.json`.
        before: as the run was when it was resumed.
        stop: is set when the record can't be written.
    """

    def __init__(self, started: Run, folder: Path, before: Run | None, display: Display, stop: threading.Event) -> None:
        self._keeper = RecordKeeper(started, folder)
        self._before = {task.path: task for task in before.tasks} if before else {}
        self._touched: set[str] = set()
        self._display = display
        self._stop = stop
        self._lock = threading.Lock()

    @property
    def run(self) -> Run:
        """The record as it is now."""
        return self._keeper.run

    def update(self, path: str, **changes: Any) -> Task:
        """See `steps.Tracker`.

        Raises:
            UnwritableError: it can't be recorded.
        """
        with self._lock:
            self._touched.add(path)
            try:
                task = self._change(path, changes)
            except OSError as error:
                raise self._unwritable(path, error) from error
        self._display.task(self.run, task)
        return task

    def note(self, text: str) -> None:
        """See `steps.Tracker`."""
        self._display.note(text)

    def earlier(self, path: str) -> Task | None:
        """See `steps.Tracker`."""
        return self._before.get(path)

    def broke(self, error: BaseException) -> None:
        """Records the end by an error, if a record can be written at all."""
        text = str(error) if isinstance(error, (PipeyardError, UnwritableError)) else f"{type(error).__name__}: {error}"
        with suppress(OSError):  # whoever reads it finds that nothing is at it any more
            self.end(State.FAILED, text)

    def end(self, state: State, error: str) -> None:
        """Records the end.

        Raises:
            OSError: it can't be recorded.
        """
        with self._lock:
            now = datetime.now(UTC)
            for task in self.run.tasks:
                if task.state == State.RUNNING:  # an error came between
                    self._keeper.assume(
                        task.path, {"state": State.CANCELED, "reason": "the run ended by an error", "ended_at": now}
                    )
            if state == State.SUCCEEDED:  # of a pipeline that was changed since, tasks are left over
                self.run.tasks[:] = [task for task in self.run.tasks if task.path in self._touched]
            self._keeper.end(state, error, now)

    def _change(self, path: str, changes: Mapping[str, Any]) -> Task:
        known = self._keeper.find(path)
        if known:
            return self._keeper.change(path, changes) if changes else known
        before = self._before.get(path)
        attempts = before.attempts if before else []
        task = Task(**{"path": path, "name": path.rpartition("/")[2], "component": "", "attempts": attempts, **changes})
        self._keeper.add(task)
        return task

    def _unwritable(self, path: str, error: OSError) -> UnwritableError:
        """Ends the task, whose record may have been made in memory, and with it the run."""
        self._stop.set()
        problem = disk_problem(error)
        task = self._keeper.find(path)
        if task and not task.state.ended:
            ended = {"state": State.FAILED, "reason": problem, "ended_at": datetime.now(UTC)}
            self._keeper.assume(path, ended)
        return UnwritableError(f"{path}: {problem}")


def kept(before: Run | None) -> list[Task]:
    """Returns what a run begins with that is resumed: what has been done, so that stopping again doesn't lose it."""
    return [task for task in before.tasks if task.state.has_outputs] if before else []
