"""Keeps the record of a run that works: each change is appended to its events, and `run.json` is written now and then.

What is written is in proportion to what happens: `run.json` is written anew when the events since are as long as it is.
"""

import contextlib
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeyard.runs import record
from pipeyard.runs.journal import Journal
from pipeyard.runs.record import Run, State, Task

# The least of events that `run.json` is written anew for.
FOLDED_BYTES = 64 * 1024


class RecordKeeper:
    """Changes a run's record, in memory and on disk. Not for several threads at once.

    Args:
        run: as it is in `run.json`.
        folder: the run's.
    """

    def __init__(self, run: Run, folder: Path) -> None:
        self.run = run
        self._folder = folder
        self._index = {task.path: position for position, task in enumerate(run.tasks)}
        self._journal = Journal(folder / record.EVENTS)
        self._whole_bytes = 0
        self._since_bytes = 0
        self._unwritten: set[str] = set()

    def find(self, path: str) -> Task | None:
        """Returns a task as it is; None: there is none yet."""
        position = self._index.get(path)
        return None if position is None else self.run.tasks[position]

    def add(self, task: Task) -> None:
        """Adds a task.

        Raises:
            OSError: it can't be written.
        """
        self._index[task.path] = len(self.run.tasks)
        self.run.tasks.append(task)
        self._write(task, None)

    def change(self, path: str, changes: Mapping[str, Any]) -> Task:
        """Changes a task that is there, and returns it.

        Raises:
            OSError: it can't be written.
        """
        task = self.assume(path, changes)
        self._write(task, changes.keys())
        return task

    def assume(self, path: str, changes: Mapping[str, Any]) -> Task:
        """Changes a task as `change` does, in memory alone until something else is written."""
        position = self._index[path]
        self.run.tasks[position] = task = self.run.tasks[position].model_copy(update=changes)
        self._unwritten.add(path)
        return task

    def end(self, state: State, error: str, at: datetime) -> None:
        """Writes how the run ended, in the room that was kept for that, and all else that is known only in memory.

        Raises:
            OSError: it can't be written.
        """
        self.run = self.run.model_copy(update={"state": state, "error": error, "ended_at": at})
        record.release(self._folder)
        try:
            self._fold()
        except OSError:  # the whole record, which may be long, has no room
            for path in self._unwritten:
                self._journal.append(record.task_event(self.run.tasks[self._index[path]], Task.model_fields))
            self._journal.append(record.run_event(self.run))
            return
        finally:
            self._journal.close()
        with contextlib.suppress(OSError):
            (self._folder / record.EVENTS).unlink(missing_ok=True)

    def _write(self, task: Task, changed: Collection[str] | None) -> None:
        self._unwritten.add(task.path)
        self._since_bytes += self._journal.append(record.task_event(task, changed))
        self._unwritten.discard(task.path)
        if self._since_bytes >= max(FOLDED_BYTES, self._whole_bytes):
            self._fold()

    def _fold(self) -> None:
        before, self.run.folded = self.run.folded, self._journal.size
        try:
            self._whole_bytes = self.run.save(self._folder)
        except OSError:
            self.run.folded = before
            raise
        self._since_bytes = 0
