"""Stores in buckets (gs://, s3://), and wherever else fsspec reaches."""

import json
import uuid
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote

from pipeyard.component_store import layout
from pipeyard.component_store.layout import IndexEntry
from pipeyard.component_store.places import NO_FILE, FileMissing, PlaceChanged, PlaceUnavailable
from pipeyard.errors import PipeyardError
from pipeyard.system import retries
from stepkit.uris import join

_LIBRARIES = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "s3a": "s3fs", "az": "adlfs", "abfs": "adlfs"}
# A whole answer, the library's own retries included, may take this many times what one wait of it may.
_PATIENCE = 6
# Scheme to the field of fsspec's file information that differs from version to version.
_MARKS = {"gs": "generation", "gcs": "generation", "s3": "ETag", "s3a": "ETag"}
_UNKNOWN = "unknown"
# What moves is asked for anew each time: Cloud Storage lets public objects be kept for an hour where nothing is said.
_NOT_KEPT = "no-cache"


class BucketPlace:
    """A prefix of fsspec's URLs.

    Args:
        prefix: what comes before `/<name>/component.yaml`.
        options: fsspec's storage options; without any, the library finds credentials as it does by itself.
        timeout: seconds that a connection or a part of an answer may take.

    Raises:
        PipeyardError: fsspec doesn't know the scheme, or needs a library for it that isn't there.
    """

    def __init__(self, prefix: str, options: Mapping[str, Any], timeout: float) -> None:
        from fsspec.core import get_filesystem_class

        self._prefix = prefix.rstrip("/")
        self._timeout = timeout * _PATIENCE
        self._scheme = scheme = prefix.partition("://")[0]
        self._options = {"use_listings_cache": False, **options}
        if scheme in {"s3", "s3a"}:
            bounds: dict[str, Any] = {
                "connect_timeout": timeout,
                "read_timeout": timeout,
                "retries": retries.for_botocore(retries.COMPONENTS),
            }
            self._options.setdefault("config_kwargs", bounds)
        try:
            get_filesystem_class(scheme)
        except ImportError as error:
            library = _LIBRARIES.get(scheme, "its library")
            raise PipeyardError(
                f"{prefix} needs {library}, which isn't installed ({error}). Install {library} beside pipeyard."
            ) from error
        except ValueError as error:
            raise PipeyardError(
                f"{prefix} can't be a place of components: {error}. Use https://, gs://, s3:// or a local folder."
            ) from error

    @cached_property
    def _filesystem(self) -> tuple[Any, str]:
        """The file system, and the prefix within it. Late: making some asks the network for credentials."""
        from fsspec.core import url_to_fs

        return url_to_fs(self._prefix, **self._options)

    def location(self, path: str) -> str:
        return join(self._prefix, path) if path else self._prefix

    def read(self, path: str) -> bytes:
        return self._do("cat_file", path)

    def entries(self) -> dict[str, IndexEntry]:
        try:
            return layout.read_index(self.read(layout.INDEX))
        except FileMissing:  # without an index: what a listing shows, which lists components without a group
            return {name: IndexEntry() for name in self._listed("") if name not in {layout.INDEX, layout.RELEASES}}
        except ValueError as error:
            raise PlaceUnavailable(str(error)) from error

    def versions(self, name: str) -> IndexEntry:
        return IndexEntry(
            digests=tuple(self._listed(f"{name}/{layout.DIGESTS}")),
            tags=dict.fromkeys(self._listed(f"{name}/{layout.TAGS}"), ""),
        )

    def look(self, path: str) -> tuple[bytes, str]:
        # The mark first: content that is newer than its mark only costs the one who writes over it another try.
        about = self._do("info", path)
        return self.read(path), str(about[_MARKS[self._scheme]]) if self._scheme in _MARKS else _UNKNOWN

    def write(self, path: str, data: bytes, over: str | None = None) -> None:
        """See `Writable`. Which version is written over is known to gs:// and s3:// alone; others write over any."""
        mark = _MARKS.get(self._scheme)
        options: dict[str, Any] = {}
        if layout.moves(path) and mark == "ETag":
            options["CacheControl"] = _NOT_KEPT
        elif layout.moves(path) and mark == "generation":
            options["fixed_key_metadata"] = {"cache_control": _NOT_KEPT}
        if over == NO_FILE:
            self._do("pipe_file", path, data, mode="create", **options)
        elif over in {None, _UNKNOWN}:
            self._do("pipe_file", path, data, **options)
        elif mark == "ETag":
            self._do("pipe_file", path, data, IfMatch=over, **options)
        else:
            self._do(_write_over_generation, path, data, over)

    def _listed(self, path: str) -> list[str]:
        try:
            found = self._do("ls", path, detail=False)
        except FileMissing:
            return []
        return sorted({entry.rstrip("/").rpartition("/")[2] for entry in found} - {""})

    def _do(self, operation: str | Callable[..., Any], path: str, *arguments: Any, **options: Any) -> Any:
        """Does one of fsspec's operations on a file, or a coroutine function's that takes the file system first."""
        from fsspec import asyn

        try:
            filesystem, root = self._filesystem
            full = join(root, path) if path else root
            if callable(operation):
                return asyn.sync(filesystem.loop, operation, filesystem, full, *arguments, timeout=self._timeout)
            if filesystem.async_impl:
                coroutine = getattr(filesystem, f"_{operation}")
                return asyn.sync(filesystem.loop, coroutine, full, *arguments, timeout=self._timeout, **options)
            return getattr(filesystem, operation)(full, *arguments, **options)
        except FileExistsError as error:
            raise PlaceChanged("there is another one already") from error
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise FileMissing("not there") from error
        except (asyn.FSTimeoutError, TimeoutError) as error:
            raise PlaceUnavailable(f"timed out: no answer for {self._timeout:g} s") from error
        except Exception as error:  # each library has its own
            if isinstance(error, PermissionError) or "Forbidden" in str(error):  # gcsfs says it in words only
                reason = f"not permitted ({error}): log in to it, or give fsspec's options with auth="
                raise PlaceUnavailable(reason) from error
            if _refused_by_condition(error):
                raise PlaceChanged("it was changed meanwhile") from error
            raise PlaceUnavailable(f"{type(error).__name__}: {error}") from error


