"""Finds, describes and compares the runs below a folder. Nothing here changes a run."""

import warnings
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.runs import formats, record, results
from pipeyard.runs.record import Run, State
from stepkit import digest

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

LATEST = "latest"
_MOST_SHOWN = 60  # characters of a value in a table
_COLORS = {
    State.SUCCEEDED: "green",
    State.CACHED: "cyan",
    State.SKIPPED: "dim",
    State.PENDING: "dim",
    State.FAILED: "red",
    State.CANCELED: "yellow",
    State.RUNNING: "blue",
}


@dataclass(frozen=True)
class StoredRun:
    """A run's record and the folder that it is in."""

    folder: Path
    run: Run

    @cached_property
    def verdict(self) -> results.Verdict:
        """How it ended."""
        return results.verdict(self.run)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Every number of its Metrics artifacts, by `task.metric`, or `task.group.metric` where metrics are grouped.

        A task that writes several such artifacts has their names in between.
        """
        tables = results.metrics(self.run, self.folder)
        labels = results.labels(self.run)
        found = {}
        for table in tables:
            alone = sum(other.task is table.task for other in tables) == 1
            start = labels[table.task.path] if alone else f"{labels[table.task.path]}.{table.name}"
            for metric, row in table.rows.items():
                for group, value in row.items():
                    if results.is_number(value):
                        found[".".join(part for part in (start, group, metric) if part)] = value
        return found

    @cached_property
    def key_metrics(self) -> list[results.KeyMetric]:
        """The numbers that its report has at the top."""
        return results.key_metrics(results.metrics(self.run, self.folder))

    def as_dict(self) -> dict[str, Any]:
        """Returns a summary for JSON."""
        return {
            "id": self.run.id,
            "pipeline": self.run.pipeline,
            "environment": self.run.environment,
            "state": str(self.run.state),
            "outcome": self.verdict.text,
            "reason": self.verdict.detail,
            "started_at": self.run.started_at.isoformat(),
            "seconds": self.run.seconds,
            "commit": self.run.commit,
            "tasks": {str(state): count for state, count in _states(self.run).items()},
            "metrics": self.metrics,
            "folder": str(self.folder),
        }


@dataclass(frozen=True)
class Row:
    """A line of a comparison: a value a run; None where the run has none."""

    name: str
    values: list[Any]

    @property
    def equal(self) -> bool:
        """True if all runs have the same value."""
        return all(value == self.values[0] for value in self.values[1:])

    @property
    def deltas(self) -> list[float | None]:
        """How far each number is from the first run's; None where either is missing."""
        first = self.values[0]
        return [
            value - first if results.is_number(value) and results.is_number(first) else None for value in self.values
        ]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; the first is what the others are compared with.

    Attributes:
        facts: what the runs are: pipeline, state, outcome, commit, versions, seconds.
        parameters: the pipeline's and the tasks' (`task.parameter`), those that differ.
        metrics: all.
        seconds: per task; None where it didn't run.
        states: per task.
        digests: per artifact, `task.output`.
    """

    runs: list[StoredRun]
    facts: list[Row] = field(default_factory=list)
    parameters: list[Row] = field(default_factory=list)
    metrics: list[Row] = field(default_factory=list)
    seconds: list[Row] = field(default_factory=list)
    states: list[Row] = field(default_factory=list)
    digests: list[Row] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Returns the comparison for JSON; lists are in the order of `runs`."""
        return {
            "runs": [stored.run.id for stored in self.runs],
            "facts": {row.name: row.values for row in self.facts},
            "parameters": {row.name: row.values for row in self.parameters},
            "metrics": {row.name: {"values": row.values, "deltas": row.deltas} for row in self.metrics},
            "tasks": {
                states.name: {"states": states.values, "seconds": seconds.values, "deltas": seconds.deltas}
                for states, seconds in zip(self.states, self.seconds, strict=True)
            },
            "artifacts": {row.name: {"equal": row.equal, "digests": row.values} for row in self.digests},
        }


# -- finding ----------------------------------------------------------------------------------------------------------


def list_runs(root: Path, warn: Callable[[str], object] = warnings.warn) -> list[StoredRun]:
    """Returns the runs whose folders are in `root`, newest first; `root` need not exist.

    Args:
        warn: is told of every record that can't be read; such a run is left out.
    """
    found = []
    for path in sorted(root.glob(f"[!.]*/{record.FILE}")):
        try:
            found.append(load(path.parent))
        except PipeyardError as error:
            warn(f"left out: {error}")
    return sorted(found, key=lambda stored: (stored.run.started_at.timestamp(), stored.run.id), reverse=True)


