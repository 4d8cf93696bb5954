"""Keeps a supervisor running: starts the next one when it is killed, until it says that all is stopped.

    python -m pipeyard.serving.keeper FOLDER LOCK

LOCK is the descriptor of the folder's lock, which is held as long as a keeper or a supervisor lives. A supervisor whose
keeper was killed becomes one (`supervising`), so that either outlives the other. Imports nothing heavy: it only waits.
"""

import os
import signal
import subprocess
import sys
import time

_FIRST_SECONDS = 0.05
_LONGEST_SECONDS = 5.0
_STEADY_SECONDS = 10.0


def main() -> int:
    folder, lock = sys.argv[1], int(sys.argv[2])
    stopping = False
    worker: subprocess.Popen[bytes] | None = None

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        if worker:
            worker.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    pause = _FIRST_SECONDS
    while True:
        began = time.monotonic()
        command = [sys.executable, "-m", "pipeyard.serving.supervising", folder, str(lock), str(os.getpid())]
        asked = stopping
        worker = subprocess.Popen([*command, *(["stop"] if asked else [])], pass_fds=[lock])
        if stopping and not asked:  # while it was started
            worker.send_signal(signal.SIGTERM)
        if _wait(worker.pid) == 0:
            return 0
        pause = _FIRST_SECONDS if time.monotonic() - began > _STEADY_SECONDS else min(2 * pause, _LONGEST_SECONDS)
        time.sleep(pause)


def _wait(worker: int) -> int:
    """Waits for a child's end, and for those that are ours because we were their supervisor; returns its exit code."""
    while True:
        pid, status = os.wait()
        if pid == worker:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