async def _write_over_generation(filesystem: Any, path: str, data: bytes, generation: str) -> None:
    """Writes an object of Cloud Storage if its generation is the one given; gcsfs has no option for it.

    Protocol: https://cloud.google.com/storage/docs/uploading-objects (multipart upload of the JSON API).
    """
    bucket, _, name = path.partition("/")
    url = filesystem.base.replace("/storage/v1/", "/upload/storage/v1/") + f"b/{quote(bucket)}/o"
    about = json.dumps({"name": name, "cacheControl": _NOT_KEPT}).encode()
    boundary = uuid.uuid4().hex
    parts = [(b"application/json; charset=UTF-8", about), (b"application/octet-stream", data)]
    body = b"".join(b"--%b\nContent-Type: %b\n\n%b\n" % (boundary.encode(), kind, content) for kind, content in parts)
    await filesystem._call(  # pylint: disable=protected-access  # its `call` is this, for threads without a loop
        "POST",
        url,
        uploadType="multipart",
        ifGenerationMatch=generation,
        headers={"Content-Type": f'multipart/related; boundary="{boundary}"'},
        data=b"%b--%b--" % (body, boundary.encode()),
    )


def _refused_by_condition(error: Exception) -> bool:
    """True for what s3fs makes of an answer to If-Match."""
    answer = getattr(error.__cause__, "response", None) or {}
    return answer.get("Error", {}).get("Code") in {"PreconditionFailed", "ConditionalRequestConflict"}
