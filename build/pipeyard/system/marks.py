"""Finds the processes that a process has left behind, wherever they went.

A process inherits its environment, whatever group or session it moves to and whoever becomes its parent. So what is
started with variables of its own is found again by them, with all its descendants but those that were given another
environment.

One list of processes isn't enough to know that there is none. One that is listed may fork and end before it is looked
at: so lists are made until nobody in one is new. And one that is in the middle of execve(2) has no environment for a
moment, on a busy machine a long one: it is looked at again.
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import psutil

_END_SECONDS = 10
_PAUSE_SECONDS = 0.01
# Fields 23 and 50 of /proc/PID/stat, see proc(5), counted from the one after the name: that may have spaces.
_MEMORY_BYTES, _ENV_START = 20, 47
# Reads a file of a process below /proc, see `read_proc`.
ProcReader = Callable[[int, str], bytes]


class _Look(NamedTuple):
    """What was found: the marked processes, and whether there is one of which that isn't known yet."""

    found: list[psutil.Process]
    open: bool


def read_proc(pid: int, name: str) -> bytes:
    """Returns what the kernel says of a process, see proc(5).

    Raises:
        OSError: it has ended, or we may not look at it.
        psutil.Error: the same, where there is no /proc.
    """
    if psutil.LINUX:
        with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123  # of hundreds of processes, many times a run
            return file.read()
    known = psutil.Process(pid).environ() if name == "environ" else {}
    return "".join(f"{key}={value}\0" for key, value in known.items()).encode()


def find(marks: Mapping[str, str]) -> list[psutil.Process]:
    """Returns the processes that have all of these environment variables; only those that we may look at."""
    return _look(marks, read_proc).found


def kill(marks: Mapping[str, str], read: ProcReader = read_proc) -> int:
    """Kills the processes that have these environment variables, until there is none (a zombie has no variables).

    Returns:
        How many are left after a while: those that wait for a device that doesn't answer.
    """
    until = time.monotonic() + _END_SECONDS
    while True:
        look = _look(marks, read)
        for process in look.found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if not (look.found or look.open) or time.monotonic() >= until:
            return len(look.found)
        time.sleep(_PAUSE_SECONDS)


def _look(marks: Mapping[str, str], read: ProcReader) -> _Look:
    wanted = [f"\0{name}={value}\0".encode() for name, value in marks.items()]
    found, is_open = [], False
    seen: set[int] = set()
    while new := set(psutil.pids()) - seen:
        seen |= new
        for pid in new:
            with contextlib.suppress(psutil.Error, OSError):
                variables = read(pid, "environ")
                if not variables:
                    is_open |= _is_starting(pid, read)
                elif _has(variables, wanted):
                    process = psutil.Process(pid)
                    if _has(read(pid, "environ"), wanted):  # no other process has got its number
                        found.append(process)
    return _Look(found, is_open)


def _has(variables: bytes, wanted: list[bytes]) -> bool:
    between = b"\0%b\0" % variables
    return all(each in between for each in wanted)


def _is_starting(pid: int, read: ProcReader) -> bool:
    """Whether a process without variables is within execve(2): it has memory, but no place for them in it yet.

    Without arguments, there is a place of no bytes. The kernel's own threads, and zombies, have no memory.
    """
    memory, place = _stat(pid, read)
    return memory > 0 and not place and _stat(os.getpid(), read)[1] > 0  # some kernels tell nobody's place


def _stat(pid: int, read: ProcReader) -> tuple[int, int]:
    fields = read(pid, "stat").rpartition(b")")[2].split()
    return (int(fields[_MEMORY_BYTES]), int(fields[_ENV_START])) if len(fields) > _ENV_START else (0, 0)
