"""Runs side by side: what is equal in them, and how far apart their numbers are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.runs import formats, record, results
from pipeyard.runs.record import Run
from pipeyard.runs.stored_runs import StoredRun


@dataclass(frozen=True)
class ComparisonRow:
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
    facts: list[ComparisonRow] = field(default_factory=list)
    parameters: list[ComparisonRow] = field(default_factory=list)
    metrics: list[ComparisonRow] = field(default_factory=list)
    seconds: list[ComparisonRow] = field(default_factory=list)
    states: list[ComparisonRow] = field(default_factory=list)
    digests: list[ComparisonRow] = field(default_factory=list)

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


def compare(*runs: StoredRun) -> Comparison:
    """Compares runs, usually two; the first is the one that numbers are compared with.

    A run's own id is taken for the same in all parameters, as else steps that are told it would always differ. Tasks of
    one name are compared, and those that write the same: two trainers, say.

    Raises:
        PipeyardError: there are fewer than two.
    """
    if len(runs) < 2:
        raise PipeyardError("A comparison needs two runs or more.")
    labels = [_labels(stored.run, runs[0].run) for stored in runs]
    tasks = [{known[task.path]: task for task in stored.run.tasks} for stored, known in zip(runs, labels, strict=True)]
    names = list(dict.fromkeys(name for known in tasks for name in known))
    return Comparison(
        runs=list(runs),
        facts=_rows([_facts(stored) for stored in runs]),
        parameters=_differing_parameters(runs, labels),
        metrics=_rows([_metrics(stored, known) for stored, known in zip(runs, labels, strict=True)]),
        seconds=[
            ComparisonRow(name, [_rounded_seconds(known[name]) if name in known else None for known in tasks])
            for name in names
        ],
        states=[
            ComparisonRow(name, [str(known[name].state) if name in known else None for known in tasks])
            for name in names
        ],
        digests=_rows([_digests(stored, known) for stored, known in zip(runs, labels, strict=True)]),
    )


def _labels(run: Run, first: Run) -> dict[str, str]:
    """Returns what to call a run's tasks, by path: as the first run does.

    A task whose name the first run hasn't is called as the one there that writes the same artifacts, by what they mean,
    where there is but one and the run hasn't that itself.
    """
    own, others = results.labels(run), results.labels(first)
    absent = [task for task in first.tasks if others[task.path] not in own.values()]
    for task in run.tasks:
        if own[task.path] in others.values():
            continue
        alike = [other for other in absent if _written(other) and _written(other) == _written(task)]
        if len(alike) == 1:
            own[task.path] = others[alike[0].path]
            absent.remove(alike[0])
    return own


def _written(task: record.Task) -> frozenset[str]:
    return frozenset(artifact.meaning for artifact in task.output_artifacts.values() if artifact.meaning)


def _metrics(stored: StoredRun, labels: dict[str, str]) -> dict[str, float]:
    """Returns a run's metrics, their tasks called by `labels`."""
    renamed = {own: labels[path] for path, own in results.labels(stored.run).items() if own != labels[path]}
    found = {}
    for name, value in stored.metrics.items():
        start, _, rest = name.partition(".")
        found[f"{renamed[start]}.{rest}" if start in renamed else name] = value
    return found


def _rows(columns: Sequence[dict[str, Any]]) -> list[ComparisonRow]:
    names = dict.fromkeys(name for column in columns for name in column)
    return [ComparisonRow(name, [column.get(name) for column in columns]) for name in names]


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


def _differing_parameters(runs: Sequence[StoredRun], labels: Sequence[dict[str, str]]) -> list[ComparisonRow]:
    """Returns the pipeline's parameters that differ, and those of tasks that differ among the runs they ran in."""
    of_pipeline = _rows([_without_id(stored.run.parameters, stored.run) for stored in runs])
    of_tasks = _rows([_task_parameters(stored, known) for stored, known in zip(runs, labels, strict=True)])
    return [row for row in of_pipeline if not row.equal] + [
        row
        for row in of_tasks
        if not ComparisonRow(row.name, [value for value in row.values if value is not None]).equal
    ]


def _task_parameters(stored: StoredRun, labels: dict[str, str]) -> dict[str, Any]:
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


def _digests(stored: StoredRun, labels: dict[str, str]) -> dict[str, str]:
    return {
        f"{labels[task.path]}.{name}": artifact.digest
        for task in stored.run.tasks
        for name, artifact in task.output_artifacts.items()
    }


def _rounded_seconds(task: record.Task) -> float | None:
    return round(task.seconds, 3) if task.started_at and task.ended_at else None
