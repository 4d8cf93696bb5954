"""What a person sees while a pipeline runs: a live table on a terminal, a line a change elsewhere."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console
from rich.control import strip_control_codes
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from pipeyard.runs.record import Run, State, Task

STYLES = {
    State.PENDING: "dim",
    State.RUNNING: "cyan",
    State.SUCCEEDED: "green",
    State.CACHED: "blue",
    State.SKIPPED: "yellow",
    State.FAILED: "bold red",
    State.CANCELED: "magenta",
    State.INTERRUPTED: "magenta",
}


class Display(Protocol):
    """Shows a run's progress."""

    def __enter__(self) -> "Display": ...
    def __exit__(self, *error: object) -> None: ...

    def task(self, run: Run, task: Task, /) -> None:
        """Hears that a task changed."""

    def note(self, text: str) -> None:
        """Shows a remark."""


class Lines:
    """One plain line a change of state; for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, State] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def task(self, _run: Run, task: Task) -> None:
        with self._lock:
            if task.state == State.PENDING or self._shown.get(task.path) == task.state:
                return
            self._shown[task.path] = task.state
        self.note(_line(task))

    def note(self, text: str) -> None:
        if not self._console.quiet:  # rich takes longer to print a line than everything else that is recorded of a task
            print(strip_control_codes(text), file=self._console.file, flush=True)


class LiveTable:
    """A table of all tasks that keeps itself current; for terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._run: Run | None = None
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=False)

    def __enter__(self) -> "LiveTable":
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def task(self, run: Run, _task: Task) -> None:
        self._run = run

    def note(self, text: str) -> None:
        self._live.console.print(escape(text))

    def _render(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for header in ("", "step", "state", "time", ""):
            table.add_column(header, no_wrap=header != "", overflow="ellipsis")
        for task in list(self._run.tasks) if self._run else []:
            style = STYLES[task.state]
            mark = "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}" if task.state == State.RUNNING else " "
            table.add_row(
                mark, escape(task.name), f"[{style}]{task.state}[/]", _clock(task), escape(_first_line(task.reason))
            )
        return table


def choose(console: Console) -> Display:
    """Returns the display that fits where `console` goes."""
    return LiveTable(console) if console.is_terminal and not console.quiet else Lines(console)


def _line(task: Task) -> str:
    time = f" {task.seconds:.1f} s" if task.state.ended and task.started_at else ""
    source = f" (from {task.cached_from})" if task.cached_from else ""
    reason = f": {_first_line(task.reason)}" if task.reason else ""
    return f"{task.state:<10} {task.name}{time}{source}{reason}"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _clock(task: Task, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> str:
    if not task.started_at:
        return ""
    seconds = task.seconds if task.ended_at else (now() - task.started_at).total_seconds()
    return f"{seconds:.1f} s"
