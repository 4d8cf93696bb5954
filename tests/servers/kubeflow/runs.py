"""Runs, and the rules for them.

Source: kubeflow/pipelines, backend/src/apiserver/{server/api_converter,resource/resource_manager}.go (CreateRun: first
all checks, then the Workflow, then the record). Recorded: which refusal is which, parameters, references, terminating.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..kubernetes import Cluster
from ..kubernetes.cluster import NotFound, new_id
from . import collation, dag, packages, parameters
from .database import Database
from .experiments import EPOCH, Experiments
from .objects import Objects
from .refusals import Refused, aborted, internal, invalid, missing, precondition

ENDS = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
_RUNNER = "pipeline-runner"
_EXPERIMENT = 64


class Runs(Experiments):
    """Runs, by id.

    Args:
        cluster: has an object for every run and recurring run.
    """

    def __init__(self, several_users: bool, now: Callable[[], datetime], cluster: Cluster) -> None:
        super().__init__(several_users, now)
        self.database = Database(now)
        self.objects = Objects(cluster, lambda run: run in self.runs if self.database.reachable else None)
        self.runs: dict[str, dict] = {}
        self._specs: dict[str, dict] = {}

    def add_run(self, body: Mapping[str, Any]) -> tuple[dict, dict]:
        """Returns the run, and the specification that it runs."""
        if not body.get("display_name"):
            raise internal("Run name cannot be empty")
        if len(body.get("experiment_id", "")) > _EXPERIMENT:
            raise internal(f"Run.ExperimentId length cannot exceed {_EXPERIMENT}")
        experiment = self.experiment_for(body.get("experiment_id", ""))
        reference, spec = self.template(body)
        self.check(spec, body)
        return self.make_run(body, experiment["experiment_id"], experiment["namespace"], reference, spec)

    def make_run(
        self,
        body: Mapping[str, Any],
        experiment_id: str,
        namespace: str,
        reference: Mapping[str, str],
        spec: dict,
        schedule: Mapping[str, Any] | None = None,
    ) -> tuple[dict, dict]:
        """Makes a run's Workflow, and records it.

        Args:
            reference: to the version that is run; empty if the specification is part of the run.
            schedule: the ScheduledWorkflow that starts it.
        """
        made = {
            "run_id": new_id(),
            "experiment_id": experiment_id,
            "display_name": body["display_name"],
            "description": body.get("description", ""),
            "storage_state": "AVAILABLE",
            "runtime_config": dict(body.get("runtime_config") or {}),
            "service_account": body.get("service_account") or _RUNNER,
            "created_at": self.time(),
            "scheduled_at": self.time(),
            "finished_at": EPOCH,
            "state": "PENDING",
            "state_history": [{"update_time": self.time(), "state": "PENDING"}],
            **({"pipeline_version_reference": dict(reference)} if reference else {"pipeline_spec": spec}),
        }
        self.objects.make_workflow(made, namespace, packages.plain(spec), schedule)
        self.database.record()
        collation.store(made, "display_name", "description", "service_account")
        self.runs[made["run_id"]] = made
        self._specs[made["run_id"]] = spec
        if experiment_id in self.experiments:
            self.experiments[experiment_id]["last_run_created_at"] = made["created_at"]
        return made, spec

    def run(self, key: str) -> dict:
        if key not in self.runs:
            raise missing("Run", key)
        return self.runs[key]

    def set_state(self, key: str, state: str, error: str = "") -> None:
        """Moves a run on; one that has ended stays as it is.

        A run that is CANCELING ends FAILED, when its Workflow has stopped, whatever became of its steps.
        """
        run = self.run(key)
        if run["state"] == "CANCELING":
            state = "FAILED" if state in ENDS else "CANCELING"
        if run["state"] in ENDS or run["state"] == state:
            return
        run["state"] = state
        run["state_history"].append({"update_time": self.time(), "state": state})
        if error:
            run["error"] = {"code": 13, "message": error}
        if state in ENDS:
            run["finished_at"] = self.time()
        self.objects.show(key, state)

    def terminate(self, key: str) -> None:
        """Asks for a run's end. That it is CANCELING isn't in its history.

        Raises:
            Refused: it has ended, or is asked to; or its Workflow isn't there: then the run is CANCELING nevertheless.
        """
        run = self.run(key)
        if run["state"] in (*ENDS, "CANCELING"):
            raise invalid(f"Failed to terminate run {key}. Row not found")
        run["state"] = "CANCELING"
        try:
            self.objects.terminate(key)
        except NotFound as error:
            raise internal(f"Failed to terminate run {key}: its workflow isn't there") from error

    def archive_run(self, key: str, archived: bool) -> dict:
        run = self.run(key)
        experiment = self.experiments.get(run["experiment_id"], {})
        if not archived and experiment.get("storage_state") == "ARCHIVED":
            raise precondition("Unarchive the experiment first to allow the run to be restored")
        run["storage_state"] = "ARCHIVED" if archived else "AVAILABLE"
        return {}

    def remove_run(self, key: str) -> dict:
        self.run(key)
        self.objects.remove(self.objects.workflow(key))
        del self.runs[key], self._specs[key]
        return {}

    def retry_run(self, key: str) -> tuple[dict, dict]:
        """Begins a run that failed once more, and returns it with its specification."""
        run = self.run(key)
        if run["state"] not in ("FAILED", "CANCELED"):
            raise aborted(f"the run {key} is {run['state']}, so it can't be retried")
        run["state"] = "PENDING"
        run["state_history"].append({"update_time": self.time(), "state": "PENDING"})
        run["finished_at"] = EPOCH
        run.pop("error", None)
        self.objects.resume(key)
        return run, self._specs[key]

    def template(self, body: Mapping[str, Any]) -> tuple[dict, dict]:
        """Returns the reference to a version, with both ids, and the specification.

        Raises:
            Refused: with 500, whatever is wrong: a version or pipeline that isn't there, or isn't the other's.
        """
        if spec := body.get("pipeline_spec"):
            return {}, packages.given(spec)
        reference = body.get("pipeline_version_reference") or {}
        pipeline_id, version_id = reference.get("pipeline_id", ""), reference.get("pipeline_version_id", "")
        if not pipeline_id and not version_id:
            raise internal("Failed to fetch a template with an empty pipeline spec manifest")
        try:
            found = self.version(version_id) if version_id else self.latest_version(pipeline_id)
        except Refused as refused:
            raise internal(f"Failed to fetch a template: {refused}") from refused
        if pipeline_id and found["pipeline_id"] != pipeline_id:
            raise internal(f"Pipeline version {version_id} belongs to another pipeline than {pipeline_id}")
        both = {key: found[key] for key in ("pipeline_id", "pipeline_version_id")}
        return both, found["pipeline_spec"]

    @staticmethod
    def check(spec: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        """Refuses what can't be started: first its parameters are looked at, then it is compiled."""
        pipeline = packages.plain(spec)
        if "root" in pipeline:
            parameters.check(pipeline, (body.get("runtime_config") or {}).get("parameters") or {})
        dag.check(pipeline)
