"""What triggers find that nobody tells anything: they look whether something happened."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeyard.errors import PipeyardError
from pipeyard.triggers.domain import Event, EventKind

if TYPE_CHECKING:
    from pipeyard.runs.record import Artifact, Run
    from pipeyard.settings import Environment
    from pipeyard.triggers.drift import Measured

# What artifacts mean, as components declare it.
_MEANINGS = {EventKind.DRIFT: "ExampleStatistics", EventKind.QUALITY: "EvaluationMetrics"}


@dataclass(frozen=True)
class Looked:
    """What was found.

    Attributes:
        event: None if nothing happened.
        baseline: URI of what was compared with.
    """

    reason: str
    event: Event | None = None
    measured: list["Measured"] = field(default_factory=list)
    baseline: str = ""


def last_training(environment: "Environment", pipeline: str, kind: EventKind) -> str:
    """Returns the URI of the statistics, or of the metrics, of the last run on this machine that deployed a model.

    Raises:
        PipeyardError: there was none.
    """
    from pipeyard.runs import stored_runs

    for run in stored_runs.succeeded(Path(environment.pipeline_root), pipeline):
        deployed = any(
            artifact.meaning == "PushedModel"
            for task in run.tasks
            if task.state.has_outputs
            for artifact in task.output_artifacts.values()
        )
        found = _artifact(run, _MEANINGS[kind]) if deployed else None
        if found:
            return found.uri
    raise PipeyardError(
        f"No run of {pipeline} in {environment.pipeline_root} has deployed a model: there is nothing to compare with. "
        f"Run it once (`pipeyard run {pipeline} --env {environment.name}`), or set the trigger's `baseline:`."
    )


def _artifact(run: "Run", meaning: str) -> "Artifact | None":
    for task in run.tasks:
        for artifact in task.output_artifacts.values() if task.state.has_outputs else ():
            if artifact.meaning == meaning:
                return artifact
    return None
