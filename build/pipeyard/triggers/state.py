"""Where a trigger's state is kept: a local folder, or Cloud Storage. Nobody writes over what he hasn't read."""

import fcntl
import random
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import ValidationError

from pipeyard import files
from pipeyard.errors import PipeyardError
from pipeyard.triggers.model import State

if TYPE_CHECKING:
    from pipeyard.delivery.bucket import Bucket

T = TypeVar("T")
_TRIES = 12
# Seconds between tries: Cloud Storage takes one change of an object a second.
_SHORTEST, _LONGEST = 0.05, 4.0
# Seconds that reading or writing may take, with repetitions.
_DEADLINE = 60.0
_SCHEME = "gs://"


class Changed(Exception):
    """Somebody else wrote after it was read."""


class Store(Protocol):
    """A place for the state of one trigger."""

    def read(self) -> tuple[bytes, Any]:
        """Returns what is there, and which version that is; b'' if nothing is."""

    def write(self, content: bytes, version: Any) -> None:
        """Writes in the place of the version that was read.

        Raises:
            Changed: another version is there by now. Nothing was written.
        """


def update(store: Store, change: Callable[[State], tuple[State, T]], wait: Callable[[float], None] = sleep) -> T:
    """Changes a state, whoever else changes it at the same time; `change` may be called several times.

    Raises:
        PipeyardError: what is there is no state, or others changed it too often for this to have its turn.
    """
    pause = _SHORTEST
    for _ in range(_TRIES):
        content, version = store.read()
        before = parse(content)
        after, result = change(before)
        if after == before:
            return result
        try:
            store.write(after.model_dump_json().encode(), version)
        except Changed:
            wait(random.uniform(0, pause))
            pause = min(2 * pause, _LONGEST)
            continue
        return result
    raise PipeyardError(
        f"The trigger's state was changed by others {_TRIES} times in a row. Send the event again; for constant bursts "
        "give the trigger fewer events: a prefix, or a suffix that one file a batch has."
    )


def read(store: Store) -> State:
    """Returns the state that is kept."""
    return parse(store.read()[0])


def parse(content: bytes) -> State:
    """Returns the state; an empty one of nothing.

    Raises:
        PipeyardError: it is no state.
    """
    try:
        return State.model_validate_json(content) if content else State()
    except ValidationError as error:
        raise PipeyardError(
            f"The trigger's state can't be read: {error}. Move it away: the trigger begins anew then, and may "
            "start a run for what is told it again."
        ) from error


def store_at(place: str, name: str) -> Store:
    """Returns the place for a trigger's state.

    Args:
        place: a local folder or gs://BUCKET[/PREFIX].
        name: of the file, with slashes.
    """
    return Object(place, name) if place.startswith(_SCHEME) else Folder(Path(place) / name)


class Folder:
    """A file on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def read(self) -> tuple[bytes, bytes]:
        content = self._path.read_bytes() if self._path.exists() else b""
        return content, content

    def write(self, content: bytes, version: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # for as long as a file takes to be written
            if self.read()[0] != version:
                raise Changed
            files.write_whole(self._path, content)


class Object:
    """An object in Cloud Storage; its versions are generations.

    Args:
        place: gs://BUCKET[/PREFIX].
    """

    def __init__(self, place: str, name: str) -> None:
        self._place, self._name = place.rstrip("/"), name

    def __str__(self) -> str:
        return f"{self._place}/{self._name}"

    def read(self) -> tuple[bytes, int]:
        return self._bucket.read(self._name) or (b"", 0)

    def write(self, content: bytes, version: int) -> None:
        from pipeyard.delivery import bucket

        try:
            self._bucket.write(self._name, content, version)
        except bucket.Changed as error:
            # Where an answer got lost, the library asks again, and what stands in the way is what it wrote itself.
            if self.read()[0] != content:
                raise Changed from error

    @cached_property
    def _bucket(self) -> "Bucket":
        """Late: credentials may be asked for over the network."""
        from pipeyard.delivery import bucket

        return bucket.connect(self._place, _DEADLINE)
