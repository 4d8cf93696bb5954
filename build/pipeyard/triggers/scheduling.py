"""Cloud Scheduler's jobs, which call the Cloud Function: for triggers that have to look, and for schedules.

Protocol: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs
"""

import base64
import json
import re
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.settings import Environment, Schedule
from pipeyard.settings.times import checked_cron
from pipeyard.triggers import events

_LOCATION = re.compile(r"projects/[^/\s]+/locations/[a-z0-9-]+")
# Less than the time for which what is being started is left alone (firing.HOLD).
_DEADLINE = "540s"
_RETRIES = {
    "retryCount": 5,
    "maxRetryDuration": "3600s",
    "minBackoffDuration": "10s",
    "maxBackoffDuration": "600s",
    "maxDoublings": 5,
}


def jobs(environment: Environment, url: str, account: str, location: str, every: str) -> dict[str, str]:
    """Returns name to job, as JSON: one by which triggers look, and one for each schedule that isn't `enabled`.

    Args:
        url: of the function.
        account: e-mail of the service account that may invoke it.
        location: projects/P/locations/R; '': that of the environment, which is on Vertex AI then.
        every: five fields of cron: when triggers look.

    Raises:
        PipeyardError: a schedule or the location isn't one, or the environment is this machine.
    """
    if environment.target == "local":
        raise PipeyardError(
            f"No function in the cloud reaches {environment.name!r}, which is this machine. Run "
            f"`pipeyard trigger --env {environment.name} tick` by cron."
        )
    if not location and environment.target == "vertex":
        location = f"projects/{environment.project}/locations/{environment.region}"
    if not _LOCATION.fullmatch(location):
        raise PipeyardError(
            f"Where are the jobs to be? Give --location projects/PROJECT/locations/REGION, not {location!r}."
        )
    try:
        look = Schedule(cron=checked_cron(every))
    except ValueError as error:
        raise PipeyardError(f"--every: {error}.") from error
    wanted: dict[str, tuple[Schedule, str, dict[str, Any], str]] = {
        f"pipeyard-{environment.name}-tick": (look, events.TICK, {}, "Triggers look, and start what waits."),
    }
    for pipeline in environment.pipelines:
        schedule = environment.schedule_of(pipeline)
        if schedule is not None and not schedule.enabled:
            name = re.sub(r"[^a-z0-9]+", "-", f"pipeyard-{environment.name}-{pipeline}".lower())
            wanted[name] = (schedule, events.SCHEDULED, {"pipeline": pipeline}, f"Runs {pipeline}.")
    return {
        name: json.dumps(_job(f"{location}/jobs/{name}", url, account, environment.name, *each), indent=2) + "\n"
        for name, each in wanted.items()
    }


def _job(
    name: str,
    url: str,
    account: str,
    environment: str,
    schedule: Schedule,
    kind: str,
    data: dict[str, Any],
    description: str,
) -> dict[str, Any]:
    """A job's headers never change; when it was due the scheduler adds, which tells one event from the next."""
    headers = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-type": kind,
        "ce-source": f"pipeyard/{environment}",
        "ce-id": name.rpartition("/")[2],
    }
    return {
        "name": name,
        "description": f"{description} Made by `pipeyard trigger scheduler`.",
        "schedule": schedule.cron,
        "timeZone": schedule.timezone,
        "attemptDeadline": _DEADLINE,
        "retryConfig": _RETRIES,
        "httpTarget": {
            "uri": url,
            "httpMethod": "POST",
            "headers": headers,
            "body": base64.b64encode(json.dumps(data).encode()).decode(),
            "oidcToken": {"serviceAccountEmail": account, "audience": url},
        },
    }
