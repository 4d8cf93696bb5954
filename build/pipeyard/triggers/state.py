"""Where a trigger's state is kept: a local folder, or Cloud Storage. Nobody writes over what he hasn't read."""

import fcntl
import random
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from pipeyard import files
from pipeyard.errors import PipeyardError
from pipeyard.triggers.model import State

T = TypeVar("T")
_TRIES = 12
# Seconds between tries: Cloud Storage takes one change of an object a second.
_SHORTEST, _LONGEST = 0.05, 4.0
# Seconds that a request, with its repetitions, may take.
_DEADLINE = 30.0
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
        after, result = change(parse(content))
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
    if place.startswith(_SCHEME):
        bucket, _, prefix = place.removeprefix(_SCHEME).partition("/")
        return Bucket(bucket, "/".join(filter(None, [prefix.strip("/"), name])))
    return Folder(Path(place) / name)


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


class Bucket:
    """An object in Cloud Storage; its versions are generations.

    Args:
        client: google.cloud.storage.Client; default: one with the credentials that the machine has.
    """

    def __init__(self, bucket: str, name: str, client: Any = None) -> None:
        self._bucket_name, self._name, self._client = bucket, name, client

    def __str__(self) -> str:
        return f"{_SCHEME}{self._bucket_name}/{self._name}"

    def read(self) -> tuple[bytes, int]:
        from google.api_core import exceptions

        for _ in range(_TRIES):
            blob = self._asked(self._bucket().get_blob, self._name)
            if blob is None:
                return b"", 0
            try:
                content = self._asked(blob.download_as_bytes, if_generation_match=blob.generation)
            except (exceptions.NotFound, exceptions.PreconditionFailed):  # written over meanwhile
                continue
            return content, blob.generation
        raise PipeyardError(f"{self} changed {_TRIES} times while it was read. Send the event again.")

    def write(self, content: bytes, version: int) -> None:
        from google.api_core import exceptions

        blob = self._bucket().blob(self._name)
        try:
            self._asked(blob.upload_from_string, content, "application/json", if_generation_match=version)
        except exceptions.NotFound as error:
            raise PipeyardError(
                f"There is no bucket gs://{self._bucket_name} for the trigger's state. Make it."
            ) from error
        except exceptions.PreconditionFailed as error:
            # Where an answer got lost, the library asks again, and what stands in the way is what it wrote itself.
            if self.read()[0] != content:
                raise Changed from error

    def _bucket(self) -> Any:
        from google.cloud import storage

        if self._client is None:
            self._client = storage.Client()
        return self._client.bucket(self._bucket_name)

    def _asked(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        import google.auth.exceptions
        import requests
        from google.api_core import exceptions
        from google.cloud.storage.retry import DEFAULT_RETRY

        retry = DEFAULT_RETRY.with_timeout(_DEADLINE)
        try:
            return call(*arguments, timeout=(5, _DEADLINE), retry=retry, **options)
        except (exceptions.NotFound, exceptions.PreconditionFailed):
            raise
        except (exceptions.GoogleAPIError, requests.RequestException, google.auth.exceptions.GoogleAuthError) as error:
            raise PipeyardError(
                f"{self} can't be reached: {error}. Check the bucket's name, and that the account may write to it."
            ) from error
