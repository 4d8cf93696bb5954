"""Small objects that several writers change by compare-and-swap: files on this machine, or objects in Cloud Storage.

A writer names the version that it read; if another one is there by now, nothing is written, and `update` reads again.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pipeyard.errors import PipeyardError
from pipeyard.system import files, retries

if TYPE_CHECKING:
    from pipeyard.system.bucket import Bucket

T = TypeVar("T")
_SCHEME = "gs://"


class VersionChanged(Exception):
    """Somebody else wrote after it was read."""


class VersionedObject(Protocol):
    """Where one object is kept; `str` of it names the place."""

    def read(self) -> tuple[bytes | None, Any]:
        """Returns the content (None: absent) and its version.

        Raises:
            PipeyardError: the store refuses or can't be reached.
        """

    def write(self, content: bytes, version: Any) -> None:
        """Writes if the current version is the one given, which `read` returned.

        Raises:
            VersionChanged: another version is there by now. Nothing was written.
            PipeyardError: the store refuses or can't be reached.
        """

    def part(self, name: str) -> "VersionedObject":
        """Returns the object `name` in the folder that is named after this one, without its suffix."""


def update(
    place: VersionedObject,
    change: Callable[[bytes | None], tuple[bytes | None, T]],
    remedy: str,
    wait: Callable[[float], None] = sleep,
) -> T:
    """Changes an object, whoever else changes it at the same time, as often as `retries.CONDITIONAL` says.

    Args:
        change: takes the content (None: absent), and returns the new one and a result. It may be called several times.
            If the content stays the same, nothing is written.
        remedy: what to do if others change the object all the time.

    Raises:
        PipeyardError: others changed it before each attempt, or the store refuses or can't be reached.
    """

    def attempt() -> T:
        before, version = place.read()
        after, result = change(before)
        if after is not None and after != before:
            place.write(after, version)
        return result

    policy = retries.CONDITIONAL
    try:
        return retries.contending(policy, VersionChanged, wait)(attempt)
    except VersionChanged as error:
        raise PipeyardError(f"{place} was changed by others {policy.attempts} times in a row. {remedy}") from error


def object_at(place: str, name: str, patience: float) -> VersionedObject:
    """Returns an object; connects to its bucket when it is used.

    Args:
        place: a local folder or gs://BUCKET[/PREFIX].
        name: of the object, with slashes.
        patience: seconds that reading or writing may take, with repetitions.
    """
    return ObjectInBucket(place, name, patience) if place.startswith(_SCHEME) else ObjectFile(Path(place) / name)


def object_in(bucket: "Bucket", name: str) -> VersionedObject:
    """Returns an object of a bucket that is connected."""
    return ObjectInBucket(bucket.place, name, connection=bucket)


class ObjectFile:
    """A file on this machine; its version is its content.

    Args:
        lock: file that is held while this one is written; default: beside it.
    """

    def __init__(self, path: Path, lock: Path | None = None) -> None:
        self._path = path
        self._lock = lock or path.with_suffix(".lock")

    def __str__(self) -> str:
        return str(self._path)

    def part(self, name: str) -> "ObjectFile":
        return ObjectFile(self._path.with_suffix("") / name, self._lock)

    def read(self) -> tuple[bytes | None, bytes | None]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None, None
        return content, content

    def write(self, content: bytes, version: bytes | None) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with files.locked(self._lock):  # for as long as a file takes to be written
            if self.read()[0] != version:
                raise VersionChanged
            files.write_whole(self._path, content)


class ObjectInBucket:
    """An object in Cloud Storage; its versions are generations.

    Args:
        place: gs://BUCKET[/PREFIX].
        patience: seconds that reading or writing may take, with repetitions.
        connection: to it; default: one of its own.
    """

    def __init__(
        self, place: str, name: str, patience: float = retries.GOOGLE.seconds, connection: "Bucket | None" = None
    ) -> None:
        self._place, self._name, self._patience, self._connection = place.rstrip("/"), name, patience, connection

    def __str__(self) -> str:
        return f"{self._place}/{self._name}"

    def part(self, name: str) -> "ObjectInBucket":
        stem = self._name.removesuffix(Path(self._name).suffix)
        return ObjectInBucket(self._place, f"{stem}/{name}", self._patience, self._bucket)

    def read(self) -> tuple[bytes | None, int]:
        from pipeyard.system import bucket

        return self._bucket.read(self._name) or (None, bucket.NO_OBJECT)

    def write(self, content: bytes, version: int) -> None:
        from pipeyard.system import bucket

        try:
            self._bucket.write(self._name, content, version)
        except bucket.PreconditionFailed as error:
            raise VersionChanged from error

    @cached_property
    def _bucket(self) -> "Bucket":
        """Connects late: credentials may be asked for over the network."""
        from pipeyard.system import bucket

        return self._connection or bucket.connect(self._place, self._patience)
