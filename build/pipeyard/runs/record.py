"""What is known of a run: the content of `run.json`, written whole after every change of state."""

import contextlib
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from pipeyard.errors import PipeyardError
from pipeyard.system import files

FILE = "run.json"
# Room, and a place in the file system's table, that a run keeps for its last record, should the disk fill up.
RESERVE = ".reserve"
RESERVE_BYTES = 1 << 20


class State(StrEnum):
    """States of a run or a task; those of KFP's API, and CACHED for a task whose outputs were there already."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    CACHED = "CACHED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def ended(self) -> bool:
        """True once it can't change any more."""
        return self not in (State.PENDING, State.RUNNING)

    @property
    def has_outputs(self) -> bool:
        """True if downstream tasks can read its outputs."""
        return self in (State.SUCCEEDED, State.CACHED)


class Artifact(BaseModel):
    """An artifact that a task wrote.

    Attributes:
        type: KFP schema title, e.g. `system.Dataset`.
        meaning: the component's own name for it, e.g. `Examples`; from `pipeyard.dev/output-types`.
        digest: sha256 over names and contents.
    """

    name: str
    type: str
    meaning: str = ""
    uri: str
    digest: str = ""
    bytes: int = 0
    metadata: dict[str, Any] = Field(default_factory=dict)


class Attempt(BaseModel):
    """One process of a task.

    Attributes:
        log: relative to the run's folder.
        peak_memory_bytes: of its processes together, looked at once a second, or of the largest; 0 if not known, as in
            a container.
    """

    number: int
    log: str
    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = None
    peak_memory_bytes: int = 0
    error: str = ""


class Task(BaseModel):
    """A task that runs a container, i.e. a leaf of the pipeline.

    Attributes:
        path: unique: names of the enclosing DAG tasks (loop iterations in brackets) and its own, joined with `/`.
        upstream: paths of tasks it takes values from or waits for.
        condition: the innermost condition it stands under, in words; empty if none.
        reason: why it is in this state, where that needs saying (skipped, failed, not cached).
        cached_from: id of the run that computed the outputs.
    """

    path: str
    name: str
    component: str
    state: State = State.PENDING
    reason: str = ""
    condition: str = ""
    upstream: list[str] = Field(default_factory=list)
    image: str = ""
    source_digest: str = ""
    cache_key: str = ""
    cached_from: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    input_artifacts: dict[str, Artifact] = Field(default_factory=dict)
    output_parameters: dict[str, Any] = Field(default_factory=dict)
    output_artifacts: dict[str, Artifact] = Field(default_factory=dict)
    attempts: list[Attempt] = Field(default_factory=list)

    @property
    def peak_memory_bytes(self) -> int:
        """The most of all attempts; 0 if it isn't known."""
        return max((attempt.peak_memory_bytes for attempt in self.attempts), default=0)

    @property
    def seconds(self) -> float:
        """Wall time from its first start to its end; 0 before that."""
        if not self.started_at or not self.ended_at:
            return 0.0
        return (self.ended_at - self.started_at).total_seconds()


class Run(BaseModel):
    """A run of a compiled pipeline.

    Attributes:
        parameters: in force, defaults included.
        versions: of what ran it: pipeyard, kfp, python, the platform.
        commit: of the checkout; with `-dirty` if it had changes.
    """

    id: str
    pipeline: str
    environment: str = "local"
    state: State = State.PENDING
    error: str = ""
    started_at: datetime
    ended_at: datetime | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    pipeline_digest: str = ""
    commit: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    tasks: list[Task] = Field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Wall time; 0 while it runs."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else 0.0

    def save(self, folder: Path) -> None:
        """Writes `run.json` into the run's folder, aside and then renamed.

        Raises:
            OSError: the disk is full, say; what was there is left.
        """
        files.write_whole(folder / FILE, self.model_dump_json(indent=2))

    def save_last(self, folder: Path) -> None:
        """As `save`, in the room that `reserve` kept."""
        with contextlib.suppress(OSError):
            (folder / RESERVE).unlink(missing_ok=True)
        self.save(folder)


class UnwritableError(Exception):
    """A run's record can't be written, so that the run ends. No error of one step: none of them is to go on."""


def reserve(folder: Path) -> None:
    """Keeps room in a run's folder for its last record, until `Run.save_last`."""
    (folder / RESERVE).write_bytes(bytes(RESERVE_BYTES))


def load(folder: Path) -> Run:
    """Reads a run's record.

    Raises:
        PipeyardError: there is none, or it isn't readable.
    """
    path = folder / FILE
    try:
        return Run.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PipeyardError(f"{folder} is no run folder: it has no {FILE}.") from error
    except ValueError as error:
        raise PipeyardError(f"{path} isn't a run record this version reads ({error}).") from error
