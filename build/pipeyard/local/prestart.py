"""Starts a step's interpreter while the step before it runs, for the imports of machine learning take seconds.

A component says in the annotation `pipeyard.dev/preload` what its steps import: a JSON array of modules, or
`module:function` to call one, e.g. `["transform.step"]`. `waiting.py`, in the component's own interpreter and
environment, does so, waits for the step's arguments, and then runs the step's module as `python -m` does. At most one
interpreter waits at a time.
"""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeyard.local import reaper
from pipeyard.system import memory, process

# No interpreter starts ahead of its step with less memory available than this: one that has imported TensorFlow holds
# half a GB, and the step that runs meanwhile has yet to grow.
MEMORY_BYTES = 2 << 30
# What the operating system takes of arguments is no more, and a pipe holds it while nobody reads.
_MESSAGE_BYTES = 128 << 10
_PROGRAM = Path(__file__).with_name("waiting.py")
_LOG = ".waiting.log"


@dataclass(frozen=True)
class _Waiting:
    """An interpreter that waits for the arguments of the task `path`; `start` is the command up to the module."""

    path: str
    start: tuple[str, ...]
    env: Mapping[str, str]
    process: subprocess.Popen


class Prestart:
    """The interpreter that waits, if one does. Safe to use from several threads.

    Args:
        folder: the run's; what interpreters print while they wait is kept there until the step's log is.
        pass_fds: file descriptors that processes keep open.
        available: tells how many bytes of memory are to be had.
    """

    def __init__(
        self, folder: Path, pass_fds: Sequence[int] = (), available: Callable[[], int] = memory.available
    ) -> None:
        self._folder = folder
        self._log = folder / _LOG
        self._pass_fds = pass_fds
        self._available = available
        self._lock = threading.Lock()
        self._waiting: _Waiting | None = None
        self._closed = False

    def begin(self, path: str, command: Sequence[str], env: Mapping[str, str], preload: Sequence[str]) -> None:
        """Starts the interpreter of the task `path`, unless one waits already or memory is scarce.

        Args:
            command: the step's: its program, `-m`, a module; what follows is ignored. Any other isn't started ahead.
            env: the step's environment variables.
            preload: what to import, see above.
        """
        start = _start(command)
        with self._lock:
            if self._closed or self._waiting or not start or not preload or self._available() < MEMORY_BYTES:
                return
            with contextlib.suppress(OSError):  # the step will start itself then, and say what is wrong
                program, marked = [start[0], str(_PROGRAM), *preload], {**env, **reaper.marks_of(self._folder, path)}
                started = process.start(program, marked, self._log, self._pass_fds, _MESSAGE_BYTES)
                self._waiting = _Waiting(path, start, env, started)

    def take(self, path: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen | None:
        """Runs the step's command in the interpreter that waits for it.

        Args:
            command, env: as the step would be started with.
            log: where its output goes.

        Returns:
            None if none waits for it, or the one that did can't take it.
        """
        with self._lock:
            waiting = self._waiting
            if not waiting or waiting.path != path:
                return None
            self._waiting = None
            message = json.dumps([waiting.start[-1], *command[len(waiting.start) :]]).encode()
            same = waiting.start == tuple(command[: len(waiting.start)]) and waiting.env == env
            if same and len(message) <= _MESSAGE_BYTES and waiting.process.poll() is None:
                self._log.replace(log)
                if _send(waiting.process, message):
                    return waiting.process
            self._end(waiting)
            return None

    def drop(self, path: str) -> None:
        """Ends the interpreter that waits for the task `path`, if one does."""
        with self._lock:
            if self._waiting and self._waiting.path == path:
                self._end(self._waiting)
                self._waiting = None

    def close(self) -> None:
        """Ends the interpreter that waits, if one does; none starts any more."""
        with self._lock:
            self._closed = True
            if self._waiting:
                self._end(self._waiting)
                self._waiting = None
            self._log.unlink(missing_ok=True)  # of a run that was killed before

    def _end(self, waiting: _Waiting) -> None:
        process.kill(waiting.process)
        self._log.unlink(missing_ok=True)


def _start(command: Sequence[str]) -> tuple[str, ...] | None:
    return tuple(command[:3]) if len(command) >= 3 and command[1] == "-m" else None


def _send(receiver: subprocess.Popen, message: bytes) -> bool:
    assert receiver.stdin is not None  # it was started with a pipe
    descriptor = receiver.stdin.fileno()
    os.set_blocking(descriptor, False)
    try:
        return os.write(descriptor, message) == len(message)
    except OSError:
        return False
    finally:
        receiver.stdin.close()
