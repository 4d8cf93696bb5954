"""Files that appear whole or not at all, and folders that one process at a time changes."""

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

# A disk with less than this is full.
_LITTLE_BYTES = 64 * 1024


def aside_of(path: Path) -> Path:
    """Returns a hidden path beside a path, that nobody else has, for what is to take its place."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")


def left_aside(folder: Path) -> list[Path]:
    """Returns the files aside that are in a folder; while nobody writes there they were left over."""
    return [path for path in folder.glob(".*.partial") if path.is_file()]


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes text (as UTF-8) or bytes aside and renames it into place; of several writers the last one wins.

    What was written is there after a power cut, too.

    Raises:
        OSError: it can't be written; it names `path`, where nothing has changed.
    """
    aside = aside_of(path)
    try:
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                write_all(descriptor, content.encode() if isinstance(content, str) else content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            aside.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error tells more
                aside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_all(descriptor: int, content: bytes) -> None:
    """Writes all of some bytes.

    Raises:
        OSError: it can't be; some of it may have been.
    """
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def sync_folder(folder: Path) -> None:
    """Has a folder's entries (what was renamed into it, say) written to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def without_room(folder: Path) -> str:
    """Returns what a folder's disk has none of for more files: room, or inodes; empty: it has both."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return ""
    if disk.f_bavail * disk.f_frsize < _LITTLE_BYTES:
        return "room"
    # Those that have no limit say that they have no inodes at all.
    return "inodes" if disk.f_files and not disk.f_favail else ""


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
        sync_folder(folder.parent)
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
