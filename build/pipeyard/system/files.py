"""Files that appear whole or not at all, and folders that one process at a time changes."""

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


def aside_of(path: Path) -> Path:
    """Returns a hidden path beside a path, that nobody else has, for what is to take its place."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes text (as UTF-8) or bytes aside and renames it into place; of several writers the last one wins."""
    aside = aside_of(path)
    try:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


class TakenError(Exception):
    """Something is where a folder was to appear."""


@contextlib.contextmanager
def folder_whole(folder: Path) -> Iterator[Path]:
    """Gives an empty folder beside `folder`, whose place it takes when the block ends; none is left if the block fails.

    Raises:
        TakenError: when the block ends, `folder` is there and not empty, or no folder. It is left as it is.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(folder)
    aside.mkdir()
    try:
        yield aside
        try:
            aside.rename(folder)
        except OSError as error:
            # Systems differ in which of the first two it is.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise TakenError(str(folder)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Holds a folder, which is there, against all others that hold it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
