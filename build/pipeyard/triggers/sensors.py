"""Triggers that nobody tells anything: whoever calls this looks whether something happened."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeyard.errors import PipeyardError
from pipeyard.triggers import events, remote_artifacts
from pipeyard.triggers.domain import Event, EventKind
from pipeyard.triggers.routing import Route, same_pipeline

if TYPE_CHECKING:
    from pipeyard.runs.record import Artifact, Run
    from pipeyard.settings import Environment
    from pipeyard.triggers.drift import Measured

# What artifacts mean, as components declare it.
_MEANINGS = {EventKind.DRIFT: "ExampleStatistics", EventKind.QUALITY: "EvaluationMetrics"}
# Newest runs that are looked through for one that succeeded.
_MOST_RUNS = 50


@dataclass(frozen=True)
class Finished:
    """A run that succeeded."""

    run: str
    ended_at: datetime


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
    for run in _local(environment, pipeline):
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


def finished(environment: "Environment", pipeline: str) -> Finished | None:
    """Returns the newest run of a pipeline that succeeded; None if absent.

    Args:
        pipeline: name of its folder.

    Raises:
        PipeyardError: the server can't be reached.
    """
    if environment.target == "local":
        return next((Finished(run.id, run.ended_at) for run in _local(environment, pipeline) if run.ended_at), None)
    if environment.target == "kfp":
        return _finished_on_kubeflow(environment, pipeline)
    return _finished_on_vertex(environment, pipeline)


def _completion(route: Route, environment: "Environment") -> Looked:
    found = finished(environment, route.trigger.pipeline)
    if found is None:
        return Looked(f"no run of {route.trigger.pipeline} in {environment.name} has succeeded")
    event = events.completion(route.trigger.pipeline, environment.name, found.run, found.ended_at)
    return Looked(event.detail, event)


def _local(environment: "Environment", pipeline: str) -> Iterator["Run"]:
    """Yields a pipeline's runs on this machine that succeeded, the newest first."""
    from pipeyard.runs import stored_runs
    from pipeyard.runs.record import State

    for stored in stored_runs.list_runs(Path(environment.pipeline_root), lambda _: None):
        if same_pipeline(stored.run.pipeline, pipeline) and stored.run.state == State.SUCCEEDED:
            yield stored.run


def _artifact(run: "Run", meaning: str) -> "Artifact | None":
    for task in run.tasks:
        for artifact in task.output_artifacts.values() if task.state.has_outputs else ():
            if artifact.meaning == meaning:
                return artifact
    return None


def _finished_on_kubeflow(environment: "Environment", pipeline: str) -> Finished | None:
    from pipeyard.servers.kubeflow import connection, experiments, pipelines

    server = connection.connect(environment)
    pipeline_id = pipelines.find_pipeline(server, pipeline)
    experiment = experiments.find(server, environment.experiment_of(pipeline) or pipeline)
    if pipeline_id is None or experiment is None:
        return None
    page = server.ask(
        f"looking for runs of {pipeline!r}",
        server.runs.run_service_list_runs,
        experiment_id=experiment,
        page_size=_MOST_RUNS,
        sort_by="created_at desc",
    )
    for run in page.runs or []:
        version = run.pipeline_version_reference
        if version and version.pipeline_id == pipeline_id and run.state == "SUCCEEDED" and run.finished_at:
            return Finished(run.run_id, run.finished_at)
    return None


def _finished_on_vertex(environment: "Environment", pipeline: str) -> Finished | None:
    """Runs have the pipeline's and the environment's name as labels."""
    from pipeyard.servers.vertex import connection, jobs

    vertex = connection.connect(environment)
    labels = {"pipeline": pipeline, "environment": environment.name}
    wanted = [f'labels.{key}="{jobs.label(value)}"' for key, value in labels.items()]
    request = {
        "parent": vertex.parent,
        "filter": " AND ".join([*wanted, 'state="PIPELINE_STATE_SUCCEEDED"']),
        "order_by": "end_time desc",
        "page_size": 1,
    }
    found = vertex.ask(f"looking for runs of {pipeline!r}", vertex.jobs.list_pipeline_jobs, request=request)
    newest = next(iter(found), None)
    return Finished(newest.name.rpartition("/")[2], newest.end_time) if newest else None
