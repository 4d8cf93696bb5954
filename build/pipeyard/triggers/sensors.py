"""Triggers that nobody tells anything: whoever calls this looks whether something happened."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeyard.errors import PipeyardError
from pipeyard.triggers import events, remote_artifacts
from pipeyard.triggers.domain import Event, EventKind
from pipeyard.triggers.routing import Route

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


def look(
    route: Route,
    environment: "Environment",
    environment_of: Callable[[str], "Environment"],
    now: datetime,
) -> Looked:
    """Looks whether what a trigger waits for has happened.

    Args:
        route: of a kind in LOOKED_FOR.
        environment_of: gives an environment by name.

    Raises:
        PipeyardError: what is to be compared can't be read, or the server where runs are can't be reached.
    """
    if route.kind == EventKind.COMPLETION:
        other = environment_of(route.trigger.environment) if route.trigger.environment else environment
        return _completion(route, other)
    from pipeyard.triggers import drift

    baseline = ""
    if route.trigger.compares:
        given = route.trigger.baseline
        baseline = (
            remote_artifacts.of_served(given, route.kind)
            if given
            else last_training(environment, route.pipeline, route.kind)
        )
    compare = drift.drift if route.kind == EventKind.DRIFT else drift.quality
    found = compare(route.trigger, baseline, now)
    reason = found.event.detail if found.event else f"all of {len(found.measured)} are within their bounds"
    return Looked(reason, found.event, found.measured, baseline)


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


def _completion(route: Route, environment: "Environment") -> Looked:
    from pipeyard.deployment.targets import choice

    found = choice.runs(environment).latest(route.trigger.pipeline)
    if found is None:
        return Looked(f"no run of {route.trigger.pipeline} in {environment.name} has succeeded")
    event = events.completion(route.trigger.pipeline, environment.name, found.run, found.ended_at)
    return Looked(event.detail, event)


def _artifact(run: "Run", meaning: str) -> "Artifact | None":
    for task in run.tasks:
        for artifact in task.output_artifacts.values() if task.state.has_outputs else ():
            if artifact.meaning == meaning:
                return artifact
    return None
