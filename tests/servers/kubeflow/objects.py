"""What the server makes in Kubernetes for a run and for a recurring run, before it records either.

Read in kubeflow/pipelines: backend/src/apiserver/template/{template,v2_template}.go, backend/src/common/util/consts.go,
backend/src/apiserver/resource/resource_manager.go (CreateRun, CreateJob, ReportWorkflowResource). Not recorded.

What ties an object to its record: a Workflow's label `pipeline/runid` is the run's id, and a ScheduledWorkflow's uid is
the recurring run's id. A Workflow is named after the compiled pipeline, with the run's name in an annotation; a
ScheduledWorkflow is named after the recurring run: lower case letters, digits and `-` of it, at most 25.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ..kubernetes import SCHEDULED_WORKFLOWS, WORKFLOWS, Cluster
from ..kubernetes.cluster import NotFound

# Where the server itself is, and what it makes for a single user.
NAMESPACE = "kubeflow"
RUN_ID = "pipeline/runid"
RUN_NAME = "pipelines.kubeflow.org/run_name"
_SCHEDULES = "scheduledworkflows.kubeflow.org"
# For so long the persistence agent's reports leave a Workflow alone that has no run.
_UNRECORDED = timedelta(seconds=120)
_LONGEST_SCHEDULE = 25
_PHASES = {"PENDING": "Pending", "SUCCEEDED": "Succeeded", "FAILED": "Failed", "CANCELED": "Failed"}
_ENDED = ("Succeeded", "Failed")


class Objects:
    """Workflows and ScheduledWorkflows of the server's runs and recurring runs.

    Args:
        cluster: has them.
        known: whether a run has this id; None: that can't be told now.
    """

    def __init__(self, cluster: Cluster, known: Callable[[str], bool | None]) -> None:
        self.cluster = cluster
        self._known = known
        cluster.controllers.append(self._collect)

    def make_workflow(
        self, run: Mapping[str, Any], namespace: str, spec: Mapping[str, Any], schedule: Mapping[str, Any] | None
    ) -> str:
        """Makes a run's Workflow and returns its name.

        Args:
            spec: the run's specification.
            schedule: the ScheduledWorkflow that starts it.
        """
        labels = {RUN_ID: run["run_id"]}
        owners = {}
        if schedule:
            metadata = schedule["metadata"]
            labels |= {
                f"{_SCHEDULES}/isOwnedByScheduledWorkflow": "true",
                f"{_SCHEDULES}/scheduledWorkflowName": metadata["name"],
                f"{_SCHEDULES}/workflowEpoch": str(int(self.cluster.now().timestamp())),
            }
            owner = {"apiVersion": schedule["apiVersion"], "kind": schedule["kind"], "controller": True}
            owners = {"ownerReferences": [{**owner, "name": metadata["name"], "uid": metadata["uid"]}]}
        prefix = spec.get("pipelineInfo", {}).get("name", "").rpartition("/")[2] + "-"
        manifest = {
            "metadata": {
                "generateName": prefix,
                "labels": labels,
                "annotations": {RUN_NAME: run["display_name"]},
                **owners,
            },
            "spec": {
                "entrypoint": "entrypoint",
                "serviceAccountName": run["service_account"],
                "podMetadata": {"labels": {"pipelines.kubeflow.org/v2_component": "true", **labels}},
            },
        }
        return self.cluster.create(WORKFLOWS, namespace or NAMESPACE, manifest)["metadata"]["name"]

    def make_schedule(self, recurring: Mapping[str, Any], namespace: str, spec: Mapping[str, Any] | None) -> dict:
        """Makes a recurring run's ScheduledWorkflow and returns it.

        Args:
            recurring: as the request has it.
            spec: the pinned specification; None: it is that of the pipeline's latest version when it is due.
        """
        reference = recurring.get("pipeline_version_reference") or {}
        enabled = recurring["status"] == "ENABLED"
        parameters = (recurring.get("runtime_config") or {}).get("parameters") or {}
        manifest = {
            "metadata": {
                "generateName": schedule_prefix(recurring["display_name"]),
                "labels": {
                    f"{_SCHEDULES}/enabled": str(enabled).lower(),
                    f"{_SCHEDULES}/status": "Enabled" if enabled else "Disabled",
                },
            },
            "spec": {
                "enabled": enabled,
                "maxConcurrency": int(recurring["max_concurrency"]),
                "noCatchup": bool(recurring.get("no_catchup")),
                "trigger": _trigger(recurring.get("trigger") or {}),
                "experimentId": recurring["experiment_id"],
                "pipelineId": reference.get("pipeline_id", ""),
                "pipelineVersionId": reference.get("pipeline_version_id", ""),
                "serviceAccount": recurring.get("service_account", ""),
                "workflow": {
                    "parameters": [{"name": key, "value": json.dumps(value)} for key, value in parameters.items()],
                    **({"spec": json.dumps({"entrypoint": "entrypoint"})} if spec else {}),
                },
            },
        }
        return self.cluster.create(SCHEDULED_WORKFLOWS, namespace or NAMESPACE, manifest)

    def schedule(self, uid: str) -> dict | None:
        """Returns a recurring run's ScheduledWorkflow, if it is there."""
        return next((each for each in self.cluster.peek(SCHEDULED_WORKFLOWS) if each["metadata"]["uid"] == uid), None)

    def workflow(self, run_id: str) -> dict | None:
        """Returns a run's Workflow, if it is there."""
        found = self.cluster.peek(WORKFLOWS)
        return next((each for each in found if each["metadata"]["labels"].get(RUN_ID) == run_id), None)

    def enable(self, uid: str, enabled: bool) -> None:
        """Turns a ScheduledWorkflow on or off. Raises NotFound."""
        found = self.schedule(uid)
        if not found:
            raise NotFound(uid)
        labels = {f"{_SCHEDULES}/enabled": str(enabled).lower()}
        labels[f"{_SCHEDULES}/status"] = "Enabled" if enabled else "Disabled"
        self._patch(found, {"spec": {"enabled": enabled}, "metadata": {"labels": labels}})

    def terminate(self, run_id: str) -> None:
        """Tells Argo to stop a Workflow. Raises NotFound."""
        found = self.workflow(run_id)
        if not found:
            raise NotFound(run_id)
        self._patch(found, {"spec": {"activeDeadlineSeconds": 0}})

    def resume(self, run_id: str) -> None:
        """Lets a Workflow that has ended go on."""
        labels = {"workflows.argoproj.io/completed": None, "pipeline/persistedFinalState": None}
        if found := self.workflow(run_id):
            change = {"spec": {"activeDeadlineSeconds": None}, "metadata": {"labels": labels}}
            self._patch(found, {**change, "status": {"phase": "Running"}})

    def show(self, run_id: str, state: str) -> None:
        """Gives a Workflow the phase of its run's state."""
        phase = _PHASES.get(state, "Running")
        labels = {"workflows.argoproj.io/phase": phase, "workflows.argoproj.io/completed": None}
        if phase in _ENDED:
            labels |= {"workflows.argoproj.io/completed": "true", "pipeline/persistedFinalState": "true"}
        if found := self.workflow(run_id):
            self._patch(found, {"metadata": {"labels": labels}, "status": {"phase": phase}})

    def remove(self, found: Mapping[str, Any] | None) -> None:
        """Removes an object, if it is there."""
        if found:
            kind = next(each for each in (WORKFLOWS, SCHEDULED_WORKFLOWS) if each.kind == found["kind"])
            self.cluster.delete(kind, found["metadata"]["namespace"], found["metadata"]["name"])

    def _patch(self, found: Mapping[str, Any], change: Mapping[str, Any]) -> None:
        kind = next(each for each in (WORKFLOWS, SCHEDULED_WORKFLOWS) if each.kind == found["kind"])
        self.cluster.patch(kind, found["metadata"]["namespace"], found["metadata"]["name"], change)

    def _collect(self) -> None:
        """Removes Workflows that have no run for too long, as reports of the persistence agent make the server do."""
        for each in list(self.cluster.peek(WORKFLOWS)):
            metadata = each["metadata"]
            made = datetime.strptime(metadata["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            known = self._known(metadata["labels"].get(RUN_ID, ""))
            if known is False and self.cluster.now() - made >= _UNRECORDED:
                self.remove(each)


def schedule_prefix(display_name: str) -> str:
    """Returns the beginning of a ScheduledWorkflow's name."""
    return (re.sub("[^a-z0-9-]+", "", display_name.lower()) or "job-")[:_LONGEST_SCHEDULE]


def _trigger(trigger: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a trigger as the ScheduledWorkflow has it."""
    names = {"start_time": "startTime", "end_time": "endTime", "interval_second": "intervalSecond", "cron": "cron"}
    kinds = {"cron_schedule": "cronSchedule", "periodic_schedule": "periodicSchedule"}
    made: dict[str, Any] = {}
    for key, kind in kinds.items():
        if schedule := trigger.get(key):
            made[kind] = {
                names[name]: int(value) if name == "interval_second" else value for name, value in schedule.items()
            }
    return made