def load(folder: Path) -> StoredRun:
    """Reads the run in a folder.

    Raises:
        PipeyardError: there is no readable record.
    """
    return StoredRun(folder, results.load(folder))


def find(root: Path, reference: str) -> Path:
    """Returns the folder of one run.

    Args:
        reference: its id, the beginning of its id if no other run's begins so, `latest`, or a pipeline's name for its
            latest run (with - or _, whichever).

    Raises:
        PipeyardError: no run is meant by it, or more than one. Names those that come near.
    """
    if (root / reference / record.FILE).is_file() and Path(reference).name == reference:
        return root / reference
    stored = list_runs(root)
    if not stored:
        raise PipeyardError(f"There are no runs in {root}. Make one: pipeyard run PIPELINE.")
    if reference == LATEST:
        return stored[0].folder
    for each in stored:
        if _plain(each.run.pipeline) == _plain(reference):
            return each.folder
    ids = [each.run.id for each in stored]
    meant = [each for each in stored if reference and each.run.id.startswith(reference)]
    if len(meant) == 1:
        return meant[0].folder
    if meant:
        raise PipeyardError(
            f"{reference!r} is the beginning of {len(meant)} runs' ids. Write more of it: "
            + ", ".join(each.run.id for each in meant[:10])
            + ("..." if len(meant) > 10 else ".")
        )
    pipelines = {each.run.pipeline for each in stored}
    raise PipeyardError(
        f"There is no run {reference!r} in {root}. {near_misses(reference, [LATEST, *pipelines, *ids])}"
    )


def open_report(folder: Path, opener: Callable[[str], bool] = webbrowser.open) -> Path:
    """Opens a run's report in a browser, and writes it first if it isn't there.

    Args:
        opener: is given the page's URL; returns False if it knows no browser.

    Returns:
        Where the page is.

    Raises:
        PipeyardError: no browser could be started, or the folder holds no run.
    """
    from pipeyard.runs import report

    record.load(folder)
    page = folder / "report.html"
    if not page.is_file():
        page = report.render(folder)
    if not opener(page.resolve().as_uri()):
        raise PipeyardError(f"No browser could be started. Open this file in one: {page.resolve()}")
    return page


# -- comparing --------------------------------------------------------------------------------------------------------


def compare(*runs: StoredRun) -> Comparison:
    """Compares runs, usually two; the first is the one that numbers are compared with.

    A run's own id is taken for the same in all parameters, as else steps that are told it would always differ.

    Raises:
        PipeyardError: there are fewer than two.
    """
    if len(runs) < 2:
        raise PipeyardError("A comparison needs two runs or more.")
    tasks = [{results.labels(stored.run)[task.path]: task for task in stored.run.tasks} for stored in runs]
    names = list(dict.fromkeys(name for known in tasks for name in known))
    return Comparison(
        runs=list(runs),
        facts=_rows([_facts(stored) for stored in runs]),
        parameters=_differing_parameters(runs),
        metrics=_rows([stored.metrics for stored in runs]),
        seconds=[
            Row(name, [_rounded_seconds(known[name]) if name in known else None for known in tasks]) for name in names
        ],
        states=[Row(name, [str(known[name].state) if name in known else None for known in tasks]) for name in names],
        digests=_rows([_digests(stored) for stored in runs]),
    )


def _rows(columns: Sequence[dict[str, Any]]) -> list[Row]:
    names = dict.fromkeys(name for column in columns for name in column)
    return [Row(name, [column.get(name) for column in columns]) for name in names]


def _facts(stored: StoredRun) -> dict[str, Any]:
    run = stored.run
    return {
        "pipeline": run.pipeline,
        "state": str(run.state),
        "outcome": stored.verdict.text,
        "reason": stored.verdict.detail,
        "started_at": formats.when(run.started_at),
        "seconds": round(run.seconds, 3),
        "commit": run.commit,
        "pipeline_digest": run.pipeline_digest,
        **run.versions,
    }


