"""Who works in a run's folder: its runner and its steps hold a lock on a file there for as long as they live."""

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from pipeyard.errors import PipeyardError
from pipeyard.system import files

FILE = ".lock"
# Whoever looks whether a run works holds its lock for a moment, in which nobody may be refused.
_TRIES = 5
_PAUSE_SECONDS = 0.02


def hold(folder: Path) -> IO[str]:
    """Locks a run's folder. Steps inherit the lock, so it is held as long as one of them lives, even without us.

    Raises:
        PipeyardError: another process holds it.
        OSError: the folder can't be written.
    """
    lock = (folder / FILE).open("a+", encoding="utf-8")
    for tried in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if tried == _TRIES - 1:
                lock.close()
                who = f" (process {pid})" if (pid := runner_of(folder)) else ""
                raise PipeyardError(
                    f"{folder.name}{who}, or a step of it, still runs. Wait for it or stop it first."
                ) from error
            time.sleep(_PAUSE_SECONDS)
    try:
        os.ftruncate(lock.fileno(), 0)
        files.write_all(lock.fileno(), f"{os.getpid()}\n".encode())
    except OSError as error:
        lock.close()
        raise OSError(error.errno, error.strerror, lock.name) from error
    return lock


def works(folder: Path) -> bool:
    """Whether a run, or a step of it, still works in its folder; changes nothing there."""
    try:
        with (folder / FILE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # it never began, or nobody may look
        return False
    return False


def was_left(folder: Path) -> bool:
    """Whether a run began in a folder and nothing is at it any more. False for one that was copied without its lock."""
    return (folder / FILE).exists() and not works(folder)


def runner_of(folder: Path) -> int | None:
    """Returns the process that ran it last, or still does; None if that isn't known."""
    try:
        return int((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
