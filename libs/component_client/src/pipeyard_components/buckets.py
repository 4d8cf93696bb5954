"""Stores in buckets (gs://, s3://), and wherever else fsspec reaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from pipeyard_components import layout, retries
from pipeyard_components.errors import PipeyardError
from pipeyard_components.layout import IndexEntry
from pipeyard_components.places import FileMissing, PlaceError, PlaceUnavailable

_LIBRARIES = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "s3a": "s3fs", "az": "adlfs", "abfs": "adlfs"}
# A whole answer, the library's own retries included, may take this many times what one wait of it may.
_PATIENCE = 6


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
        scheme = prefix.partition("://")[0]
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
                f"{prefix} needs {library}, which isn't installed ({error}). Install {library}, too."
            ) from error
        except ValueError as error:
            raise PipeyardError(
                f"{prefix} can't be a place of components: {error}. Use https://, oci://, gs://, s3:// or a folder."
            ) from error

    @cached_property
    def _filesystem(self) -> tuple[Any, str]:
        """The file system, and the prefix within it. Late: making some asks the network for credentials."""
        from fsspec.core import url_to_fs

        return url_to_fs(self._prefix, **self._options)

    def location(self, path: str) -> str:
        return f"{self._prefix}/{path}" if path else self._prefix

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
            full = f"{root.rstrip('/')}/{path}" if path else root
            if callable(operation):
                return asyn.sync(filesystem.loop, operation, filesystem, full, *arguments, timeout=self._timeout)
            if filesystem.async_impl:
                coroutine = getattr(filesystem, f"_{operation}")
                return asyn.sync(filesystem.loop, coroutine, full, *arguments, timeout=self._timeout, **options)
            return getattr(filesystem, operation)(full, *arguments, **options)
        except Exception as error:  # each library has its own
            raise self._problem(error) from error

    def _problem(self, error: Exception) -> PlaceError:
        """Returns what an exception of fsspec, or of a library below it, means."""
        from fsspec import asyn

        if isinstance(error, (FileNotFoundError, IsADirectoryError, NotADirectoryError)):
            return FileMissing("not there")
        if isinstance(error, (asyn.FSTimeoutError, TimeoutError)):
            return PlaceUnavailable(f"timed out: no answer for {self._timeout:g} s")
        if isinstance(error, PermissionError) or "Forbidden" in str(error):  # gcsfs says it in words only
            return PlaceUnavailable(f"not permitted ({error}): log in to it, or give fsspec's options with auth=")
        return PlaceUnavailable(f"{type(error).__name__}: {error}")
