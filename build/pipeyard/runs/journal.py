"""A file of JSON Lines that only grows, and reading it while it does."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from pipeyard.system import files


class DamagedError(ValueError):
    """A line isn't what was written; the message says where."""


class Journal:
    """Appends to a file, which appears with the first line. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self.size = path.stat().st_size if path.exists() else 0
        """Bytes that are in it."""

    def append(self, line: str) -> int:
        """Appends one line of JSON, whole or not at all, and returns how many bytes that was.

        Raises:
            OSError: the disk is full, say.
        """
        content = line.encode() + b"\n"
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            files.write_all(self._descriptor, content)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self.size += len(content)
        return len(content)

    def close(self) -> None:
        """Frees the file. Appending opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def read(path: Path, start: int) -> Iterator[dict[str, Any]]:
    """Yields what was appended after `start` bytes; nothing if the file isn't there, or ends before.

    A last line without its end is left out: who wrote it was killed, or is at it.

    Raises:
        DamagedError: a line that has its end isn't an object of JSON.
        OSError: it can't be read.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            content = stream.read()
    except FileNotFoundError:
        return
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            found = from_json(line)
        except ValueError as error:
            raise DamagedError(f"line {number} after byte {start} of {path.name}: {error}") from error
        if not isinstance(found, dict):
            raise DamagedError(f"line {number} after byte {start} of {path.name} is no object")
        yield found
