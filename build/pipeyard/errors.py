"""What a user sees of errors, and the exit codes of `pipeyard`. What a room catches itself is defined in that room."""

from stepkit.errors import near_misses

__all__ = ["FAILED", "STOPPED", "VISIBLE", "PipeyardError", "near_misses", "shown"]

# Exit codes; wrong usage is click's 2. Where a command has codes of its own, its --help says so.
FAILED = 1
STOPPED = 130


class PipeyardError(Exception):
    """States a problem and its remedy; the command line prints it, without a traceback unless --debug is given."""


# What is the user's to mend; anything else is a fault of ours, whose traceback is shown.
VISIBLE = (PipeyardError, OSError)


def shown(error: PipeyardError | OSError) -> str:
    """Returns what a user sees of an error, after which `pipeyard` exits with `FAILED`."""
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"pipeyard: error: {error.strerror or error}{where}"
    return f"pipeyard: error: {error}"
