"""Schedules in Kubeflow Pipelines: recurring runs. The API changes none, so one is turned off, made anew, and removed.

A pinned version's workflow is kept with the schedule; without a version each run takes the pipeline's latest. The API
doesn't hold names unique, so two deployments at once make two schedules. Each removes what is older than its own, so
that the newest stays.

A schedule is found by its name in the whole namespace, whichever experiment it is in: one of an experiment that was
removed goes on, and is in none any more.

A schedule is made turned off, and turned on when the server has recorded it. So one that the server made in Kubernetes
and failed to record, which nobody removes, never starts a run beside the one that is recorded.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pipeyard.errors import PipeyardError
from pipeyard.servers.kubeflow import creation, cron, names, pages
from pipeyard.servers.kubeflow.cluster import SCHEDULED, Cluster, KubernetesObject
from pipeyard.servers.kubeflow.connection import Server

if TYPE_CHECKING:
    from pipeyard.settings import Schedule


@dataclass(frozen=True)
class Wanted:
    """A schedule's desired state.

    Attributes:
        name: by which it is found again; unique in the server's namespace.
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
    names.check("schedule", name)
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
    return _differences(found(server, schedule.name), schedule)


def ensure(server: Server, schedule: Wanted) -> list[str]:
    """Makes the server have this schedule of its name, and no other, in whichever experiment.

    Returns:
        What was changed, a line each; empty if all was as wanted.

    Raises:
        PipeyardError: the server fails, or refuses the schedule: then the one before is in force again.
    """
    there = found(server, schedule.name)
    changes = _differences(there, schedule)
    if not changes:
        return []
    keep = _newest_alike(there, schedule, apart_from="enabled")
    others = [each for each in there if each is not keep]
    active = [each for each in others if each.status != "DISABLED"]
    for each in active:
        turn(server, each, on=False)
    try:
        made = _create(server, schedule) if keep is None else keep
        if schedule.enabled != (made.status != "DISABLED"):
            turn(server, made, on=schedule.enabled)
    except PipeyardError as error:
        _restore(server, active, error)
        raise
    for each in others:
        delete(server, each.recurring_run_id, schedule.name)
    if keep is None:
        # What other deployments made meanwhile. All go by one order, so whoever looks last leaves one. What is older
        # than ours wouldn't do: times are seconds, and ours may sort below one whose maker has looked already.
        for each in found(server, schedule.name)[:-1]:
            delete(server, each.recurring_run_id, schedule.name)
    return changes


def remove(server: Server, name: str) -> list[str]:
    """Makes the server have no schedule of a name; runs that it started go on.

    Returns:
        What was changed, a line each.

    Raises:
        ServerError: the server fails.
    """
    there = found(server, name)
    for each in there:
        delete(server, each.recurring_run_id, name)
    return [f"schedule {name}: removed ({_cron(each)})" for each in there]


def found(server: Server, name: str) -> list[Any]:
    """Returns the schedules of a name, in whichever experiment, the oldest first.

    Raises:
        ServerError: the server fails.
    """
    listed = pages.all_of(
        server,
        f"looking for the schedule {name!r}",
        server.recurring_runs.recurring_run_service_list_recurring_runs,
        "recurring_runs",
        filter=pages.named(name),
        **server.where,
    )
    return sorted(
        (each for each in listed if each.display_name == name),
        key=lambda each: (each.created_at, each.recurring_run_id),
    )


def is_recorded(server: Server, recurring_run_id: str) -> bool:
    """Whether the server knows a schedule.

    Raises:
        ServerError: the server fails.
    """
    call = server.recurring_runs.recurring_run_service_get_recurring_run
    asked = f"asking for the schedule {recurring_run_id}"
    return server.ask(asked, call, recurring_run_id, none_for=HTTPStatus.NOT_FOUND) is not None


def _differences(there: list[Any], schedule: Wanted) -> list[str]:
    where = f"schedule {schedule.name}"
    if not there:
        return [f"{where}: new ({schedule.cron})"]
    keep = _newest_alike(there, schedule)
    if keep is None:
        return [f"{where}: {change}" for change in _unlike(there[-1], schedule).values()]
    return [f"{where}: one too many ({each.recurring_run_id})" for each in there if each is not keep]


