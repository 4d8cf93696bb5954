"""Programs of other packages: which there are, and running them in the background until they are stopped."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

# Debian's package of each program.
PACKAGES = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "docker-registry": "docker-registry",
    "busybox": "busybox-static",
    "strip": "binutils",
    "mount": "mount",
    "mkfs.ext4": "e2fsprogs",
}
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
_STOP_SECONDS = 20
_TAIL_LINES = 12


class NotAvailableError(Exception):
    """The machine lacks something; the message says what to install or to be."""


def find(name: str) -> str:
    """Returns a program's path.

    Raises:
        NotAvailableError: it isn't installed.
    """
    found = shutil.which(name, path=_PATH)
    if not found:
        raise NotAvailableError(f"{name} isn't on PATH; install it (Debian: apt-get install {PACKAGES[name]})")
    return found


def need_root() -> None:
    """Raises NotAvailableError unless this process may mount file systems and make containers."""
    if os.geteuid() != 0:
        raise NotAvailableError("an engine of one's own needs root; run as root (CI does)")


def run(command: Sequence[str | Path], **options: Any) -> str:
    """Runs a program to its end; returns what it prints.

    Raises:
        RuntimeError: it fails; with what it printed.
    """
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def free_port() -> int:
    """Returns a TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    """Whether somebody listens at a TCP port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Background:
    """A program that runs until it is stopped.

    Args:
        answers: True as soon as it serves.
        log: gets what it prints, after what is in it.
        options: of Popen.

    Raises:
        RuntimeError: it ends, or doesn't serve in time; with the end of its log.
    """

    def __init__(
        self, command: Sequence[str], log: Path, answers: Callable[[], bool], seconds: float = 60, **options: Any
    ) -> None:
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, **options
            )
        limit = time.monotonic() + seconds
        while not (answers() and self._process.poll() is None):  # what answers may be another's
            if self._process.poll() is not None or time.monotonic() > limit:
                self.kill()
                tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])
                raise RuntimeError(f"{command[0]} doesn't serve:\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Asks it to end, and waits; what is left of it is killed."""
        family = self._family()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        _kill(family)
        self._process.wait()

    def kill(self) -> None:
        """Kills it and all that it started, as a crash of the machine would."""
        _kill(self._family())
        self._process.wait()

    def _family(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=_STOP_SECONDS)


def unmount_below(folder: Path) -> None:
    """Unmounts what is mounted in a folder, innermost first: engines leave name spaces and layers mounted."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    for point in sorted(mounted, key=len, reverse=True):
        if Path(point).is_relative_to(folder):
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
