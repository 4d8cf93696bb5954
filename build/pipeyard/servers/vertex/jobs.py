"""Runs on Vertex AI: started under an id of their own, and waited for with a deadline."""

import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from pipeyard.errors import PipeyardError
from pipeyard.servers.outcome import FailedStep, RunOutcome
from pipeyard.servers.vertex.connection import Conflict, Vertex, VertexUnavailable
from pipeyard.system import polling

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import PipelineJob

_CONSOLE = "https://console.cloud.google.com"
# Vertex AI's name of a state to ours, of those that are ends.
_ENDS = {
    "PIPELINE_STATE_SUCCEEDED": "SUCCEEDED",
    "PIPELINE_STATE_FAILED": "FAILED",
    "PIPELINE_STATE_CANCELLED": "CANCELED",
}
# Seconds that Vertex AI may be gone while a run is waited for.
OUTAGE = 600.0
# Seconds that a look may take at least, though the time is nearly up.
_LEAST_PATIENCE = 0.1
_LONGEST_ID = 128
_LONGEST_LABEL = 63


@dataclass(frozen=True)
class Template:
    """What runs.

    Attributes:
        document: `vertex.json`.
        uri: where it is kept, as a remark: in Artifact Registry by `sha256:`; may be empty.
        labels: of its runs.
    """

    document: bytes
    uri: str
    labels: Mapping[str, str]


def job(template: Template, name: str, parameters: Mapping[str, Any], root: str, account: str = "") -> "PipelineJob":
    """Returns the message that starts a run.

    Args:
        name: as the console shows it.
        parameters: by name, typed.
        root: `gs://` folder for artifacts.
        account: service account that steps run as; empty: the project's default.

    Raises:
        PipeyardError: the document isn't a compiled pipeline.
    """
    from google.cloud.aiplatform_v1.types import PipelineJob
    from google.protobuf import json_format

    try:
        spec = json.loads(template.document)
        version = spec["schemaVersion"], spec["pipelineInfo"]["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise PipeyardError(f"vertex.json is damaged ({error!r}). Run `pipeyard compile` again.") from error
    assert version
    message = PipelineJob(
        display_name=name,
        labels={key: label(value) for key, value in template.labels.items()},
        service_account=account,
        template_uri=template.uri,
    )
    json_format.ParseDict(spec, message._pb.pipeline_spec)  # pylint: disable=protected-access  # proto-plus's way down
    config = {"gcsOutputDirectory": root, "parameterValues": dict(parameters)}
    json_format.ParseDict(config, message._pb.runtime_config)  # pylint: disable=protected-access
    return message


def job_id(pipeline: str, key: str = "") -> str:
    """Returns an id for a run.

    Args:
        key: the same key gives the same id, and another one another; empty: a new one.
    """
    text = f"{pipeline}-{key or uuid.uuid4().hex[:12]}"
    plain = re.sub("[^a-z0-9-]", "-", f"r-{text}".lower())
    if len(plain) <= _LONGEST_ID and plain == f"r-{text}":
        return plain
    mark = hashlib.sha256(text.encode()).hexdigest()[:12]  # what is replaced or cut off counts
    return f"{plain[: _LONGEST_ID - len(mark) - 1]}-{mark}"


def label(value: str) -> str:
    """Returns what a label can hold of a value: lower case letters, digits, '-' and '_', at most 63."""
    return re.sub("[^a-z0-9_-]", "-", value.lower())[:_LONGEST_LABEL]


def start(vertex: Vertex, wanted: "PipelineJob", identity: str) -> str:
    """Starts a run, unless there is one of this id: a repetition whose answer was lost finds its own.

    Args:
        identity: of `job_id`.

    Returns:
        The run's resource name.

    Raises:
        PipeyardError: Vertex AI refuses or can't be reached.
    """
    try:
        made = vertex.ask(
            f"starting the run {identity}",
            vertex.jobs.create_pipeline_job,
            parent=vertex.parent,
            pipeline_job=wanted,
            pipeline_job_id=identity,
        )
        return made.name
    except Conflict:
        return f"{vertex.parent}/pipelineJobs/{identity}"


def wait(
    vertex: Vertex,
    name: str,
    timeout: float,
    interval: float,
    tell: Callable[[str], object],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> RunOutcome:
    """Returns how a run ended.

    Args:
        timeout: seconds to wait at most.
        interval: seconds between two looks at most; they come closer at first (see `polling`).
        tell: takes a state that is new.
        clock: seconds, of a clock that nobody sets.

    Raises:
        PipeyardError: it hasn't ended in time, or Vertex AI refuses or is gone for `OUTAGE`.
    """
    began = clock()
    answered = clock()
    state = ""
    while True:
        try:
            found = vertex.ask(
                f"looking at the run {name}",
                vertex.jobs.get_pipeline_job,
                patience=max(_LEAST_PATIENCE, min(vertex.patience, began + timeout - clock())),
                name=name,
            )
            answered = clock()
        except VertexUnavailable as error:
            if clock() - answered > OUTAGE:
                raise PipeyardError(f"{error} The run goes on: {page(vertex, name)}") from error
            tell(f"no answer, waiting: {error}")
        else:
            if found.state.name != state:
                state = found.state.name
                tell(state.removeprefix("PIPELINE_STATE_"))
            if state in _ENDS:
                return _outcome(vertex, name, found, clock() - began)
        waited = clock() - began
        left = timeout - waited
        if left <= 0:
            raise PipeyardError(
                f"The run {name} hasn't ended in {timeout:g} s (it is {state or 'unknown'}). It goes on: "
                f"{page(vertex, name)} . Wait longer: timeout in settings.yaml."
            )
        sleep(min(polling.pause(waited, interval), left))


def page(vertex: Vertex, name: str) -> str:
    """Returns the address of a run's page in the console."""
    where = f"locations/{vertex.region}/pipelines/runs/{name.rpartition('/')[2]}"
    return f"{_CONSOLE}/vertex-ai/{where}?project={vertex.project}"


def _outcome(vertex: Vertex, name: str, found: "PipelineJob", waited: float) -> RunOutcome:
    failed = [
        FailedStep(each.task_name, _reason(each), _log(vertex, name, each))
        for each in found.job_detail.task_details
        if each.state.name == "FAILED"
    ]
    # A group of steps fails because one in it did: those that name a job are reported, if there are any.
    leaves = [step for step in failed if "logs/query" in step.log_url]
    # proto-plus gives datetimes, though its classes are annotated otherwise.
    started, ended = cast(datetime | None, found.start_time), cast(datetime | None, found.end_time)
    seconds = (ended - started).total_seconds() if ended and started else waited
    state = _ENDS[found.state.name]
    return RunOutcome(
        state,
        max(seconds, 0.0),
        leaves or failed,
        found.error.message,
        page(vertex, name),
        terminated=state == "CANCELED",
    )


def _reason(detail: Any) -> str:
    return " ".join(detail.error.message.split()) or "no reason given"


def _log(vertex: Vertex, name: str, detail: Any) -> str:
    container = detail.executor_detail.container_detail
    runner = (list(container.failed_main_jobs) or [container.main_job])[-1]
    if not runner:
        return page(vertex, name)
    query = f'resource.type="ml_job" resource.labels.job_id="{runner.rpartition("/")[2]}"'
    return f"{_CONSOLE}/logs/query;query={quote(query)}?project={vertex.project}"
