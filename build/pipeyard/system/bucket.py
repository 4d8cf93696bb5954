"""Cloud Storage, as deliveries use it: what is written stays, and what moves, moves from what was seen.

Protocol: generation preconditions, https://cloud.google.com/storage/docs/request-preconditions.
"""

import base64
import collections
import contextlib
import hashlib
import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.system import google_login, retries

# Seconds to connect, and between two pieces of an answer.
TIMEOUT = (5, 60)
# Seconds that one operation may take with all its repetitions.
PATIENCE = retries.GOOGLE.seconds
# What is larger is sent in pieces of this many bytes; a piece that is lost is sent again, not the whole.
CHUNK = 1024 * 1024
NO_OBJECT = 0
# Metadata of an object: of which call it is.
_WRITE = "pipeyard-write"
_SCHEME = "gs://"


class PreconditionFailed(Exception):
    """An object isn't of the generation that was asked for."""


@dataclass(frozen=True)
class Stored:
    """An object.

    Attributes:
        generation: Cloud Storage's number of its content.
        created: False if it was there already.
    """

    uri: str
    generation: int
    created: bool


class Bucket:
    """A prefix in a bucket.

    Args:
        place: `gs://BUCKET[/PREFIX]`.
        client: google.cloud.storage.Client.
        patience: seconds that one operation may take.
    """

    def __init__(self, place: str, client: Any, patience: float = PATIENCE) -> None:
        name, _, prefix = place.removeprefix(_SCHEME).partition("/")
        self.place = place.rstrip("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._bucket = client.bucket(name)
        self._bounds = {
            "timeout": tuple(min(each, patience) for each in TIMEOUT),
            "retry": retries.for_cloud_storage(retries.GOOGLE.within(patience)),
        }

    def uri(self, path: str) -> str:
        """Returns the `gs://` URI of an object."""
        return f"{self.place}/{path}"

    def keep(self, path: str, data: bytes, content_type: str) -> Stored:
        """Writes an object that never changes. The same again writes nothing.

        Raises:
            PipeyardError: there is one of other content, or Cloud Storage refuses or can't be reached.
        """
        try:
            return Stored(self.uri(path), self.write(path, data, NO_OBJECT, content_type), created=True)
        except PreconditionFailed:
            pass
        with self._telling(path):
            blob = self._bucket.blob(self._prefix + path)
            blob.reload(**self._bounds)
        if (blob.size, blob.md5_hash) != (len(data), base64.b64encode(hashlib.md5(data).digest()).decode()):
            raise PipeyardError(
                f"{self.uri(path)} is there with other content, and is never overwritten: the same commit gave another "
                "package. Look for what isn't pinned, or commit what differs."
            )
        return Stored(self.uri(path), blob.generation, created=False)

    def write(self, path: str, data: bytes, over: int, content_type: str = "application/json") -> int:
        """Writes an object, if its generation is `over` (`NO_OBJECT`: if it is absent).

        Returns:
            The new generation.

        Raises:
            PreconditionFailed: its generation is another.
            PipeyardError: Cloud Storage refuses or can't be reached.
        """
        mark = uuid.uuid4().hex
        try:
            with self._telling(path):
                blob = self._bucket.blob(self._prefix + path, chunk_size=CHUNK)
                blob.cache_control = "no-cache"
                blob.metadata = {_WRITE: mark}
                blob.upload_from_file(
                    io.BytesIO(data),
                    size=len(data) if len(data) <= CHUNK else None,  # None: resumable
                    content_type=content_type,
                    if_generation_match=over,
                    checksum="crc32c",
                    **self._bounds,
                )
                return int(blob.generation)
        except PreconditionFailed:
            # If an answer was lost, the library sent the request again, and found its own first write in the way.
            with self._telling(path):
                there = self._bucket.get_blob(self._prefix + path, **self._bounds)
            if there is None or (there.metadata or {}).get(_WRITE) != mark:
                raise
            return int(there.generation)

    def read(self, path: str) -> tuple[bytes, int] | None:
        """Returns an object's content and its generation; None if it is absent.

        Raises:
            PipeyardError: Cloud Storage refuses or can't be reached.
        """
        from google.api_core.exceptions import NotFound

        with self._telling(path):
            blob = self._bucket.blob(self._prefix + path)
            try:
                data = blob.download_as_bytes(checksum="crc32c", **self._bounds)
            except NotFound:
                if self._there():
                    return None
                raise
            return data, int(blob.generation)

    def _there(self) -> bool:
        """False if the bucket is known not to be there: who may use objects alone can't ask for it."""
        from google.api_core.exceptions import Forbidden

        try:
            return self._bucket.exists(**self._bounds)
        except Forbidden:
            return True

    def paths(self, prefix: str) -> list[str]:
        """Returns the paths that start with `prefix`, sorted.

        Raises:
            PipeyardError: Cloud Storage refuses or can't be reached.
        """
        with self._telling(prefix):
            found = self._bucket.list_blobs(prefix=self._prefix + prefix, **self._bounds)
            return sorted(blob.name.removeprefix(self._prefix) for blob in found)

    def folders(self) -> list[str]:
        """Returns the first parts of all paths that have several, sorted.

        Raises:
            PipeyardError: Cloud Storage refuses or can't be reached.
        """
        with self._telling(""):
            listing = self._bucket.list_blobs(prefix=self._prefix, delimiter="/", **self._bounds)
            collections.deque(listing, maxlen=0)  # its prefixes are known when it has been read
            return sorted(each.removeprefix(self._prefix).rstrip("/") for each in listing.prefixes)

    @contextlib.contextmanager
    def _telling(self, path: str) -> Iterator[None]:
        """Translates Cloud Storage's errors into this package's."""
        import requests
        from google.api_core import exceptions
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

        uri = self.uri(path)
        try:
            yield
        except exceptions.PreconditionFailed as error:
            raise PreconditionFailed(uri) from error
        except (exceptions.Forbidden, exceptions.Unauthorized) as error:
            raise PipeyardError(
                f"{uri}: not permitted ({error.message}). Give this identity the role Storage Object User on the "
                "bucket."
            ) from error
        except exceptions.NotFound as error:
            raise PipeyardError(
                f"{uri}: there is no such bucket. Create it, or correct `bucket` in settings.yaml."
            ) from error
        except (
            exceptions.RetryError,
            requests.RequestException,
            TransportError,
            ConnectionError,
            TimeoutError,
        ) as error:
            cause = getattr(error, "cause", None) or error
            raise PipeyardError(
                f"{uri}: Cloud Storage can't be reached ({type(cause).__name__}: {cause}). Nothing is half written: "
                "run the same command again."
            ) from error
        except GoogleAuthError as error:
            raise PipeyardError(f"{uri}: {google_login.problem(error)}") from error
        except DataCorruption as error:
            raise PipeyardError(f"{uri}: it arrived damaged ({error}). Run the same command again.") from error
        except (exceptions.GoogleAPICallError, InvalidResponse) as error:
            if getattr(getattr(error, "response", None), "status_code", None) == 412:
                raise PreconditionFailed(uri) from error
            raise PipeyardError(f"{uri}: Cloud Storage refused: {error}. Run the same command again later.") from error


def connect(place: str, patience: float = PATIENCE) -> Bucket:
    """Returns the bucket at `gs://BUCKET[/PREFIX]`, with the credentials that the machine has.

    Raises:
        PipeyardError: it isn't such a URI, or there are no credentials.
    """
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage  # type: ignore[attr-defined]  # without types, in a namespace that others share

    if not place.startswith(_SCHEME) or not place.removeprefix(_SCHEME).partition("/")[0]:
        raise PipeyardError(f"The bucket {place!r} isn't gs://BUCKET or gs://BUCKET/PREFIX. Correct settings.yaml.")
    try:
        return Bucket(place, storage.Client(project=None), patience)  # objects need no project
    except GoogleAuthError as error:
        raise PipeyardError(f"{place}: {google_login.problem(error)}") from error
