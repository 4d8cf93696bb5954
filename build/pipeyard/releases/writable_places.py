"""Places that components are published to: the client's, which read, with writes that appear whole or not at all."""

import errno
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from pipeyard.system import files
from pipeyard_components import layout
from pipeyard_components.buckets import BucketPlace
from pipeyard_components.places import FolderPlace, Place, PlaceError, PlaceUnavailable

# How file systems without hard links say so.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
# Scheme to the field of fsspec's file information that differs from version to version.
_MARKS = {"gs": "generation", "gcs": "generation", "s3": "ETag", "s3a": "ETag"}
_UNKNOWN = "unknown"
# Pages, which browsers show only if they are told that they are.
_PAGE = "text/html; charset=utf-8"
# What moves is asked for anew each time: Cloud Storage lets public objects be kept for an hour where nothing is said.
_NOT_KEPT = "no-cache"

NO_FILE = ""


class PlaceChanged(PlaceError):
    """Something was written between a look and a write that was to follow it; nothing was written."""


class Writable(Place, Protocol):
    """A place that can be published to. Whatever is written appears whole or not at all."""

    def look(self, path: str) -> tuple[bytes, str]:
        """Returns a file's bytes and a mark of this version of it, for `write`; raises as `read`."""

    def write(self, path: str, data: bytes, over: str | None = None) -> None:
        """Writes a file.

        Args:
            over: mark of the version that it takes the place of; `NO_FILE`: only if no file is there; None: whatever
                is there.

        Raises:
            PlaceChanged: another version is there.
            PlaceUnavailable: the place can't be written.
        """


class WritableFolder(FolderPlace):
    """A local folder."""

    def look(self, path: str) -> tuple[bytes, str]:
        data = self.read(path)
        return data, hashlib.sha256(data).hexdigest()

    def write(self, path: str, data: bytes, over: str | None = None) -> None:
        target = self._root / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            files.sweep(target.parent)
            with files.aside_file(target) as aside:
                with aside.open("wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                self._place(aside, target, over)
        except OSError as error:
            raise PlaceUnavailable(error.strerror or str(error)) from error

    def _place(self, aside: Path, target: Path, over: str | None) -> None:
        if over is None:
            aside.replace(target)
            return
        with files.holding(self._root):
            if over == NO_FILE:
                # A link, unlike a rename, refuses what is there, whoever wrote it.
                try:
                    os.link(aside, target)
                    return
                except FileExistsError as error:
                    raise PlaceChanged("there is one already") from error
                except OSError as error:
                    if error.errno not in _NO_LINKS:
                        raise
            now = hashlib.sha256(target.read_bytes()).hexdigest() if target.exists() else NO_FILE
            if now != over:
                raise PlaceChanged("it was changed meanwhile")
            aside.replace(target)


class WritableBucket(BucketPlace):
    """A prefix of fsspec's URLs."""

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
        if path.endswith(".html") and mark:
            options["ContentType" if mark == "ETag" else "content_type"] = _PAGE
        if over == NO_FILE:
            self._do("pipe_file", path, data, mode="create", **options)
        elif over in {None, _UNKNOWN}:
            self._do("pipe_file", path, data, **options)
        elif mark == "ETag":
            self._do("pipe_file", path, data, IfMatch=over, **options)
        else:
            self._do(_write_over_generation, path, data, over)

    @property
    def _scheme(self) -> str:
        return self._prefix.partition("://")[0]

    def _problem(self, error: Exception) -> PlaceError:
        if isinstance(error, FileExistsError):
            return PlaceChanged("there is another one already")
        return PlaceChanged("it was changed meanwhile") if _refused_by_condition(error) else super()._problem(error)


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
