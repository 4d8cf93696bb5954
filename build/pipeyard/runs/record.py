"""What is known of a run: the content of `run.json`, and of `events.jsonl`, what happened since that was written."""

import contextlib
from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import from_json

from pipeyard.errors import PipeyardError
from pipeyard.runs import journal
from pipeyard.system import files

FILE = "run.json"
EVENTS = "events.jsonl"
# Of what is written here. 1, which says no number, had no events.
FORMAT = 2
# Room, and a place in the file system's table, that a run keeps for its last record, should the disk fill up.
RESERVE = ".reserve"
RESERVE_BYTES = 1 << 20


class State(StrEnum):
    """States of a run or a task; those of KFP's API, and two more.

    CACHED is a task whose outputs were there already. INTERRUPTED is never recorded: it is what RUNNING means once
    nobody is at it any more.
    """

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    CACHED = "CACHED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    INTERRUPTED = "INTERRUPTED"

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
        waited_seconds: how long it waited for a slot when the task was to be tried again.
    """

    number: int
    log: str
    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = None
    peak_memory_bytes: int = 0
    waited_seconds: float = 0.0
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
        """Wall time from its first start to its end, less what it waited for a slot meanwhile; 0 before its end."""
        if not self.started_at or not self.ended_at:
            return 0.0
        waited = sum(attempt.waited_seconds for attempt in self.attempts if attempt.started_at >= self.started_at)
        return (self.ended_at - self.started_at).total_seconds() - waited


class Run(BaseModel):
    """A run of a compiled pipeline.

    Attributes:
        parameters: in force, defaults included.
        versions: of what ran it: pipeyard, kfp, python, the platform.
        commit: of the checkout; with `-dirty` if it had changes.
        folded: how many bytes of the run's events are in this already.
    """

    format: int = FORMAT
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
    folded: int = 0

    @property
    def seconds(self) -> float:
        """Wall time; 0 while it runs."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else 0.0

    def save(self, folder: Path) -> int:
        """Writes `run.json` into the run's folder, aside and then renamed, and returns how many bytes that is.

        Raises:
            OSError: the disk is full, say; what was there is left.
        """
        content = self.model_dump_json(indent=2).encode()
        files.write_whole(folder / FILE, content)
        return len(content)


def reserve(folder: Path) -> None:
    """Keeps room in a run's folder for its last record, until `release`."""
    files.write_whole(folder / RESERVE, bytes(RESERVE_BYTES))


def release(folder: Path) -> None:
    """Gives up what `reserve` kept."""
    with contextlib.suppress(OSError):
        (folder / RESERVE).unlink(missing_ok=True)


def task_event(task: Task, changed: Collection[str] | None = None) -> str:
    """Returns the line of a task's change.

    Args:
        changed: fields that were; None: it is new.
    """
    fields = {*changed, "path"} if changed is not None else None
    return f'{{"task":{task.model_dump_json(include=fields, exclude_defaults=changed is None)}}}'


def run_event(run: Run) -> str:
    """Returns the line of a run's end."""
    return f'{{"run":{run.model_dump_json(include={"state", "error", "ended_at"})}}}'


def load(folder: Path) -> Run:
    """Reads a run's record, as it is now: what happened since `run.json` was written is in it.

    Raises:
        PipeyardError: there is none, or it isn't readable.
    """
    content = _content(folder)
    while True:
        run, problem = _try(content, folder)
        if run and run.state.ended:
            return run
        later = _content(folder)
        if later == content:
            break
        content = later  # it was written while its events were read
    if problem:
        raise problem
    assert run
    return run


def _content(folder: Path) -> bytes:
    try:
        return (folder / FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PipeyardError(f"{folder} is no run folder: it has no {FILE}.") from error
    except OSError as error:
        raise PipeyardError(f"{folder / FILE} can't be read: {error.strerror or error}.") from error


def _try(content: bytes, folder: Path) -> tuple[Run | None, PipeyardError | None]:
    """Returns a record with the events after it, or why there is none."""
    path = folder / FILE
    try:
        known = from_json(content)
        if isinstance(known, dict) and isinstance(said := known.get("format", 1), int) and said > FORMAT:
            newer = f"{path} is of a newer Pipeyard (format {said}; this one reads up to {FORMAT})"
            return None, PipeyardError(f"{newer}. Update this checkout, and run `make setup`.")
        run = Run.model_validate(known)
        return (run if run.state.ended else Run.model_validate(_folded(known, run, folder))), None
    except journal.DamagedError as error:
        again = f"Remove {folder / EVENTS}; --resume then does again what {FILE} doesn't have"
        return None, PipeyardError(f"{folder / EVENTS} is damaged ({error}). {again}.")
    except OSError as error:
        return None, PipeyardError(f"{folder / EVENTS} can't be read: {error.strerror or error}.")
    except ValueError as error:
        return None, PipeyardError(f"{path} isn't a run record this version reads ({error}).")


def _folded(known: dict[str, Any], run: Run, folder: Path) -> dict[str, Any]:
    """Returns a record's content with the events that came after it. One that is in it already changes nothing."""
    tasks = {task["path"]: task for task in known.get("tasks", [])}
    for event in journal.read(folder / EVENTS, run.folded):
        if isinstance(task := event.get("task"), dict) and "path" in task:
            tasks.setdefault(task["path"], {}).update(task)
        elif isinstance(ended := event.get("run"), dict):
            known.update(ended)
        else:
            raise journal.DamagedError(f"an event is of {', '.join(event) or 'nothing'}")
    return {**known, "tasks": list(tasks.values())}
