"""What the toolchain says when something is wrong on the user's side."""

from stepkit.errors import near_misses

__all__ = ["PipeyardError", "near_misses"]


class PipeyardError(Exception):
    """States a problem and its remedy; the command line prints it without a traceback and exits 1."""
