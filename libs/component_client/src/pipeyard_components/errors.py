"""What users of components see of errors."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepkit.errors import near_misses
else:
    try:  # the copy that a wheel has (see `hatch_build.py`)
        from pipeyard_components._stepkit_errors import near_misses
    except ModuleNotFoundError:  # the repository, and the toolchain, which have stepkit itself
        from stepkit.errors import near_misses

__all__ = ["PipeyardError", "near_misses"]


class PipeyardError(Exception):
    """States a problem and its remedy; the command line prints it, without a traceback unless --debug is given."""
