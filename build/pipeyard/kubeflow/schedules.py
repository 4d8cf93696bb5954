"""Schedules in Kubeflow Pipelines: recurring runs. The API changes none, so one is turned off, made anew, and removed.

A pinned version's workflow is kept with the schedule; without a version each run takes the pipeline's latest. The API
doesn't hold names unique, so two deployments at once make two schedules. Each removes what is older than its own, so
that the newest stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pipeyard.errors import PipeyardError
from pipeyard.kubeflow import cron, pages
from pipeyard.kubeflow.connection import Server

if TYPE_CHECKING:
    from pipeyard.settings import Schedule


@dataclass(frozen=True)
class Wanted:
    """A schedule as it is to be.

    Attributes:
        name: by which it is found again; unique in its experiment.
        version_id: empty: each run takes the pipeline's latest version.
        cron: six fields.
        parameters: of its runs.
        service_account: empty: the server's default.
    """

    name: str
    experiment_id: str
    pipeline_id: str
    version_id: str
    cron: str
    enabled: bool
    max_concurrent_runs: int
    catch_up: bool
    parameters: Mapping[str, Any]
    pipeline_root: str
    service_account: str = ""


def wanted(
    name: str,
    experiment_id: str,
    pipeline_id: str,
    schedule: "Schedule",
    parameters: Mapping[str, Any],
    pipeline_root: str,
    version_id: str = "",
    service_account: str = "",
) -> Wanted:
    """Returns a schedule of settings.yaml as the server is to have it.

    Raises:
        PipeyardError: the server has no such schedule.
    """
    return Wanted(
        name,
        experiment_id,
        pipeline_id,
        version_id,
        cron.six_fields(schedule.cron, schedule.timezone),
        schedule.enabled,
        schedule.max_concurrent_runs,
        schedule.catch_up,
        dict(parameters),
        pipeline_root,
        service_account,
    )


def differences(server: Server, schedule: Wanted) -> list[str]:
    """Returns what `ensure` would change, a line each; nothing if all is as wanted. Only reads.

    Raises:
        ServerError: the server fails.
    """
    found = _found(server, schedule.experiment_id, schedule.name)
    return _differences(found, schedule)


def ensure(server: Server, schedule: Wanted) -> list[str]:
    """Makes the experiment have this schedule of its name, and no other.

    Returns:
        What was changed, a line each; empty if all was as wanted.

    Raises:
        PipeyardError: the server fails, or refuses the schedule: then the one before is in force again.
    """
    found = _found(server, schedule.experiment_id, schedule.name)
    changes = _differences(found, schedule)
    if not changes:
        return []
    keep = _newest_alike(found, schedule)
    others = [each for each in found if each is not keep]
    active = [each for each in others if each.status != "DISABLED"]
    for each in active:
        _turn(server, each, on=False)
    if keep is None:
        try:
            _create(server, schedule)
        except PipeyardError:
            for each in active:
                _turn(server, each, on=True)
            raise
    for each in others:
        _delete(server, each)
    if keep is None:
        # What other deployments made meanwhile. All go by one order, so whoever looks last leaves one. What is older
        # than ours wouldn't do: times are seconds, and ours may sort below one whose maker has looked already.
        for each in _found(server, schedule.experiment_id, schedule.name)[:-1]:
            _delete(server, each)
    return changes


def remove(server: Server, experiment_id: str, name: str) -> list[str]:
    """Makes the experiment have no schedule of a name; runs that it started go on.

    Returns:
        What was changed, a line each.

    Raises:
        ServerError: the server fails.
    """
    found = _found(server, experiment_id, name)
    for each in found:
        _delete(server, each)
    return [f"schedule {name}: removed ({each.trigger.cron_schedule.cron})" for each in found]


def _found(server: Server, experiment_id: str, name: str) -> list[Any]:
    """Returns the schedules of a name, the oldest first."""
    listed = pages.all_of(
        server,
        f"looking for the schedule {name!r}",
        server.recurring_runs.recurring_run_service_list_recurring_runs,
        "recurring_runs",
        experiment_id=experiment_id,
        filter=pages.named(name),
    )
    return sorted(
        (each for each in listed if each.display_name == name),
        key=lambda each: (each.created_at, each.recurring_run_id),
    )


def _differences(found: list[Any], schedule: Wanted) -> list[str]:
    where = f"schedule {schedule.name}"
    if not found:
        return [f"{where}: new ({schedule.cron})"]
    keep = _newest_alike(found, schedule)
    if keep is None:
        return [f"{where}: {change}" for change in _unlike(found[0], schedule)]
    return [f"{where}: one too many ({each.recurring_run_id})" for each in found if each is not keep]


def _newest_alike(found: list[Any], schedule: Wanted) -> Any:
    return next((each for each in reversed(found) if not _unlike(each, schedule)), None)


def _unlike(each: Any, schedule: Wanted) -> list[str]:
    reference, config = each.pipeline_version_reference, each.runtime_config
    now = {
        "cron": each.trigger.cron_schedule.cron if each.trigger and each.trigger.cron_schedule else "",
        "enabled": each.status != "DISABLED",
        "max_concurrent_runs": int(each.max_concurrency or 0),
        "catch_up": not each.no_catchup,
        "pipeline": reference.pipeline_id if reference else "",
        "version": (reference.pipeline_version_id if reference else "") or "",
        "parameters": (config.parameters if config else None) or {},
        "pipeline_root": (config.pipeline_root if config else "") or "",
    }
    then = {
        "cron": schedule.cron,
        "enabled": schedule.enabled,
        "max_concurrent_runs": schedule.max_concurrent_runs,
        "catch_up": schedule.catch_up,
        "pipeline": schedule.pipeline_id,
        "version": schedule.version_id,
        "parameters": dict(schedule.parameters),
        "pipeline_root": schedule.pipeline_root,
    }
    if schedule.service_account:
        now["service_account"], then["service_account"] = each.service_account or "", schedule.service_account
    return [f"{key}: {now[key]!r} to {value!r}" for key, value in then.items() if now[key] != value]


def _create(server: Server, schedule: Wanted) -> Any:
    import kfp_server_api as api

    body = api.V2beta1RecurringRun(
        experiment_id=schedule.experiment_id,
        display_name=schedule.name,
        description="Made by pipeyard; changes here are undone by its next deployment.",
        pipeline_version_reference=api.V2beta1PipelineVersionReference(
            pipeline_id=schedule.pipeline_id, pipeline_version_id=schedule.version_id or None
        ),
        runtime_config=api.V2beta1RuntimeConfig(
            parameters=dict(schedule.parameters), pipeline_root=schedule.pipeline_root or None
        ),
        trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=schedule.cron)),
        mode=api.RecurringRunMode.ENABLE if schedule.enabled else api.RecurringRunMode.DISABLE,
        max_concurrency=str(schedule.max_concurrent_runs),
        no_catchup=not schedule.catch_up,
        service_account=schedule.service_account or None,
    )
    return server.ask(
        f"making the schedule {schedule.name!r}",
        server.recurring_runs.recurring_run_service_create_recurring_run,
        body,
        look=lambda: _newest_alike(_found(server, schedule.experiment_id, schedule.name), schedule),
    )


def _turn(server: Server, each: Any, on: bool) -> None:
    api = server.recurring_runs
    call = api.recurring_run_service_enable_recurring_run if on else api.recurring_run_service_disable_recurring_run
    server.ask(
        f"turning the schedule {each.display_name!r} {'on' if on else 'off'}",
        call,
        each.recurring_run_id,
        none_for=HTTPStatus.NOT_FOUND,
    )


def _delete(server: Server, each: Any) -> None:
    server.ask(
        f"removing the schedule {each.display_name!r}",
        server.recurring_runs.recurring_run_service_delete_recurring_run,
        each.recurring_run_id,
        none_for=HTTPStatus.NOT_FOUND,
    )
