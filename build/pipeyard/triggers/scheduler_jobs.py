"""Cloud Scheduler's jobs, which call the Cloud Function: for triggers that have to look, and for schedules.

Protocol: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs

Without google-cloud-scheduler: two calls on one kind of resource, whose JSON the same command prints for those who
define it otherwise, need no generated client in everybody's environment.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.settings import Environment, Schedule
from pipeyard.settings.times import checked_cron
from pipeyard.system import google_login, retries
from pipeyard.triggers import events

API = "https://cloudscheduler.googleapis.com"
# When triggers look, unless it is said otherwise.
EVERY = "*/15 * * * *"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# Seconds to connect, and for an answer.
_TIMEOUT = (5, 60)
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
    if not environment.on_server:
        raise PipeyardError(
            f"No function in the cloud reaches {environment.name!r}, which is this machine. Run "
            f"`pipeyard trigger --env {environment.name} tick` by cron."
        )
    location = location or environment.target_settings.location(environment)
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


def apply(wanted: Mapping[str, str], api: str = API) -> Iterator[str]:
    """Applies the jobs that `jobs` returned to Cloud Scheduler; idempotent. Yields what was done.

    Args:
        api: URL of its API; without encryption no credentials are sent.

    Raises:
        PipeyardError: there are no credentials, or it refuses or can't be reached.
    """
    session = _session(api)
    for text in wanted.values():
        name = json.loads(text)["name"]
        status, answer = _send(session, "PATCH", f"{api}/v1/{name}", text)
        done = "is as defined"
        if status == HTTPStatus.NOT_FOUND:
            status, answer = _send(session, "POST", f"{api}/v1/{name.rpartition('/')[0]}", text)
            done = "was made"
        if status != HTTPStatus.OK:
            raise PipeyardError(
                f"Cloud Scheduler: {name} was refused: {status} {' '.join(answer.split())[:300]}. "
                "The account needs the role Cloud Scheduler Admin; then run this again."
            )
        yield f"{name} {done}"


def _send(session: Any, method: str, url: str, text: str) -> tuple[int, str]:
    """Sends a job. Both methods may be repeated: what is made twice is refused the second time."""
    import requests
    from google.auth.exceptions import GoogleAuthError, TransportError

    def once() -> Any:
        return session.request(method, url, data=text, headers={"Content-Type": "application/json"}, timeout=_TIMEOUT)

    try:
        answer = retries.answering(retries.SCHEDULER)(once)
    except (requests.RequestException, TransportError) as error:
        raise PipeyardError(
            f"Cloud Scheduler can't be reached at {url}: {error}. Check the network; then run this again."
        ) from error
    except GoogleAuthError as error:
        raise PipeyardError(f"Cloud Scheduler: {google_login.problem(error)}") from error
    return answer.status_code, answer.text


def _session(api: str) -> Any:
    import google.auth
    import requests
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    if api.startswith("http://"):
        return requests.Session()
    try:
        return AuthorizedSession(google.auth.default(scopes=[_SCOPE])[0])  # type: ignore[no-untyped-call]  # google-auth's are half annotated
    except GoogleAuthError as error:
        raise PipeyardError(f"Cloud Scheduler: {google_login.problem(error)}") from error
