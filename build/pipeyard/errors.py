"""What a user sees of errors, and the exit codes of `pipeyard`. What a room catches itself is defined in that room."""

import errno

from pipeyard_components.errors import PipeyardError, near_misses

__all__ = ["FAILED", "STOPPED", "VISIBLE", "PipeyardError", "disk_problem", "near_misses", "shown"]

# Exit codes; wrong usage is click's 2. Where a command has codes of its own, its --help says so.
FAILED = 1
STOPPED = 130


# What is the user's to mend; anything else is a fault of ours, whose traceback is shown.
VISIBLE = (PipeyardError, OSError)


_FULL = "Make room there"
_CLOSED = "Make it writable"
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _CLOSED,
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.EIO: "Look after the disk",
}


def disk_problem(error: OSError) -> str:
    """Returns what a file or folder couldn't be written or read for, and what to do about it."""
    problem = f"{error.filename}: {error.strerror or error}" if error.filename else str(error.strerror or error)
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{problem}. {remedy}." if remedy else f"{problem}."


def shown(error: PipeyardError | OSError) -> str:
    """Returns what a user sees of an error, after which `pipeyard` exits with `FAILED`."""
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0)
        then = f". {remedy}, and run the same command again." if remedy else ""
        return f"pipeyard: error: {error.strerror or error}{where}{then}"
    return f"pipeyard: error: {error}"
