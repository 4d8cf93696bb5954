"""The processes of a served folder: started, found again by whoever comes later, ended.

Each is started with environment variables that name the folder and what it is, so that a supervisor that knows nothing
of it (the one that started it was killed) takes it over, and `stop` leaves none.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeyard.system import marks

FOLDER_VARIABLE = "PIPEYARD_SERVE"
_ROLE_VARIABLE = "PIPEYARD_SERVE_ROLE"
_PORTS_VARIABLE = "PIPEYARD_SERVE_PORTS"
ROUTER = "router"
# From being asked to end until it is killed: requests that are under way are answered meanwhile.
GRACE_SECONDS = 10.0
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class ServedProcess:
    """A process.

    Attributes:
        role: ROUTER, or the version as text.
        ports: that it listens on.
        started: epoch seconds: with the pid, no other process is it.
    """

    role: str
    pid: int
    started: float
    ports: tuple[int, ...]


class ServedProcesses:
    """Processes of a folder.

    Args:
        folder: the served one.
        logs: folder of their logs.
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        self._mark = {FOLDER_VARIABLE: str(folder.resolve())}
        self._logs = logs
        self._known: dict[str, tuple[ServedProcess, psutil.Process]] = {}
        self._ending: dict[int, tuple[psutil.Process, float]] = {}

    def start(self, role: str, command: Sequence[str], env: Mapping[str, str], ports: Sequence[int]) -> ServedProcess:
        """Starts a process in a session of its own.

        Raises:
            OSError: it can't be started.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        marked = {_ROLE_VARIABLE: role, _PORTS_VARIABLE: ",".join(map(str, ports))}
        with self._logs.joinpath(log_name(role)).open("ab") as log:
            started = subprocess.Popen(
                command,
                env={**env, **self._mark, **marked},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        process = psutil.Process(started.pid)
        self._known[role] = ServedProcess(role, started.pid, process.create_time(), tuple(ports)), process
        return self._known[role][0]

    def adopt(self) -> list[ServedProcess]:
        """Takes over what others started for the folder; of two of a role the older one, and the other is killed."""
        found = sorted(marks.find(self._mark), key=_started)
        family = {process.pid for process in found}
        for process in found:
            with contextlib.suppress(psutil.Error, ValueError):
                env = process.environ()
                role = env.get(_ROLE_VARIABLE, "")
                if not role or process.ppid() in family or process.pid == os.getpid():
                    continue
                if role in self._known:
                    if self._known[role][0].pid != process.pid:
                        process.kill()
                    continue
                ports = tuple(int(port) for port in env[_PORTS_VARIABLE].split(","))
                self._known[role] = ServedProcess(role, process.pid, process.create_time(), ports), process
        return [process for process, _ in self._known.values()]

    def living(self) -> dict[str, ServedProcess]:
        """Returns role to process of those that live."""
        return {role: process for role, (process, handle) in self._known.items() if is_alive(handle)}

    def known(self) -> dict[str, ServedProcess]:
        """Returns role to process of all that weren't ended by us, those that ended by themselves among them."""
        return {role: process for role, (process, _) in self._known.items()}

    def forget(self, role: str) -> None:
        """Forgets one that has ended."""
        self._known.pop(role, None)

    def end(self, role: str) -> None:
        """Asks a process to end; `reap` sees to it."""
        _, handle = self._known.pop(role)
        with contextlib.suppress(psutil.Error):
            handle.send_signal(signal.SIGTERM)
        self._ending[handle.pid] = handle, time.monotonic() + GRACE_SECONDS

    def reap(self) -> bool:
        """Kills those that were asked to end and don't in time. Returns whether some are still there."""
        for pid, (handle, until) in list(self._ending.items()):
            if not is_alive(handle):
                del self._ending[pid]
            elif time.monotonic() >= until:
                with contextlib.suppress(psutil.Error):
                    handle.kill()
        return bool(self._ending)

    def end_all(self, sleep: Callable[[float], None] = time.sleep) -> int:
        """Ends all there are, the router first, which answers what it has; returns how many are left."""
        if ROUTER in self._known:
            self.end(ROUTER)
            while self.reap():
                sleep(_PAUSE_SECONDS)
        for role in list(self._known):
            self.end(role)
        while self.reap():
            sleep(_PAUSE_SECONDS)
        return marks.kill(self._mark)


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs: it is the one that it was, and no zombie. Our own children are waited for."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def log_name(role: str) -> str:
    """Returns what the log of a role is called."""
    return f"{role.replace('/', '-')}.log"


def free_port(wanted: int = 0, host: str = "127.0.0.1") -> int:
    """Returns a port of an address that nobody listens on: the wanted one if it is free, else one that is."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                return int(probe.getsockname()[1])
    raise OSError(f"no port of {host} is free")


def _started(process: psutil.Process) -> float:
    try:
        return process.create_time()
    except psutil.Error:  # it has ended meanwhile
        return float("inf")
