"""Runs in Kubeflow Pipelines: start and wait."""

import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.ir import cache_override as caches
from pipeyard.servers.kubeflow import creation, failed_steps, names, pages, pipelines
from pipeyard.servers.kubeflow.cluster import WORKFLOW, Cluster, KubernetesObject
from pipeyard.servers.kubeflow.connection import NoSecret, Server, ServerError
from pipeyard.servers.kubeflow.pipelines import PipelineVersion
from pipeyard.servers.outcome import SUCCEEDED, RunOutcome
from pipeyard.system import polling

# What a run goes through that somebody stops. It ends FAILED then, and its history doesn't tell.
CANCELING = "CANCELING"
# States that a run stays in.
ENDS = (SUCCEEDED, "FAILED", "SKIPPED", "CANCELED")
# Seconds for which a server may be gone, or not know us, while a run is waited for: an upgrade of it takes that long.
PATIENCE = 600.0
# Whole numbers beyond are rounded on the way: JSON's numbers are doubles to the server.
_LARGEST = 2**53


def start(
    server: Server,
    experiment_id: str,
    version: PipelineVersion,
    name: str,
    parameters: Mapping[str, Any],
    pipeline_root: str,
    caching: bool | None = None,
    service_account: str = "",
    once: bool = False,
) -> str:
    """Starts a run of a pinned version and returns its id.

    Where it isn't known whether a run was made, it is looked for by its name before it is made again; see `creation`.
    So names are to be unique in their experiment.

    Args:
        name: the run's, as it is shown.
        parameters: name to value.
        caching: False: overrides the pipeline, the cache isn't used. The server takes that with a specification
            only, so it gets the version's, and the version's id as a remark. True or None: as the pipeline says.
        service_account: of Kubernetes; empty: the server's default.
        once: idempotent: if the experiment has a run of the name, in any state, its id is returned.

    Raises:
        PipeyardError: the name or a parameter can't be sent as it is, the version isn't there any more, the server
            refuses or can't be reached, or it isn't known whether the run was started.
    """
    import kfp_server_api as api

    names.check("run", name, "Choose a shorter --key.")
    _check(parameters)
    if once and (found := find(server, experiment_id, name)):
        return found
    what: dict[str, Any] = {
        "pipeline_version_reference": api.V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
        )
    }
    spec = pipelines.specification(server, version)
    if caching is not None:
        changed = caches.override(spec["pipeline_spec"], caching)
        what = {"pipeline_spec": {**spec, "pipeline_spec": changed} if "platform_spec" in spec else changed}
    run = api.V2beta1Run(
        experiment_id=experiment_id,
        display_name=name,
        description=f"Version {version.name} ({version.version_id}).",
        runtime_config=api.V2beta1RuntimeConfig(parameters=dict(parameters), pipeline_root=pipeline_root or None),
        service_account=service_account or None,
        **what,
    )
    made = creation.once(
        server,
        creation.Creation(
            f"starting the run {name!r}",
            server.runs.run_service_create_run,
            run,
            recorded=lambda: _named(server, experiment_id, name),
            left=lambda cluster: _unrecorded(server, cluster, name),
            removed_after=creation.REMOVED_AFTER,
            look="kubectl get workflows.argoproj.io -A -o custom-columns=NAME:.metadata.name,"
            f"RUN:.metadata.annotations.pipelines\\.kubeflow\\.org/run_name | grep -F '{name}'",
        ),
    )
    return made.run_id


def is_recorded(server: Server, run_id: str) -> bool:
    """Whether the server knows a run.

    Raises:
        ServerError: the server fails.
    """
    asked = f"asking for the run {run_id}"
    return server.ask(asked, server.runs.run_service_get_run, run_id, none_for=HTTPStatus.NOT_FOUND) is not None


def _unrecorded(server: Server, cluster: Cluster, name: str) -> list[KubernetesObject]:
    """Returns the workflows of a run's name, or of none, that the server doesn't know."""
    like = [each for each in cluster.list(WORKFLOW) if each.run_name in (name, "") and each.run_id]
    return [each for each in like if not is_recorded(server, each.run_id)]


def find(server: Server, experiment_id: str, name: str) -> str | None:
    """Returns the id of the run of a name; None if the experiment has none.

    Raises:
        ServerError: the server fails.
    """
    found = _named(server, experiment_id, name)
    return found.run_id if found is not None else None


def _named(server: Server, experiment_id: str, name: str) -> Any:
    listed = pages.all_of(
        server,
        f"looking for the run {name!r}",
        server.runs.run_service_list_runs,
        "runs",
        experiment_id=experiment_id,
        filter=pages.named(name),
    )
    return next((each for each in listed if each.display_name == name), None)


