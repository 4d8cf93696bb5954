"""Finds the processes that a process has left behind, wherever they went.

A process inherits its environment, whatever group or session it moves to and whoever becomes its parent. So what is
started with variables of its own is found again by them, with all its descendants but those that were given another
environment.
"""

import contextlib
import time
from collections.abc import Mapping

import psutil

_END_SECONDS = 10
_PAUSE_SECONDS = 0.01


def find(marks: Mapping[str, str]) -> list[psutil.Process]:
    """Returns the processes that have all of these environment variables; only those that we may look at."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            env = process.environ()
            if all(env.get(name) == value for name, value in marks.items()):
                found.append(process)
    return found


def kill(marks: Mapping[str, str]) -> int:
    """Kills the processes that have these environment variables, until there is none (a zombie has no variables).

    Returns:
        How many are left after a while: those that wait for a device that doesn't answer.
    """
    until = time.monotonic() + _END_SECONDS
    while found := find(marks):
        if time.monotonic() >= until:
            break
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(_PAUSE_SECONDS)
    return len(found)
