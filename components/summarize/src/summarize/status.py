"""How the run ended, as the backend tells it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUCCEEDED = "SUCCEEDED"
UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Status:
    """The end of a run.

    Attributes:
        state: SUCCEEDED, FAILED, CANCELLED or what else the backend says; UNKNOWN if it says nothing.
        error: why it failed; '' if it didn't or nothing is said.
        job: the backend's name of the run; '' if it isn't said.
    """

    state: str
    error: str = ""
    job: str = ""


def parse(text: str) -> Status:
    """Reads KFP's PipelineTaskFinalStatus, in JSON's camel case or protobuf's snake case; never raises.

    Some backends leave it out, or leave its placeholder unresolved: the state is UNKNOWN then.
    """
    try:
        value = json.loads(text)
    except ValueError:
        return Status(UNKNOWN)
    if not isinstance(value, dict):
        return Status(UNKNOWN)
    state = _text(value, "state").upper() or UNKNOWN
    return Status(
        state, _error(value.get("error")), _text(value, "pipelineJobResourceName", "pipeline_job_resource_name")
    )


def _text(value: Mapping[str, Any], *names: str) -> str:
    return next((str(value[name]) for name in names if value.get(name)), "")


def _error(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error or "")
    message, code = _text(error, "message"), _text(error, "code")
    return f"{message} (code {code})" if message and code else message or (f"code {code}" if code else "")
