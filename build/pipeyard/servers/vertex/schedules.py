"""Schedules on Vertex AI: one of a pipeline in an environment, which starts what is deployed.

What runs of a schedule can't be relied on to be updated in place, so a changed one is paused, its successor is made,
and it is deleted. Where the successor is refused, it is resumed. Whoever repeats that after it broke off goes on where
it was.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeyard.errors import PipeyardError
from pipeyard.servers.vertex.connection import Vertex, VertexUnavailable

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import PipelineJob

DIGEST = "pipeyard-schedule"
_LIVE = {"ACTIVE", "PAUSED"}


@dataclass(frozen=True)
class Timing:
    """When runs start.

    Attributes:
        cron: five fields.
        timezone: IANA name.
        enabled: False: it is there, but paused.
        catch_up: when it is enabled again, runs that were missed are made up for.
    """

    cron: str
    timezone: str = "UTC"
    enabled: bool = True
    max_concurrent_runs: int = 1
    catch_up: bool = False


def digest(timing: Timing, job: "PipelineJob") -> str:
    """Returns what tells two schedules apart, of any order of fields: 32 hex digits."""
    from google.protobuf import json_format

    plain = json_format.MessageToDict(job._pb)  # pylint: disable=protected-access  # proto-plus's way down
    plain.pop("labels", None)
    text = json.dumps([timing.cron, timing.timezone, timing.max_concurrent_runs, plain], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def found(vertex: Vertex, name: str) -> list[Any]:
    """Returns the schedules of a display name that aren't completed, the oldest first.

    Raises:
        PipeyardError: Vertex AI refuses or can't be reached.
    """
    listed = vertex.ask(
        f"looking for the schedule {name!r}",
        vertex.schedules.list_schedules,
        request={"parent": vertex.parent, "filter": f'display_name="{name}"'},
    )
    live = [each for each in listed if each.display_name == name and each.state.name in _LIVE]
    return sorted(live, key=lambda each: (each.create_time.timestamp() if each.create_time else 0.0, each.name))


def differs(vertex: Vertex, name: str, timing: Timing | None, job: "PipelineJob") -> bool:
    """True if `ensure` would change something. Only reads.

    Raises:
        PipeyardError: Vertex AI refuses or can't be reached.
    """
    there = found(vertex, name)
    if timing is None:
        return bool(there)
    return len(there) != 1 or not _is(there[0], timing, digest(timing, job))


def ensure(vertex: Vertex, name: str, timing: Timing | None, job: "PipelineJob") -> list[str]:
    """Applies the only schedule of a name; removes it if `timing` is None. Idempotent.

    Args:
        job: what it starts.

    Returns:
        What was done, in words; empty if nothing had to be.

    Raises:
        PipeyardError: Vertex AI can't be reached, or refuses the schedule: then the one before is in force again.
    """
    there = found(vertex, name)
    kept, done = None, []
    if timing is not None:
        mark = digest(timing, job)
        kept = _marked(there, mark)
        if kept is None:
            active = [each for each in there if each.state.name == "ACTIVE"]
            for each in active:
                _pause(vertex, each)
            try:
                made = _make(vertex, name, timing, job, mark)
            except VertexUnavailable:
                raise  # it may have been made: two would start each run twice
            except PipeyardError:
                for each in active:
                    _resume(vertex, each)
                raise
            done.append(f"made the schedule {timing.cron} {timing.timezone}")
            kept = made
            # Other deployments may have made some meanwhile. All remove what is older than theirs: the newest stays.
            now = found(vertex, name)
            names = [each.name for each in now]
            if made.name in names:  # else the list lags behind, or a newer one has taken its place already
                there = now[: names.index(made.name)]
        done += _turn(vertex, kept, timing)
    for each in there:
        if kept is None or each.name != kept.name:
            _delete(vertex, each.name)
            done.append("removed a schedule")
    return done


def _make(vertex: Vertex, name: str, timing: Timing, job: "PipelineJob", mark: str) -> Any:
    from google.cloud.aiplatform_v1.types import CreatePipelineJobRequest, PipelineJob, Schedule

    marked = PipelineJob(job)
    marked.labels = {**job.labels, DIGEST: mark}
    return vertex.ask(
        f"making the schedule {name!r}",
        vertex.schedules.create_schedule,
        again=False,  # twice would be two; the next run of the command finds what was made
        parent=vertex.parent,
        schedule=Schedule(
            display_name=name,
            cron=f"TZ={timing.timezone} {timing.cron}",
            max_concurrent_run_count=timing.max_concurrent_runs,
            create_pipeline_job_request=CreatePipelineJobRequest(parent=vertex.parent, pipeline_job=marked),
        ),
    )


def _turn(vertex: Vertex, schedule: Any, timing: Timing) -> list[str]:
    """Pauses or resumes it as is wanted; returns what was done."""
    if schedule.state.name == "ACTIVE" and not timing.enabled:
        _pause(vertex, schedule)
        return ["paused the schedule"]
    if schedule.state.name == "PAUSED" and timing.enabled:
        _resume(vertex, schedule, timing.catch_up)
        return ["resumed the schedule"]
    return []


def _marked(schedules: list[Any], mark: str) -> Any:
    """Returns the newest schedule of a digest; None if absent."""
    return next((each for each in reversed(schedules) if _mark(each) == mark), None)


def _is(schedule: Any, timing: Timing, mark: str) -> bool:
    return _mark(schedule) == mark and (schedule.state.name == "ACTIVE") == timing.enabled


def _mark(schedule: Any) -> str:
    return schedule.create_pipeline_job_request.pipeline_job.labels.get(DIGEST, "")


def _pause(vertex: Vertex, schedule: Any) -> None:
    call = _unless(vertex, schedule.name, "PAUSED", vertex.schedules.pause_schedule)
    vertex.ask(f"pausing {schedule.name}", call, request={"name": schedule.name})


def _resume(vertex: Vertex, schedule: Any, catch_up: bool = False) -> None:
    call = _unless(vertex, schedule.name, "ACTIVE", vertex.schedules.resume_schedule)
    vertex.ask(f"resuming {schedule.name}", call, request={"name": schedule.name, "catch_up": catch_up})


def _unless(vertex: Vertex, name: str, state: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a call that may fail where another deployment, or a try whose answer was lost, was there before.

    Args:
        state: that the call leads to. A schedule that is gone is nothing to fail for, either.
    """
    from google.api_core.exceptions import BadRequest, NotFound

    def called(**options: Any) -> None:
        try:
            call(**options)
        except NotFound:
            return
        except BadRequest:
            bounds = {key: value for key, value in options.items() if key != "request"}
            try:
                now = vertex.schedules.get_schedule(request={"name": name}, **bounds)
            except NotFound:
                return
            if now.state.name != state:
                raise

    return called


def _delete(vertex: Vertex, name: str) -> None:
    """Deletes one, and doesn't wait for the operation's end; one that is gone is as it should be."""
    from google.api_core.exceptions import NotFound

    def call(**options: Any) -> Any:
        try:
            return vertex.schedules.delete_schedule(**options)
        except NotFound:
            return None

    vertex.ask(f"deleting {name}", call, name=name)
