"""Runs in Kubeflow Pipelines: start and wait."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pipeyard import pauses
from pipeyard.errors import PipeyardError
from pipeyard.kubeflow import caching as caches
from pipeyard.kubeflow import pages, pipelines, steps
from pipeyard.kubeflow.connection import NoSecret, Server, ServerError
from pipeyard.kubeflow.pipelines import Version
from pipeyard.kubeflow.steps import FailedStep

SUCCEEDED = "SUCCEEDED"
# States that a run stays in.
ENDS = (SUCCEEDED, "FAILED", "SKIPPED", "CANCELED")
# Seconds for which a server may be gone, or not know us, while a run is waited for: an upgrade of it takes that long.
PATIENCE = 600.0
# Whole numbers beyond are rounded on the way: JSON's numbers are doubles to the server.
_LARGEST = 2**53


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        state: one of ENDS.
        seconds: that it took, by the server's clock.
        failed: the steps that failed.
        error: what the server says of the whole run; may be empty.
        page: the run's address.
    """

    state: str
    seconds: float
    failed: list[FailedStep] = field(default_factory=list)
    error: str = ""
    page: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether all is well. SKIPPED and CANCELED aren't."""
        return self.state == SUCCEEDED


def start(
    server: Server,
    experiment_id: str,
    version: Version,
    name: str,
    parameters: Mapping[str, Any],
    pipeline_root: str,
    caching: bool | None = None,
    service_account: str = "",
    once: bool = False,
) -> str:
    """Starts a run of a pinned version and returns its id.

    If the connection breaks when the run may have been made, it is looked for by its name before it is made again. So
    names are to be unique in their experiment.

    Args:
        name: the run's, as it is shown.
        parameters: name to value.
        caching: False: the cache isn't used, whatever the pipeline says. The server takes that with a specification
            only, so it gets the version's, and the version's id as a remark. True or None: as the pipeline says.
        service_account: of Kubernetes; empty: the server's default.
        once: if the experiment has a run of the name already, in whatever state, its id is returned.

    Raises:
        PipeyardError: a parameter can't be sent as it is, or the server refuses or can't be reached.
    """
    import kfp_server_api as api

    _check(parameters)
    if once and (found := find(server, experiment_id, name)):
        return found
    what: dict[str, Any] = {
        "pipeline_version_reference": api.V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
        )
    }
    if caching is not None:
        spec = pipelines.specification(server, version)
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
    made = server.ask(
        f"starting the run {name!r}",
        server.runs.run_service_create_run,
        run,
        look=lambda: _named(server, experiment_id, name),
    )
    return made.run_id


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
) -> Outcome:
    """Waits for a run's end, through failures of the server and tokens that expire meanwhile.

    Args:
        timeout: seconds, by this machine's steady clock, from now.
        interval: seconds between two questions at most; they come closer at first (see `pauses`).
        tell: gets a line when the run, a step of it, or the server changes its state.
        patience: seconds for which the server may fail.

    Raises:
        PipeyardError: the time is up, the run isn't there, or the server failed for too long. The run goes on.
    """
    page = steps.page_of(server.host, run_id)
    began = answered = server.clock()
    told = _Told(tell)
    while True:
        try:
            run = server.ask(f"asking for the run {run_id}", server.runs.run_service_get_run, run_id, attempts=1)
        except ServerError as error:
            if not _may_recover(server, error) or server.clock() - answered > patience:
                raise ServerError(f"{error} The run goes on: {page}", error.status) from error
            told.line("run", f"waiting for the server: {error}")
        else:
            answered = server.clock()
            if run.state not in ENDS:
                told.line("run", run.state or "PENDING")
            for node, line in steps.progress(run).items():
                told.line(node, line)
            if run.state in ENDS:
                told.line("run", run.state)
                return _outcome(server, run, page)
        waited = server.clock() - began
        left = timeout - waited
        if left <= 0:
            raise PipeyardError(
                f"The run {run_id} hasn't ended in {timeout:g} s; last: {told.last['run']}. It goes on: {page} . "
                "Wait longer (timeout: in settings.yaml), or stop it there."
            )
        server.sleep(min(pauses.pause(waited, interval), left))


def _may_recover(server: Server, error: ServerError) -> bool:
    """A token in a file may be renewed a little later than it expires, and the file be gone or empty meanwhile."""
    unknown = error.status == HTTPStatus.UNAUTHORIZED or isinstance(error, NoSecret)
    return error.passing or (unknown and server.credentials.renewable)


class _Told:
    """Tells what is new of each thing."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self.last: dict[str, str] = {}

    def line(self, of: str, text: str) -> None:
        if self.last.get(of) != text:
            self.last[of] = text
            self._tell(text)


def _outcome(server: Server, run: Any, page: str) -> Outcome:
    seconds = 0.0
    if run.created_at and run.finished_at:
        seconds = max(0.0, (run.finished_at - run.created_at).total_seconds())
    error = " ".join(run.error.message.split()) if run.error and run.error.message else ""
    return Outcome(run.state, seconds, steps.failed(run, server.host, server.namespace), error, page)


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
