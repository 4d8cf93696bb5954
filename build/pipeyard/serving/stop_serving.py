"""Ends what serves a folder: nothing of it is left then but logs."""

import contextlib
import signal
import time
from typing import IO

import psutil

from pipeyard.errors import PipeyardError
from pipeyard.serving import serving_state
from pipeyard.serving.served_processes import ServedProcesses, is_alive
from pipeyard.serving.serving_folder import ServingFolder
from pipeyard.serving.start_serving import hold

_SECONDS = 45.0
_PAUSE_SECONDS = 0.05


def stop(folder: ServingFolder) -> bool:
    """Ends all processes of a folder, those of a supervisor that was killed, too. Returns whether there were any.

    Raises:
        PipeyardError: some don't end.
    """
    if not folder.own.is_dir():
        return False
    lock = hold(folder)
    served = lock is None
    if lock is None:
        lock = _hold_soon(folder)
    with lock:
        processes = ServedProcesses(folder.path, folder.logs)
        left = processes.adopt()
        unended = processes.end_all()
        serving_state.remove(folder)
    if unended:
        raise PipeyardError(f"{unended} processes of {folder.path} don't end: they wait for a device. Try again.")
    return served or bool(left)


def _ask(folder: ServingFolder) -> None:
    """Asks the keeper to end all, and waits for its own end."""
    with contextlib.suppress(ValueError, OSError, psutil.Error):
        keeper = psutil.Process(int(folder.lock.read_text(encoding="ascii")))
        keeper.send_signal(signal.SIGTERM)
        until = time.monotonic() + _SECONDS
        while is_alive(keeper) and time.monotonic() < until:
            time.sleep(_PAUSE_SECONDS)


def _hold_soon(folder: ServingFolder) -> IO[bytes]:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        if lock := hold(folder):
            return lock
        _ask(folder)  # again, where a keeper hadn't written its number yet
        time.sleep(_PAUSE_SECONDS)
    if lock := hold(folder):
        return lock
    raise PipeyardError(f"What serves {folder.path} doesn't end after {_SECONDS:g} s. Look at: pipeyard serve logs")