def wait(
    server: Server,
    run_id: str,
    timeout: float,
    interval: float = 5.0,
    tell: Callable[[str], object] = lambda line: None,
    patience: float = PATIENCE,
) -> RunOutcome:
    """Waits for a run's end, through failures of the server and tokens that expire meanwhile.

    Args:
        timeout: seconds, by this machine's steady clock, from now.
        interval: seconds between two questions at most; they come closer at first (see `polling`).
        tell: gets a line when the run, a step of it, or the server changes its state.
        patience: seconds for which the server may fail.

    Raises:
        PipeyardError: the time is up, the run isn't there, or the server failed for too long. The run goes on.
    """
    page = failed_steps.page_of(server.host, run_id)
    began = answered = server.clock()
    told = _News(tell)
    tasks = _Tasks(server)
    terminated = False
    while True:
        try:
            run = server.ask(f"asking for the run {run_id}", server.runs.run_service_get_run, run_id, attempts=1)
        except ServerError as error:
            if not _may_recover(server, error) or server.clock() - answered > patience:
                raise ServerError(f"{error} The run goes on: {page}", error.status) from error
            told.line("run", f"waiting for the server: {error}")
        else:
            answered = server.clock()
            terminated = terminated or run.state in (CANCELING, "CANCELED")
            if run.state not in ENDS:
                told.line("run", run.state or "PENDING")
            for node, line in failed_steps.progress(run, tasks.of(run)).items():
                told.line(node, line)
            if run.state in ENDS:
                told.line("run", run.state)
                return _outcome(server, run, tasks.of(run, last=True), page, terminated)
        waited = server.clock() - began
        left = timeout - waited
        if left <= 0:
            raise PipeyardError(
                f"The run {run_id} hasn't ended in {timeout:g} s; last: {told.last['run']}. It goes on: {page} . "
                "Wait longer (timeout: in settings.yaml), or stop it there."
            )
        server.sleep(min(polling.pause(waited, interval), left))


def _may_recover(server: Server, error: ServerError) -> bool:
    """A token in a file may be renewed a little later than it expires, and the file be gone or empty meanwhile."""
    unknown = error.status == HTTPStatus.UNAUTHORIZED or isinstance(error, NoSecret)
    return error.passing or (unknown and server.credentials.renewable)


class _News:
    """Tells what is new of each thing."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self.last: dict[str, str] = {}

    def line(self, of: str, text: str) -> None:
        if self.last.get(of) != text:
            self.last[of] = text
            self._tell(text)


class _Tasks:
    """The tasks of a run's compiled pipeline, read once, when there is something to tell of them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._found: list[failed_steps.WatchedTask] | None = None
        self._unknown = False

    def of(self, run: Any, last: bool = False) -> list[failed_steps.WatchedTask] | None:
        """Returns the tasks; None if they aren't known.

        Args:
            last: there is no later time, so that it is tried harder.
        """
        details = run.run_details.task_details if run.run_details else None
        if self._found is None and details and not self._unknown:
            try:
                self._found = failed_steps.tasks(self._specification(run, last)) or None
                self._unknown = self._found is None
            except ServerError as error:
                self._unknown = not error.passing  # the version is removed, e.g.
        return self._found

    def _specification(self, run: Any, last: bool) -> dict[str, Any]:
        spec, reference = run.pipeline_spec, run.pipeline_version_reference
        if not spec and reference and reference.pipeline_version_id:
            found = self._server.ask(
                f"reading the pipeline of the run {run.run_id}",
                self._server.pipelines.pipeline_service_get_pipeline_version,
                reference.pipeline_id or "-",
                reference.pipeline_version_id,
                attempts=None if last else 1,
            )
            spec = found.pipeline_spec
        return (spec or {}).get("pipeline_spec", spec or {})


def _outcome(
    server: Server, run: Any, tasks: list[failed_steps.WatchedTask] | None, page: str, terminated: bool
) -> RunOutcome:
    seconds = 0.0
    if run.created_at and run.finished_at:
        seconds = max(0.0, (run.finished_at - run.created_at).total_seconds())
    error = " ".join(run.error.message.split()) if run.error and run.error.message else ""
    failed = failed_steps.failed(run, tasks, server.host, server.namespace)
    return RunOutcome(run.state, seconds, failed, error, page, terminated and run.state != SUCCEEDED)


def _check(parameters: Mapping[str, Any]) -> None:
    """Refuses numbers that JSON has none for, or that the server would round."""
    problems = [
        f"{name} has {number!r}: pass it as text, or make it smaller"
        for name, value in parameters.items()
        for number in _numbers(value)
        if (isinstance(number, float) and not math.isfinite(number))
        or (isinstance(number, int) and abs(number) > _LARGEST)
    ]
    if problems:
        raise PipeyardError("The server can't take these parameters as they are: " + "; ".join(problems) + ".")


def _numbers(value: Any) -> list[int | float]:
    if isinstance(value, Mapping):
        return [number for each in value.values() for number in _numbers(each)]
    if isinstance(value, list | tuple):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []
