"""When a run's tasks ran, as bars on a common axis."""

from dataclasses import dataclass, field
from datetime import datetime

from pipeyard.runs import formats
from pipeyard.runs.record import Run, State, Task

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_MOST_TICKS = 8


@dataclass(frozen=True)
class Bar:
    """A stretch of time; `left` and `width` are percentages of the axis."""

    left: float
    width: float
    state: State
    title: str


@dataclass(frozen=True)
class TimelineRow:
    """A task and its bars, one an attempt; without bars `label` says why there are none."""

    task: Task
    bars: list[Bar]
    amount: str
    label: str = ""


@dataclass(frozen=True)
class Timeline:
    """Rows in the order of their starts; `ticks` are positions in percent and their labels."""

    rows: list[TimelineRow] = field(default_factory=list)
    ticks: list[tuple[float, str]] = field(default_factory=list)


def timeline(run: Run) -> Timeline:
    """Arranges the tasks of a run; what still runs goes on to the last known moment."""
    moments = [run.started_at, run.ended_at]
    moments += [moment for task in run.tasks for moment in (task.started_at, task.ended_at)]
    end = max((_seconds(run, moment) for moment in moments if moment), default=0.0)
    total = end or 1.0
    starts = [(_seconds(run, task.started_at), task) for task in run.tasks if task.started_at]
    ran = [task for _, task in sorted(starts, key=lambda start: start[0])]
    rows = [_row(run, task, total) for task in [*ran, *(task for task in run.tasks if not task.started_at)]]
    step = next((step for step in _STEPS if total / step <= _MOST_TICKS), total / _MOST_TICKS)
    ticks = [(100 * count * step / total, _tick(count * step)) for count in range(int(total / step) + 1)]
    return Timeline(rows, ticks)


def _row(run: Run, task: Task, total: float) -> TimelineRow:
    if not task.started_at:
        return TimelineRow(task, [], task.state.lower(), "did not run")
    spans = [
        (attempt.started_at, attempt.ended_at, State.FAILED if attempt.exit_code or attempt.error else task.state)
        for attempt in task.attempts
    ]
    bars = []
    for start, end, state in spans or [(task.started_at, task.ended_at, task.state)]:
        left, right = _seconds(run, start), _seconds(run, end) if end else total
        if right >= 0 and left >= 0:
            title = f"{task.path}: {state.lower()}, from {_tick(left)} for {formats.duration(right - left)}"
            bars.append(Bar(min(100 * left / total, 99.6), max(100 * (right - left) / total, 0.4), state, title))
    amount = formats.duration(task.seconds) if task.ended_at else "running"
    return TimelineRow(
        task,
        bars,
        "cached" if task.state is State.CACHED else amount,
        "" if bars else "done before the run was resumed",
    )


def _seconds(run: Run, moment: datetime) -> float:
    return (moment - run.started_at).total_seconds()


def _tick(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    clock = f"{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 3600}:{clock}" if whole >= 3600 else clock.removeprefix("0")
