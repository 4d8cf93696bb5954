"""Runs and comparisons as tables for a terminal."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeyard.runs import formats, results
from pipeyard.runs.comparison import Comparison, ComparisonRow
from pipeyard.runs.record import State
from pipeyard.runs.stored_runs import StoredRun
from stepkit import digest

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_MOST_SHOWN = 60  # characters of a value in a table


_COLORS = {
    State.SUCCEEDED: "green",
    State.CACHED: "cyan",
    State.SKIPPED: "dim",
    State.PENDING: "dim",
    State.FAILED: "red",
    State.CANCELED: "yellow",
    State.INTERRUPTED: "yellow",
    State.RUNNING: "blue",
}


def list_table(runs: Sequence[StoredRun]) -> "Table":
    """Returns the runs as a table for a terminal, a line each."""
    table = _table("Run", "Pipeline", "Started", "Took", "State", "Outcome", "Metrics")
    for stored in runs:
        run = stored.run
        shown = ", ".join(f"{metric.name} {formats.number(metric.value)}" for metric in stored.key_metrics[:2])
        table.add_row(
            _text(run.id, "bold", whole=True),
            _text(run.pipeline),
            _text(formats.when(run.started_at)),
            _text(formats.duration(run.seconds) if run.ended_at else formats.DASH),
            _state(run.state),
            _text(_outcome(stored)),
            _text(shown),
        )
    return table


def _outcome(stored: StoredRun) -> str:
    verdict = stored.verdict
    if stored.run.state == State.SUCCEEDED:
        return verdict.text
    return stored.run.error if stored.run.state == State.INTERRUPTED else results.brief(verdict.text, 60)


def show_tables(stored: StoredRun) -> list["RenderableType"]:
    """Returns what there is to say of one run: its outcome, its tasks, its metrics."""
    run = stored.run
    facts = _table("Run", run.id)
    outcome = ": ".join(part for part in (stored.verdict.text, stored.verdict.detail) if part)
    for name, value in [
        ("Outcome", outcome),
        ("Pipeline", run.pipeline),
        ("Started", formats.when(run.started_at)),
        ("Took", formats.duration(run.seconds) if run.ended_at else formats.DASH),
        ("Commit", run.commit or formats.DASH),
        ("Folder", str(stored.folder)),
        *([("Process", str(stored.pid))] if stored.pid else []),
    ]:
        facts.add_row(_text(name), _text(value))

    labels = results.labels(run)
    tasks = _table("Step", "State", "Took", "Why")
    for task in run.tasks:
        took = formats.duration(task.seconds) if task.started_at and task.ended_at else formats.DASH
        why = results.why_no_result(run, task).partition(": ")[2] or results.brief(task.reason)
        tasks.add_row(_text(labels[task.path]), _state(task.state), _text(took), _text(why))

    parts: list[RenderableType] = [facts, tasks]
    if stored.metrics:
        metrics = _table("Metric", "Value")
        for name, measured in stored.metrics.items():
            metrics.add_row(_text(name), _text(formats.number(measured)))
        parts.append(metrics)
    return parts


def compare_tables(comparison: Comparison) -> list["RenderableType"]:
    """Returns a comparison as tables for a terminal; metrics have their difference from the first run's."""
    ids = [stored.run.id for stored in comparison.runs]
    facts = _table("", *ids)
    for row in comparison.facts:
        if not row.equal or row.name in ("pipeline", "state", "outcome"):
            facts.add_row(_text(row.name), *(_text(_shortened(value)) for value in row.values))
    parts: list[RenderableType] = [facts]

    if comparison.parameters:
        parameters = _table("Parameter that differs", *ids)
        for row in comparison.parameters:
            parameters.add_row(_text(row.name), *(_text(_shortened(value)) for value in row.values))
        parts.append(parameters)
    else:
        parts.append(_text("All parameters are equal."))

    if comparison.metrics:
        metrics = _table("Metric", *ids)
        for row in comparison.metrics:
            metrics.add_row(_text(row.name), *_with_deltas(row, formats.number))
        parts.append(metrics)

    tasks = _table("Step", *ids)
    for states, seconds in zip(comparison.states, comparison.seconds, strict=True):
        cells = []
        for state, took in zip(states.values, seconds.values, strict=True):
            cell = _state(State(state)) if state else _text(formats.DASH)
            cells.append(cell.append(f"  {formats.duration(took)}" if took is not None else "", style="default"))
        tasks.add_row(_text(states.name), *cells)
    parts.append(tasks)

    if comparison.digests:
        artifacts = _table("Artifact", *ids)
        for row in comparison.digests:
            digests = [formats.digest(value) if value else formats.DASH for value in row.values]
            cells = [digests[0], *("equal" if value == row.values[0] else each for value, each in
                                   zip(row.values[1:], digests[1:], strict=True))]  # fmt: skip
            artifacts.add_row(_text(row.name), *(_text(cell, "" if row.equal else "yellow") for cell in cells))
        parts.append(artifacts)
    return parts


def _with_deltas(row: ComparisonRow, written: Callable[[float], str]) -> list[Any]:
    cells = []
    for position, (value, delta) in enumerate(zip(row.values, row.deltas, strict=True)):
        text = _text(formats.DASH if value is None else written(value))
        if position and delta is not None:
            text.append(f"  {delta:+.4g}" if delta else "  equal", style="yellow" if delta else "dim")
        cells.append(text)
    return cells


def _shortened(value: Any) -> str:
    if value is None or value == "":
        return formats.DASH
    text = " ".join(formats.literal(value).split())
    if len(text) <= _MOST_SHOWN:
        return text

    fingerprint = formats.digest(digest.of_text(formats.literal(value)))
    return f"{text[:_MOST_SHOWN]}\N{HORIZONTAL ELLIPSIS} ({len(formats.literal(value)):,} characters, {fingerprint})"


def _state(state: State) -> Any:
    return _text(state.lower(), _COLORS[state])


def _text(text: str, style: str = "", whole: bool = False) -> Any:
    """Returns text that rich shows as it is: brackets in values are no markup."""
    from rich.text import Text

    return Text(text, style=style, no_wrap=whole, overflow="fold")


def _table(*headers: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(_text(header), overflow="fold")
    return table
