"""ML Metadata: executions and artifacts, in a folder of JSON files that processes share."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# Execution.State of ML Metadata, of which these appear.
RUNNING, COMPLETE, FAILED = "RUNNING", "COMPLETE", "FAILED"
LIVE = "LIVE"


@dataclass(frozen=True)
class Artifact:
    """An artifact as it is recorded; `state` is LIVE whether or not anything was uploaded."""

    name: str
    type: str
    uri: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    state: str = LIVE


@dataclass(frozen=True)
class Execution:
    """An execution of a task, or of a group of tasks."""

    id: int
    task: str
    state: str = RUNNING
    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)


class Records:
    """Keeps executions in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, task: str) -> Execution:
        """Records an execution that begins; the driver does so, before there is a container."""
        execution = Execution(next(filter(self._taken, itertools.count(1))), task)
        self._write(execution)
        return execution

    def publish(
        self,
        number: int,
        state: str,
        parameters: Mapping[str, Any] | None = None,
        artifacts: Mapping[str, Artifact] | None = None,
    ) -> Execution:
        """Records how an execution ended."""
        execution = Execution(number, self.execution(number).task, state, parameters or {}, artifacts or {})
        self._write(execution)
        return execution

    def execution(self, number: int) -> Execution:
        stored = json.loads(self._file(number).read_text(encoding="utf-8"))
        artifacts = {name: Artifact(**each) for name, each in stored.pop("artifacts").items()}
        return Execution(**stored, artifacts=artifacts)

    def _taken(self, number: int) -> bool:
        """Takes a number, if nobody else has."""
        try:
            self._file(number).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _write(self, execution: Execution) -> None:
        self._file(execution.id).write_text(json.dumps(asdict(execution)), encoding="utf-8")

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.json"


def stored_metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns metadata as the next step gets it: lists and dicts are properties of the kind `struct`."""
    return {key: {"struct": value} if isinstance(value, (list, dict)) else value for key, value in values.items()}


def final_status(execution: Execution, run: str) -> dict[str, Any]:
    """Returns what the driver gives an exit handler's task: ML Metadata's state, and an error that is always empty."""
    return {
        "state": execution.state,
        "error": {},
        "pipelineJobResourceName": run,
        "pipelineTaskName": execution.task,
    }
