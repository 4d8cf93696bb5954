"""What the server has, and the rules for each kind of thing."""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..kubernetes import Cluster
from ..kubernetes.cluster import NotFound
from . import cron, packages, parameters
from .catalog import Catalog, named
from .database import Database
from .objects import Objects
from .refusals import Refused, exists, invalid, missing

_CONCURRENCY = range(1, 11)
ENDS = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")


class Store(Catalog):
    """Pipelines, versions, experiments, runs and recurring runs, by id.

    Args:
        several_users: everything is in a namespace.
        now: the server's clock.
        cluster: has an object for every run and recurring run.
    """

    def __init__(self, several_users: bool, now: Callable[[], datetime], cluster: Cluster) -> None:
        super().__init__(several_users, now)
        self.database = Database(now)
        self.objects = Objects(cluster, lambda run: run in self.runs if self.database.reachable else None)
        self.experiments: dict[str, dict] = {}
        self.runs: dict[str, dict] = {}
        self.recurring_runs: dict[str, dict] = {}
        self._specs: dict[str, dict] = {}
        self._embedded: dict[str, dict] = {}

    # Experiments

    def add_experiment(self, body: Mapping[str, Any]) -> dict:
        name, namespace = body.get("display_name", ""), body.get("namespace", "")
        named("experiment", name)
        self._check_namespace(namespace)
        for each in self.experiments.values():
            if (each["display_name"], each.get("namespace", "")) == (name, namespace):
                raise exists("experiment", name)
        made = {
            "experiment_id": str(uuid.uuid4()),
            "display_name": name,
            "description": body.get("description", ""),
            "created_at": self.time(),
            "storage_state": "AVAILABLE",
            **({"namespace": namespace} if namespace else {}),
        }
        self.experiments[made["experiment_id"]] = made
        return made

    def experiment(self, key: str) -> dict:
        if key not in self.experiments:
            raise missing("Experiment", key)
        return self.experiments[key]

    def experiments_in(self, namespace: str) -> list[dict]:
        self._check_namespace(namespace)
        return [each for each in self.experiments.values() if each.get("namespace", "") == namespace]

    def archive_experiment(self, key: str, archived: bool) -> dict:
        """An archived one takes its runs along, and turns its recurring runs off."""
        self.experiment(key)["storage_state"] = "ARCHIVED" if archived else "AVAILABLE"
        if archived:
            for run in self.runs.values():
                if run["experiment_id"] == key:
                    run["storage_state"] = "ARCHIVED"
            for each in self.recurring_runs.values():
                if each["experiment_id"] == key:
                    self.enable(each["recurring_run_id"], False)
        return {}

    def remove_experiment(self, key: str) -> dict:
        """Its runs and recurring runs go with it."""
        self.experiment(key)
        for things in (self.runs, self.recurring_runs):
            for one in [name for name, each in things.items() if each["experiment_id"] == key]:
                del things[one]
        del self.experiments[key]
        return {}

    # Runs

    def add_run(self, body: Mapping[str, Any], schedule: Mapping[str, Any] | None = None) -> tuple[dict, dict]:
        """Returns the run, and the specification that it runs.

        Args:
            schedule: the ScheduledWorkflow that starts it.
        """
        experiment = self._experiment_of(body)
        if not body.get("display_name"):
            raise invalid("the run's name is empty")
        reference, spec = self._what(body)
        config = dict(body.get("runtime_config") or {})
        parameters.check(_plain(spec), config.get("parameters") or {})
        made = {
            "run_id": str(uuid.uuid4()),
            "experiment_id": experiment["experiment_id"],
            "display_name": body["display_name"],
            "description": body.get("description", ""),
            "storage_state": "AVAILABLE",
            "runtime_config": config,
            "service_account": body.get("service_account") or "pipeline-runner",
            "created_at": self.time(),
            "scheduled_at": self.time(),
            "finished_at": "1970-01-01T00:00:00Z",
            "state": "PENDING",
            "state_history": [{"update_time": self.time(), "state": "PENDING"}],
            **({"pipeline_version_reference": reference} if reference else {"pipeline_spec": spec}),
        }
        self.objects.make_workflow(made, experiment.get("namespace", ""), _plain(spec), schedule)
        self.database.record()
        self.runs[made["run_id"]] = made
        self._specs[made["run_id"]] = spec
        return made, spec

    def run(self, key: str) -> dict:
        if key not in self.runs:
            raise missing("Run", key)
        return self.runs[key]

    def set_state(self, key: str, state: str, error: str = "") -> None:
        """Moves a run on; one that has ended stays as it is."""
        run = self.run(key)
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
        """Asks for a run's end.

        Raises:
            Refused: its Workflow isn't there; the run is CANCELING nevertheless.
        """
        self.set_state(key, "CANCELING")
        try:
            self.objects.terminate(key)
        except NotFound as error:
            raise Refused(500, f"InternalServerError: Failed to terminate run {key}") from error

    def archive_run(self, key: str, archived: bool) -> dict:
        self.run(key)["storage_state"] = "ARCHIVED" if archived else "AVAILABLE"
        return {}

    def remove_run(self, key: str) -> dict:
        self.run(key)
        self.objects.remove(self.objects.workflow(key))
        del self.runs[key], self._specs[key]
        return {}

    def retry_run(self, key: str) -> tuple[dict, dict]:
        """Begins a run that failed or was canceled once more, and returns it with its specification."""
        run = self.run(key)
        if run["state"] not in ("FAILED", "CANCELED"):
            raise invalid(f"the run {key} is {run['state']}, so it can't be retried")
        run["state"] = "RUNNING"
        run["state_history"].append({"update_time": self.time(), "state": "RUNNING"})
        run["finished_at"] = "1970-01-01T00:00:00Z"
        run.pop("error", None)
        return run, self._specs[key]

    # Recurring runs

    def add_recurring_run(self, body: Mapping[str, Any]) -> dict:
        experiment = self._experiment_of(body)
        if not body.get("display_name"):
            raise invalid("Recurring run's name cannot be empty")
        reference, spec = self._what(body)
        config = dict(body.get("runtime_config") or {})
        parameters.check(_plain(spec), config.get("parameters") or {})
        if int(body.get("max_concurrency") or 0) not in _CONCURRENCY:
            raise invalid("Max concurrency of a recurring run must be at least 1 and at most 10")
        trigger = body.get("trigger") or {}
        if expression := (trigger.get("cron_schedule") or {}).get("cron"):
            cron.check(expression)
        elif int((trigger.get("periodic_schedule") or {}).get("interval_second") or 0) < 1:
            raise invalid("the recurring run has no schedule")
        enabled = body.get("mode") == "ENABLE"
        made = {
            "experiment_id": experiment["experiment_id"],
            "display_name": body["display_name"],
            "description": body.get("description", ""),
            "runtime_config": config,
            "service_account": body.get("service_account") or "pipeline-runner",
            "max_concurrency": str(body["max_concurrency"]),
            "trigger": trigger,
            "mode": "ENABLE" if enabled else "DISABLE",
            "status": "ENABLED" if enabled else "DISABLED",
            "no_catchup": bool(body.get("no_catchup")),
            "created_at": self.time(),
            "updated_at": self.time(),
            **({"namespace": experiment["namespace"]} if "namespace" in experiment else {}),
            **({"pipeline_version_reference": reference} if reference else {"pipeline_spec": spec}),
        }
        pinned = bool((reference or {}).get("pipeline_version_id") or not reference)
        found = self.objects.make_schedule(made, experiment.get("namespace", ""), spec if pinned else None)
        self.database.record()
        made["recurring_run_id"] = found["metadata"]["uid"]
        self.recurring_runs[made["recurring_run_id"]] = made
        if pinned:
            self._embedded[made["recurring_run_id"]] = spec
        return made

    def recurring_run(self, key: str) -> dict:
        if key not in self.recurring_runs:
            raise missing("Job", key)
        return self.recurring_runs[key]

    def enable(self, key: str, enabled: bool) -> dict:
        found = self.recurring_run(key)
        try:
            self.objects.enable(key, enabled)
        except NotFound as error:
            raise Refused(500, f"InternalServerError: Failed to change the mode of recurring run {key}") from error
        found["status"] = "ENABLED" if enabled else "DISABLED"
        found["mode"] = "ENABLE" if enabled else "DISABLE"
        found["updated_at"] = self.time()
        return {}

    def remove_recurring_run(self, key: str) -> dict:
        self.recurring_run(key)
        self.objects.remove(self.objects.schedule(key))
        del self.recurring_runs[key]
        self._embedded.pop(key, None)
        return {}

    def due(self, key: str) -> tuple[dict, dict]:
        """Makes the run that a schedule makes when it is due, and returns it with the specification that it runs.

        A pinned version's was taken when the schedule was made; otherwise it is the pipeline's latest.
        """
        found = self.recurring_run(key)
        schedule = self.objects.schedule(key)
        if schedule is None or not schedule["spec"]["enabled"]:
            raise invalid(f"the recurring run {key} is disabled")
        going = [
            each for each in self.runs.values() if each.get("recurring_run_id") == key and each["state"] not in ENDS
        ]
        if len(going) >= int(found["max_concurrency"]):
            raise invalid(f"{len(going)} runs of {key} are going on")
        body = {
            name: found[name]
            for name in ("experiment_id", "runtime_config", "service_account", "pipeline_version_reference")
            if name in found
        }
        if key in self._embedded:
            body |= {"pipeline_spec": self._embedded[key]}
            body.pop("pipeline_version_reference", None)
        run, spec = self.add_run({**body, "display_name": f"Run of {found['display_name']} ({key[:5]})"}, schedule)
        run["recurring_run_id"] = key
        if "pipeline_version_reference" in found:
            run.pop("pipeline_spec", None)
            run["pipeline_version_reference"] = found["pipeline_version_reference"]
        return run, spec

    # What several of them need

    def _check_namespace(self, namespace: str) -> None:
        if self.several_users and not namespace:
            raise invalid("a namespace is required where there are several users")
        if namespace and not self.several_users:
            raise invalid("a namespace can't be given where there is one user")

    def _experiment_of(self, body: Mapping[str, Any]) -> dict:
        key = body.get("experiment_id")
        if not key:
            raise invalid("the experiment is missing")
        found = self.experiment(key)
        if found["storage_state"] == "ARCHIVED":
            raise Refused(400, f"Failed precondition: the experiment {found['display_name']} is archived")
        return found

    def _what(self, body: Mapping[str, Any]) -> tuple[dict, dict]:
        """Returns the reference to a version, if there is one, and the specification."""
        reference = {key: value for key, value in (body.get("pipeline_version_reference") or {}).items() if value}
        spec = body.get("pipeline_spec")
        if bool(spec) == bool(reference):
            raise invalid("either a pipeline's specification or a version of it has to be given")
        if spec:
            packages.check(_plain(spec))
            return {}, spec
        pipeline_id, version_id = reference.get("pipeline_id", ""), reference.get("pipeline_version_id")
        found = self.version(pipeline_id, version_id) if version_id else self.latest_version(pipeline_id)
        return reference, found["pipeline_spec"]


def _plain(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return spec.get("pipeline_spec", spec)