def _newest_alike(there: list[Any], schedule: Wanted, apart_from: str = "") -> Any:
    """Returns the newest that is as wanted; None if absent.

    Args:
        apart_from: what may differ.
    """
    alike = (each for each in reversed(there) if not _unlike(each, schedule).keys() - {apart_from})
    return next(alike, None)


def _cron(each: Any) -> str:
    return each.trigger.cron_schedule.cron if each.trigger and each.trigger.cron_schedule else ""


def _unlike(each: Any, schedule: Wanted) -> dict[str, str]:
    """Returns what differs, and in words how."""
    reference, config = each.pipeline_version_reference, each.runtime_config
    now = {
        "experiment": each.experiment_id or "",
        "cron": _cron(each),
        "enabled": each.status != "DISABLED",
        "max_concurrent_runs": int(each.max_concurrency or 0),
        "catch_up": not each.no_catchup,
        "pipeline": (reference.pipeline_id if reference else "") or "",
        "version": (reference.pipeline_version_id if reference else "") or "",
        "parameters": (config.parameters if config else None) or {},
        "pipeline_root": (config.pipeline_root if config else "") or "",
    }
    then = {
        "experiment": schedule.experiment_id,
        "cron": schedule.cron,
        "enabled": schedule.enabled,
        "max_concurrent_runs": schedule.max_concurrent_runs,
        "catch_up": schedule.catch_up,
        "pipeline": schedule.pipeline_id,
        "version": schedule.version_id,
        "parameters": dict(schedule.parameters),
        "pipeline_root": schedule.pipeline_root,
    }
    if schedule.service_account and schedule.version_id:  # without a version the server doesn't tell it
        now["service_account"], then["service_account"] = each.service_account or "", schedule.service_account
    return {key: f"{key}: {now[key]!r} to {value!r}" for key, value in then.items() if now[key] != value}


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
        mode=api.RecurringRunMode.DISABLE,
        max_concurrency=str(schedule.max_concurrent_runs),
        no_catchup=not schedule.catch_up,
        service_account=schedule.service_account or None,
    )
    before = {each.recurring_run_id for each in found(server, schedule.name)}
    return creation.once(
        server,
        creation.Creation(
            f"making the schedule {schedule.name!r}",
            server.recurring_runs.recurring_run_service_create_recurring_run,
            body,
            recorded=lambda: _made(server, schedule, before),
            left=lambda cluster: _unrecorded(server, cluster),
            removed_after=None,
            look="kubectl get scheduledworkflows.kubeflow.org -A",
        ),
    )


def _restore(server: Server, active: Iterable[Any], error: PipeyardError) -> None:
    """Turns schedules on again after an error; raises it, with what to do, if that fails."""
    try:
        for each in active:
            turn(server, each, on=True)
    except PipeyardError as another:
        raise PipeyardError(
            f"{error} The schedule before is turned off, and couldn't be turned on again ({another}). Deploy again "
            f"(`pipeyard deploy --env {server.environment}`)."
        ) from error


def _made(server: Server, schedule: Wanted, before: Collection[str]) -> Any:
    """Returns the schedule that was made since; None: the server has none."""
    since = [each for each in found(server, schedule.name) if each.recurring_run_id not in before]
    return _newest_alike(since, schedule, apart_from="enabled")


def _unrecorded(server: Server, cluster: Cluster) -> list[KubernetesObject]:
    """Returns the scheduled workflows that the server doesn't know, of whichever schedule."""
    return [each for each in cluster.list(SCHEDULED) if not is_recorded(server, each.uid)]


def turn(server: Server, each: Any, on: bool) -> None:
    """Turns a schedule on or off; one that is gone stays so.

    Raises:
        ServerError: the server fails.
    """
    api = server.recurring_runs
    call = api.recurring_run_service_enable_recurring_run if on else api.recurring_run_service_disable_recurring_run
    server.ask(
        f"turning the schedule {each.display_name!r} {'on' if on else 'off'}",
        call,
        each.recurring_run_id,
        none_for=HTTPStatus.NOT_FOUND,
    )


def delete(server: Server, recurring_run_id: str, name: str) -> None:
    """Removes a schedule; runs that it started go on.

    Raises:
        ServerError: the server fails.
    """
    server.ask(
        f"removing the schedule {name!r}",
        server.recurring_runs.recurring_run_service_delete_recurring_run,
        recurring_run_id,
        none_for=HTTPStatus.NOT_FOUND,
    )
