"""Removes a run's containers when its runner is gone: the engine runs them, so they don't end with it.

    python -m pipeyard.local.reaper LABEL

waits on standard input: any byte says that it isn't needed any more. EOF alone is what it sees when the runner was
killed. It inherits the lock of the run's folder, so the run can't be resumed before its containers are gone.
"""

import subprocess
import sys
import time
from collections.abc import Sequence

_PAUSE_SECONDS = 1


def start(label: str, pass_fds: Sequence[int]) -> subprocess.Popen:
    """Starts a reaper that keeps file descriptors open."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeyard.local.reaper", label],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=pass_fds,
    )


def dismiss(started: subprocess.Popen) -> None:
    """Ends a reaper that isn't needed any more."""
    started.communicate(b".")


def main(label: str) -> None:
    """Waits, and removes the containers with `label` if they are left alone."""
    if sys.stdin.buffer.read():
        return
    from pipeyard.local import engine

    docker = engine.connect()
    docker.remove_all(label)
    # A container that the runner asked for with its last breath may come yet.
    time.sleep(_PAUSE_SECONDS)
    while docker.remove_all(label):
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
