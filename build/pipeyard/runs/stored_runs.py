"""Finds and describes the runs below a folder. Nothing here changes a run."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.runs import record, results, run_lock
from pipeyard.runs.record import Run, State

LATEST = "latest"


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

    @property
    def pid(self) -> int | None:
        """The process that is at it, or was when it was interrupted; None: it ended, or that isn't known."""
        return run_lock.runner_of(self.folder) if self.run.ended_at is None else None

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
            "pid": self.pid,
            "commit": self.run.commit,
            "tasks": {str(state): count for state, count in _states(self.run).items()},
            "metrics": self.metrics,
            "folder": str(self.folder),
        }


def list_runs(root: Path, warn: Callable[[str], object] = warnings.warn) -> list[StoredRun]:
    """Returns the runs whose folders are in `root`, newest first; `root` need not exist.

    Args:
        warn: called for every record that can't be read; such a run is left out.
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


def succeeded(root: Path, pipeline: str) -> Iterator[Run]:
    """Yields a pipeline's runs that succeeded, the newest first. Those that can't be read are left out.

    Args:
        pipeline: name of its folder, or as it is compiled.
    """
    for stored in list_runs(root, lambda _: None):
        if same_pipeline(stored.run.pipeline, pipeline) and stored.run.state == State.SUCCEEDED:
            yield stored.run


def same_pipeline(one: str, other: str) -> bool:
    """Whether two names are of one pipeline: its folder has underscores where the compiled pipeline has hyphens."""
    return one.replace("_", "-") == other.replace("_", "-")


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


def _states(run: Run) -> dict[State, int]:
    counts = {state: sum(task.state is state for task in run.tasks) for state in State}
    return {state: count for state, count in counts.items() if count}


def _plain(name: str) -> str:
    return name.replace("_", "-").lower()
