"""Files that appear whole or not at all, and folders that one process at a time changes.

What is written aside is held by its writer (`flock(2)`, which ends with the process, however that ends), so that what a
killed one left can be told from what another writes now, and swept away.
"""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

_ASIDE = ".partial"
# A disk with less than this is full.
_LITTLE_BYTES = 64 * 1024


def aside_of(path: Path) -> Path:
    """Returns a hidden path beside a path, that nobody else has, for what is to take its place."""
    return path.parent / f".{path.name}.{os.urandom(4).hex()}{_ASIDE}"


def write_whole(path: Path, content: str | bytes, synced: bool = True) -> None:
    """Writes text (as UTF-8) or bytes aside and renames it into place; of several writers the last one wins.

    Args:
        synced: what was written is there after a power cut, too. Else it may be gone then, or damaged.

    Raises:
        OSError: it can't be written; it names `path`, where nothing has changed.
    """
    try:
        with aside_file(path) as aside:
            descriptor = os.open(aside, os.O_WRONLY)
            try:
                write_all(descriptor, content.encode() if isinstance(content, str) else content)
                if synced:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            aside.replace(path)
        if synced:
            sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def aside_file(path: Path) -> Iterator[Path]:
    """Gives an empty file beside `path`, to be renamed into its place; none is left when the block ends."""
    with _held(path, lambda aside: aside.touch(exist_ok=False), lambda aside: aside.unlink(missing_ok=True)) as aside:
        yield aside


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
    with _held(folder, Path.mkdir, lambda aside: shutil.rmtree(aside, ignore_errors=True)) as aside:
        yield aside
        try:
            aside.rename(folder)
        except OSError as error:
            # Systems differ in which of the first two it is.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise TakenError(str(folder)) from error
        sync_folder(folder.parent)


def sweep(folder: Path) -> None:
    """Removes what writers that were killed left aside in a folder, and nothing that one who lives writes."""
    for aside in folder.glob(f".*{_ASIDE}"):
        with contextlib.suppress(OSError):  # it is gone, or somebody holds it, or none can
            descriptor = os.open(aside, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if aside.is_dir():
                    shutil.rmtree(aside)
                else:
                    aside.unlink()
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Holds a folder, which is there, against all others that hold it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(lock: Path) -> Iterator[int]:
    """Holds a file that is there for that, made if absent, against all others that do; gives its descriptor."""
    descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _held(path: Path, make: Callable[[Path], object], remove: Callable[[Path], object]) -> Iterator[Path]:
    """Makes what is aside of a path, holds it against `sweep`, and removes it unless it was renamed meanwhile."""
    aside, descriptor = aside_of(path), None
    try:
        make(aside)
        while (descriptor := _hold(aside)) is None:
            aside = aside_of(path)
            make(aside)
        yield aside
    finally:
        with contextlib.suppress(OSError):  # what went wrong before tells more; the next sweep tries again
            remove(aside)
        if descriptor is not None:
            os.close(descriptor)


def _hold(aside: Path) -> int | None:
    """Returns the descriptor that holds it; None if it was swept away before."""
    try:
        descriptor = os.open(aside, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):  # where nothing can be held, nothing is swept away either
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        if os.path.samestat(aside.stat(), os.fstat(descriptor)):
            return descriptor
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return None
