"""The Cloud Function's work: a request in, what became of it out. `triggers/event/main.py` hands requests over.

Answers, as Pub/Sub and Eventarc understand them: 200, it is done with; 400, it is no event, and never will be; 503,
tell it again.
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pipeyard import settings
from pipeyard.errors import PipeyardError
from pipeyard.triggers import events
from pipeyard.triggers.dispatch import Told, Triggers
from pipeyard.triggers.starting import RunStarter, launcher

# Environment variables of the function.
ENVIRONMENT = "PIPEYARD_ENVIRONMENT"
STATE = "PIPEYARD_TRIGGER_STATE"

# Bytes of a body that are read: an event has less.
LARGEST = events.LARGEST

Answer = tuple[int, dict[str, Any]]


def triggers(root: Path, variables: Mapping[str, str], launch: RunStarter | None = None) -> Triggers:
    """Returns the triggers that a function serves.

    Args:
        root: folder of `settings.yaml`.
        variables: `$PIPEYARD_ENVIRONMENT`, and what settings.yaml declares.

    Raises:
        PipeyardError: the environment isn't named, or settings.yaml doesn't fit.
    """
    name = variables.get(ENVIRONMENT, "")
    if not name:
        raise PipeyardError(f"${ENVIRONMENT} isn't set: it names the environment of settings.yaml that runs start in.")
    loaded = settings.load(root, variables)
    return Triggers(loaded.environment(name), loaded.environment, launch or launcher(), variables.get(STATE, ""))


def _print(line: str) -> None:
    # print() writes the line's end by itself, and requests are answered in several threads.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def answer(served: Triggers, headers: Mapping[str, str], body: bytes, log: Callable[[str], object] = _print) -> Answer:
    """Answers a request.

    Args:
        log: takes lines of JSON, as Cloud Logging reads them from the output.
    """
    try:
        event = events.parse(headers, body, datetime.now(UTC))
    except events.Ignored as ignored:
        return _answered(HTTPStatus.OK, f"starts nothing: {ignored}", log, "DEBUG")
    except events.Unreadable as error:
        return _answered(HTTPStatus.BAD_REQUEST, str(error), log, "ERROR")
    told = served.tell(event)
    for each in told:
        log(_line(served.environment.name, each))
    if not told:
        what = event.subject or event.kind
        return _answered(HTTPStatus.OK, f"no trigger of {served.environment.name} wants {what}", log, "INFO")
    status = HTTPStatus.SERVICE_UNAVAILABLE if any(each.again for each in told) else HTTPStatus.OK
    return status, {"told": [dataclasses.asdict(each) for each in told]}


def _answered(status: int, message: str, log: Callable[[str], object], severity: str) -> Answer:
    log(json.dumps({"severity": severity, "message": message}))
    return status, {"message": message}


def _line(environment: str, told: Told) -> str:
    problems = "; ".join(told.problems.values())
    message = f"{told.trigger}: {told.code}: {told.reason}" + (f": {problems}" if problems else "")
    severity = "ERROR" if told.problems else "NOTICE" if told.started else "INFO"
    return json.dumps(
        {"severity": severity, "message": message, "environment": environment, **dataclasses.asdict(told)}
    )
