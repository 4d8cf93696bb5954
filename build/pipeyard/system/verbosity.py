"""How much a command tells on stderr beside errors: with -q nothing, with -v also what is done in detail.

Results are on stdout, or what a command ends with. Everything else (progress, notes, warnings) goes through `note`
and `console`; details are records of `logging`, which -v shows.
"""

import enum
import logging
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# Loggers that -v shows: ours, requests and their repetitions. Others print credentials (botocore's).
_DETAILED = ("pipeyard", "urllib3", "google.api_core.retry")
# Of addresses, what may be a credential: user and password, and the query.
_QUERY = re.compile(r"""(?<=[\w/])\?[^\s"']+""")
_USER = re.compile(r"(?<=://)[^\s/@]+@")
_LONGEST = 500
_log = logging.getLogger(__name__)


class Verbosity(enum.Enum):
    """How much is printed."""

    QUIET = "-q"
    NORMAL = ""
    DETAILED = "-v"


class _InForce:
    """The verbosity of this process; `choose` sets it."""

    chosen = Verbosity.NORMAL
    handler: logging.Handler | None = None
    watching = False


def choose(verbosity: Verbosity) -> None:
    """Sets how much this process prints from now on."""
    _InForce.chosen = verbosity
    logging.disable(logging.WARNING if verbosity == Verbosity.QUIET else logging.NOTSET)
    loggers = [logging.getLogger(name) for name in _DETAILED]
    for logger in loggers:
        logger.setLevel(logging.DEBUG if verbosity == Verbosity.DETAILED else logging.NOTSET)
        if _InForce.handler:
            logger.removeHandler(_InForce.handler)
    _InForce.handler = None
    if verbosity == Verbosity.DETAILED:
        _InForce.handler = _ToStderr()
        _InForce.handler.setFormatter(_WithoutCredentials("%(name)s: %(message)s"))
        for logger in loggers:
            logger.addHandler(_InForce.handler)
        if not _InForce.watching:  # for good: Python takes no hook away
            sys.addaudithook(_tell_commands)
            _InForce.watching = True


def is_quiet() -> bool:
    """Whether only results and errors are told."""
    return _InForce.chosen == Verbosity.QUIET


def note(text: str) -> None:
    """Tells something that is neither a result nor an error: progress, a note, a warning."""
    if not is_quiet():
        print(text, file=sys.stderr, flush=True)


def console(**options: Any) -> "Console":
    """Returns a console on stderr for progress, notes and warnings; see rich."""
    from rich.console import Console

    return Console(stderr=True, quiet=is_quiet(), **options)


class _ToStderr(logging.Handler):
    """Writes to what stderr is at the time: a live table on the terminal puts something else there."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


class _WithoutCredentials(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _USER.sub("...@", _QUERY.sub("?...", super().format(record)))


def _tell_commands(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and _InForce.chosen == Verbosity.DETAILED:
        command = arguments[1]
        text = command if isinstance(command, str) else shlex.join(map(str, command))
        _log.debug("starts %s", text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
