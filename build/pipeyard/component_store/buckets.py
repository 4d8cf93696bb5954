"""Stores in buckets (gs://, s3://), and wherever else fsspec reaches."""

from collections.abc import Mapping
from typing import Any

from pipeyard.component_store import layout
from pipeyard.component_store.layout import Entry
from pipeyard.component_store.places import Missing, Unavailable
from pipeyard.errors import PipeyardError
from stepkit.uris import join

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
        self._prefix = prefix.rstrip("/")
        self._timeout = timeout * _PATIENCE
        scheme = prefix.partition("://")[0]
        defaults: dict[str, Any] = {}
        if scheme in {"s3", "s3a"}:
            bounds = {"connect_timeout": timeout, "read_timeout": timeout, "retries": {"max_attempts": 3}}
            defaults = {"config_kwargs": bounds}
        import fsspec

        try:
            self._fs, self._root = fsspec.core.url_to_fs(
                self._prefix, **{"use_listings_cache": False, **defaults, **options}
            )
        except ImportError as error:
            library = _LIBRARIES.get(scheme, "its library")
            raise PipeyardError(
                f"{prefix} needs {library}, which isn't installed ({error}). Install {library} beside pipeyard."
            ) from error
        except ValueError as error:
            raise PipeyardError(
                f"{prefix} can't be a place of components: {error}. Use https://, gs://, s3:// or a local folder."
            ) from error

    def location(self, path: str) -> str:
        return join(self._prefix, path) if path else self._prefix

    def read(self, path: str) -> bytes:
        return self._do("cat_file", join(self._root, path))

    def entries(self) -> dict[str, Entry]:
        try:
            return layout.read_index(self.read(layout.INDEX))
        except Missing:  # without an index: what a listing shows, which is no group's components
            return {name: Entry() for name in self._listed("") if name != layout.INDEX}
        except ValueError as error:
            raise Unavailable(str(error)) from error

    def versions(self, name: str) -> Entry:
        return Entry(
            digests=tuple(self._listed(f"{name}/{layout.DIGESTS}")),
            tags=dict.fromkeys(self._listed(f"{name}/{layout.TAGS}"), ""),
        )

    def _listed(self, path: str) -> list[str]:
        try:
            found = self._do("ls", join(self._root, path) if path else self._root, detail=False)
        except Missing:
            return []
        return sorted({entry.rstrip("/").rpartition("/")[2] for entry in found} - {""})

    def _do(self, operation: str, *args: Any, **options: Any) -> Any:
        from fsspec import asyn

        try:
            if self._fs.async_impl:
                coroutine = getattr(self._fs, f"_{operation}")
                return asyn.sync(self._fs.loop, coroutine, *args, timeout=self._timeout, **options)
            return getattr(self._fs, operation)(*args, **options)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise Missing("not there") from error
        except (asyn.FSTimeoutError, TimeoutError) as error:
            raise Unavailable(f"timed out: no answer for {self._timeout:g} s") from error
        except PermissionError as error:
            raise Unavailable(f"not permitted ({error}): log in to it, or give fsspec's options with auth=") from error
        except Exception as error:  # each library has its own
            raise Unavailable(f"{type(error).__name__}: {error}") from error
