"""How the run ended, as the backend tells it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUCCEEDED = "SUCCEEDED"
UNKNOWN = "UNKNOWN"
NOT_TOLD = "NOT TOLD"

# What KFP's API says (task and run states), and what ML Metadata does (`Execution.State` in metadata_store.proto), from
# which the driver of KFP 2.17 takes it: a run that succeeded is COMPLETE there.
_SUCCESS = {SUCCEEDED, "COMPLETE", "CACHED"}
# ML Metadata has no more to say where a condition wasn't met, or a driver failed: the execution that stands for all of
# the run's tasks stays as it was when it began.
_UNTOLD = {"NEW", "RUNNING"}


@dataclass(frozen=True)
class Status:
    """The end of a run.

    Attributes:
        state: SUCCEEDED; FAILED, CANCELLED or what else the backend says; NOT TOLD if it says of the run, which has
            ended, that it is underway; UNKNOWN if it says nothing.
        error: why it failed; '' if it didn't or nothing is said.
        job: the backend's name of the run; '' if it isn't said.
        said: the state in the backend's own word.
    """

    state: str
    error: str = ""
    job: str = ""
    said: str = ""

    @property
    def succeeded(self) -> bool:
        return self.state == SUCCEEDED

    @property
    def untold(self) -> bool:
        """True if the backend doesn't say how it ended."""
        return self.state in (UNKNOWN, NOT_TOLD)


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
    said = _text(value, "state").upper()
    state = SUCCEEDED if said in _SUCCESS else NOT_TOLD if said in _UNTOLD else said or UNKNOWN
    # Some drivers send the state's number as the error's code, of a success too.
    error = "" if state == SUCCEEDED else _error(value.get("error"))
    return Status(state, error, _text(value, "pipelineJobResourceName", "pipeline_job_resource_name"), said)


def _text(value: Mapping[str, Any], *names: str) -> str:
    return next((str(value[name]) for name in names if value.get(name)), "")


def _error(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error or "")
    message, code = _text(error, "message"), _text(error, "code")
    return f"{message} (code {code})" if message and code else message or (f"code {code}" if code else "")
