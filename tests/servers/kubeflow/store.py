"""What the server has. This module: recurring runs, what they start, and archiving, which concerns all kinds.

Source: kubeflow/pipelines, backend/src/apiserver/{server/api_converter,resource/resource_manager,storage/job_store}.go
(CreateJob: first all checks, then the ScheduledWorkflow, then the record). Recorded: which refusal is which, triggers.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ..kubernetes import Cluster
from ..kubernetes.cluster import NotFound
from . import collation, cron
from .objects import NAMESPACE
from .refusals import internal, invalid, missing
from .runs import ENDS, Runs

__all__ = ["ENDS", "Store"]
_CONCURRENCY = range(1, 11)
_MODES = ("MODE_UNSPECIFIED", "ENABLE", "DISABLE")
_RUNNER = "pipeline-runner"


class Store(Runs):
    """Pipelines, versions, experiments, runs and recurring runs, by id."""

    def __init__(self, several_users: bool, now: Callable[[], datetime], cluster: Cluster) -> None:
        super().__init__(several_users, now, cluster)
        self.recurring_runs: dict[str, dict] = {}
        self._embedded: dict[str, dict] = {}

    def add_recurring_run(self, body: Mapping[str, Any]) -> dict:
        """Makes a recurring run: a ScheduledWorkflow, whose uid is its id, and a record."""
        if not body.get("display_name"):
            raise internal("Recurring run's name cannot be empty")
        _check_times(body)
        experiment = self.experiment_for(body.get("experiment_id", ""))
        reference, spec = self.template(body)
        self.check(spec, body)
        latest = bool(reference) and not body["pipeline_version_reference"].get("pipeline_version_id")
        if latest:
            reference = {"pipeline_id": reference["pipeline_id"]}
        enabled = body.get("mode") == "ENABLE"
        made = {
            "recurring_run_id": "",
            "experiment_id": experiment["experiment_id"],
            "display_name": body["display_name"],
            "description": body.get("description", ""),
            "runtime_config": dict(body.get("runtime_config") or {}),
            "service_account": "" if latest else body.get("service_account") or _RUNNER,
            "max_concurrency": str(body["max_concurrency"]),
            "trigger": _shown_trigger(body.get("trigger") or {}),
            "mode": "ENABLE" if enabled else "DISABLE",
            "status": "ENABLED" if enabled else "DISABLED",
            "no_catchup": body.get("no_catchup", False),
            "created_at": self.time(),
            "updated_at": self.time(),
            "namespace": experiment["namespace"] or NAMESPACE,
            **({"pipeline_version_reference": reference} if reference else {"pipeline_spec": spec}),
        }
        found = self.objects.make_schedule(made, made["namespace"], None if latest else spec)
        self.database.record()
        collation.store(made, "display_name", "description", "service_account")
        made["recurring_run_id"] = found["metadata"]["uid"]
        self.recurring_runs[made["recurring_run_id"]] = made
        if not latest:
            self._embedded[made["recurring_run_id"]] = spec
        return made

    def recurring_run(self, key: str) -> dict:
        if key not in self.recurring_runs:
            raise missing("Job", key)
        return self.recurring_runs[key]

    def enable(self, key: str, enabled: bool) -> dict:
        """Turns a recurring run on or off, also one of an archived or deleted experiment."""
        found = self.recurring_run(key)
        try:
            self.objects.enable(key, enabled)
        except NotFound as error:
            raise internal(
                f"Failed to change recurring run's {key} mode: its scheduled workflow isn't there"
            ) from error
        found["status"] = "ENABLED" if enabled else "DISABLED"
        found["mode"] = "ENABLE" if enabled else "DISABLE"
        found["updated_at"] = self.time()
        return {}

    def remove_recurring_run(self, key: str) -> dict:
        """Removes a recurring run, also one whose ScheduledWorkflow has gone."""
        self.recurring_run(key)
        self.objects.remove(self.objects.schedule(key))
        del self.recurring_runs[key]
        self._embedded.pop(key, None)
        return {}

    def archive_experiment(self, key: str, archived: bool) -> dict:
        """Archives an experiment with its runs, and turns its recurring runs off; nothing of that is turned back.

        An experiment that isn't there is no error. Recorded.
        """
        if key in self.experiments:
            self.experiments[key]["storage_state"] = "ARCHIVED" if archived else "AVAILABLE"
        if not archived:
            return {}
        for each in self.recurring_runs.values():
            if each["experiment_id"] == key:
                self.enable(each["recurring_run_id"], False)
        for run in self.runs.values():
            if run["experiment_id"] == key:
                run["storage_state"] = "ARCHIVED"
        return {}

    def due(self, key: str) -> tuple[dict, dict]:
        """Makes the run that a schedule makes when it is due, and returns it with the specification that it runs.

        A pinned version's was taken when the schedule was made; otherwise it is the pipeline's latest. That the
        experiment is archived, or gone, makes no difference.
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
        reference = found.get("pipeline_version_reference", {})
        spec = self._embedded.get(key)
        if spec is None:
            reference, spec = self.template({"pipeline_version_reference": reference})
        body = {**found, "display_name": f"Run of {found['display_name']} ({key[:5]})", "description": ""}
        run, spec = self.make_run(body, found["experiment_id"], found["namespace"], reference, spec, schedule)
        run["recurring_run_id"] = key
        return run, spec


def _check_times(body: Mapping[str, Any]) -> None:
    if body.get("mode", "DISABLE") not in _MODES:
        raise internal(f"Recurring run's mode is invalid: {body['mode']}")
    if int(body.get("max_concurrency") or 0) not in _CONCURRENCY:
        raise invalid("Max concurrency of a recurring run must be at least 1 and at most 10")
    trigger = body.get("trigger") or {}
    if "cron_schedule" in trigger:
        cron.check(trigger["cron_schedule"].get("cron", ""))
    if "periodic_schedule" in trigger and int(trigger["periodic_schedule"].get("interval_second") or 0) < 1:
        raise invalid("Found invalid period schedule interval. Set at interval to least 1 second")


def _shown_trigger(trigger: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a trigger as the API shows it: 64-bit integers are text, times are in whole seconds of UTC."""

    def shown(name: str, value: Any) -> str:
        if not name.endswith("_time"):
            return str(value)
        return datetime.fromisoformat(value.upper()).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    return {kind: {name: shown(name, value) for name, value in schedule.items()} for kind, schedule in trigger.items()}
