"""What runs, or will, without anybody seeing it: objects in Kubernetes that no record knows, and schedules too many.

The server makes an object in Kubernetes first and records it then, so that a failure in between leaves one that the API
doesn't list. A schedule goes on though its experiment was removed; one of an archived experiment may be turned on.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from pipeyard.servers.kubeflow import experiments, runs, schedules
from pipeyard.servers.kubeflow.cluster import SCHEDULED, WORKFLOW, Cluster, KubernetesObject, Unreachable
from pipeyard.servers.kubeflow.connection import Server
from pipeyard.servers.kubeflow.creation import MARGIN, REMOVED_AFTER

LeftoverKind = Literal["Workflow", "ScheduledWorkflow", "schedule"]


@dataclass(frozen=True)
class Leftover:
    """Something that shouldn't be there.

    Attributes:
        kind: an object of Kubernetes, or `schedule`: a recurring run that the server has recorded.
        key: UID of the object, or the recurring run's id.
        why: it shouldn't be there.
        kept: why it isn't removed, even if that is asked for; empty: it is.
        removed: whether it was.
    """

    kind: LeftoverKind
    name: str
    key: str
    why: str
    kept: str = ""
    removed: bool = False

    def __str__(self) -> str:
        """In one line."""
        end = f" Not removed: {self.kept}" if self.kept else ""
        return f"{'removed' if self.removed else 'found'}: {self.kind} {self.name} ({self.key}): {self.why}.{end}"


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        looked: where, in words.
        unseen: what wasn't looked at, and why.
    """

    findings: tuple[Leftover, ...]
    looked: tuple[str, ...]
    unseen: tuple[str, ...]


def examine(server: Server, names: Collection[str], now: datetime) -> Examination:
    """Looks for what shouldn't be there. Only reads.

    Args:
        names: of the schedules that the environment's pipelines have, or had.
        now: with a time zone; a workflow that is too young to be recorded by now isn't told.

    Raises:
        ServerError: the server of Kubeflow Pipelines fails.
    """
    findings = _schedules(server, names)
    looked = [f"schedules of {len(names)} pipelines at {server.host}"]
    unseen = []
    try:
        cluster = server.cluster()
        kept = "" if cluster.sure else "set `kubernetes: {context: NAME}` in settings.yaml, if it is the environment's"
        findings += _objects(server, cluster, now, kept)
        looked.append(f"Workflows and ScheduledWorkflows of {cluster.where}")
    except Unreachable as error:
        unseen.append(f"Workflows and ScheduledWorkflows that no record knows weren't looked for: {error}")
    return Examination(tuple(findings), tuple(looked), tuple(unseen))


def mend(server: Server, found: Examination, tell: Callable[[str], object]) -> Examination:
    """Removes what was found, apart from what must be kept, and returns what was done.

    Args:
        tell: takes a line before each removal.

    Raises:
        PipeyardError: the server or Kubernetes fails. What was removed before stays so.
    """
    done = []
    for each in found.findings:
        if not each.kept:
            tell(f"removing {each.kind} {each.name} ({each.key}): {each.why}")
            _remove(server, each)
        done.append(replace(each, removed=not each.kept))
    return replace(found, findings=tuple(done))


def _schedules(server: Server, names: Collection[str]) -> list[Leftover]:
    """Returns recorded schedules of experiments that aren't there, and of each name all but the newest that is on."""
    active = experiments.active(server)
    findings = []
    for name in sorted(names):
        there = schedules.found(server, name)
        lost = [each for each in there if each.experiment_id not in active]
        shown = [each for each in there if each.experiment_id in active]
        findings += [
            _schedule(each, "its experiment was removed or archived, so that nobody is shown it") for each in lost
        ]
        live = [each for each in shown if each.status != "DISABLED"]
        keep = (live or shown)[-1:]
        findings += [_schedule(each, "there is another of its name") for each in shown if each not in keep]
    return findings


def _schedule(each: Any, why: str) -> Leftover:
    state = "turned off" if each.status == "DISABLED" else "turned on"
    return Leftover("schedule", each.display_name, each.recurring_run_id, f"{why}; it is {state}")


def _objects(server: Server, cluster: Cluster, now: datetime, kept: str) -> list[Leftover]:
    """Returns objects that no record knows."""
    grace = timedelta(seconds=REMOVED_AFTER + MARGIN)
    findings = []
    for each in cluster.list(WORKFLOW):
        # One that a schedule has just started is recorded a little later.
        young = each.created is not None and now - each.created < grace
        if each.run_id and not young and not runs.is_recorded(server, each.run_id):
            named = f", called {each.run_name!r}" if each.run_name else ""
            findings.append(_object(each, f"the server has no record of its run {each.run_id}{named}", kept))
    for each in cluster.list(SCHEDULED):
        if not schedules.is_recorded(server, each.uid):
            state = "turned on, and starts runs" if each.enabled else "turned off"
            findings.append(_object(each, f"the server has no record of it; it is {state}", kept))
    return findings


def _object(found: KubernetesObject, why: str, kept: str) -> Leftover:
    return Leftover(WORKFLOW if found.kind == WORKFLOW else SCHEDULED, found.name, found.uid, why, kept)


def _remove(server: Server, finding: Leftover) -> None:
    if finding.kind == "schedule":
        schedules.delete(server, finding.key, finding.name)
    else:
        server.cluster().remove(KubernetesObject(finding.kind, finding.name, finding.key, None))