def _differing_parameters(runs: Sequence[StoredRun]) -> list[Row]:
    """Returns the pipeline's parameters that differ, and those of tasks that differ among the runs they ran in."""
    of_pipeline = _rows([_without_id(stored.run.parameters, stored.run) for stored in runs])
    of_tasks = _rows([_task_parameters(stored) for stored in runs])
    return [row for row in of_pipeline if not row.equal] + [
        row for row in of_tasks if not Row(row.name, [value for value in row.values if value is not None]).equal
    ]


def _task_parameters(stored: StoredRun) -> dict[str, Any]:
    labels = results.labels(stored.run)
    return {
        f"{labels[task.path]}.{name}": value
        for task in stored.run.tasks
        for name, value in _without_id(task.parameters, stored.run).items()
    }


def _without_id(parameters: dict[str, Any], run: Run) -> dict[str, Any]:
    return {
        name: value.replace(run.id, "(run id)") if isinstance(value, str) else value
        for name, value in parameters.items()
    }


def _digests(stored: StoredRun) -> dict[str, str]:
    labels = results.labels(stored.run)
    return {
        f"{labels[task.path]}.{name}": artifact.digest
        for task in stored.run.tasks
        for name, artifact in task.output_artifacts.items()
    }


def _rounded_seconds(task: record.Task) -> float | None:
    return round(task.seconds, 3) if task.started_at and task.ended_at else None


def _states(run: Run) -> dict[State, int]:
    counts = {state: sum(task.state is state for task in run.tasks) for state in State}
    return {state: count for state, count in counts.items() if count}


def _plain(name: str) -> str:
    return name.replace("_", "-").lower()


# -- showing ----------------------------------------------------------------------------------------------------------


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
            _text(formats.duration(run.seconds) if run.ended_at else formats.NOTHING),
            _state(run.state),
            _text(stored.verdict.text if run.state == State.SUCCEEDED else results.brief(stored.verdict.text, 60)),
            _text(shown),
        )
    return table


def show_tables(stored: StoredRun) -> list["RenderableType"]:
    """Returns what there is to say of one run: its outcome, its tasks, its metrics."""
    run = stored.run
    facts = _table("Run", run.id)
    outcome = ": ".join(part for part in (stored.verdict.text, stored.verdict.detail) if part)
    for name, value in [
        ("Outcome", outcome),
        ("Pipeline", run.pipeline),
        ("Started", formats.when(run.started_at)),
        ("Took", formats.duration(run.seconds) if run.ended_at else formats.NOTHING),
        ("Commit", run.commit or formats.NOTHING),
        ("Folder", str(stored.folder)),
    ]:
        facts.add_row(_text(name), _text(value))

    labels = results.labels(run)
    tasks = _table("Step", "State", "Took", "Why")
    for task in run.tasks:
        took = formats.duration(task.seconds) if task.started_at and task.ended_at else formats.NOTHING
        why = results.why_no_result(run, task).partition(": ")[2] or results.brief(task.reason)
        tasks.add_row(_text(labels[task.path]), _state(task.state), _text(took), _text(why))

    parts: list[RenderableType] = [facts, tasks]
    if stored.metrics:
        metrics = _table("Metric", "Value")
        for name, value in stored.metrics.items():
            metrics.add_row(_text(name), _text(formats.number(value)))
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
            cell = _state(State(state)) if state else _text(formats.NOTHING)
            cells.append(cell.append(f"  {formats.duration(took)}" if took is not None else "", style="default"))
        tasks.add_row(_text(states.name), *cells)
    parts.append(tasks)

    if comparison.digests:
        artifacts = _table("Artifact", *ids)
        for row in comparison.digests:
            digests = [formats.digest(value) if value else formats.NOTHING for value in row.values]
            cells = [digests[0], *("equal" if value == row.values[0] else each for value, each in
                                   zip(row.values[1:], digests[1:], strict=True))]  # fmt: skip
            artifacts.add_row(_text(row.name), *(_text(cell, "" if row.equal else "yellow") for cell in cells))
        parts.append(artifacts)
    return parts


def _with_deltas(row: Row, written: Callable[[float], str]) -> list[Any]:
    cells = []
    for position, (value, delta) in enumerate(zip(row.values, row.deltas, strict=True)):
        text = _text(formats.NOTHING if value is None else written(value))
        if position and delta is not None:
            text.append(f"  {delta:+.4g}" if delta else "  equal", style="yellow" if delta else "dim")
        cells.append(text)
    return cells


def _shortened(value: Any) -> str:
    if value is None or value == "":
        return formats.NOTHING
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
