"""How a step's process is started and ended. Here: on this machine; `containers` does it in a container.

All else of a run (order, conditions, cache, attempts, outputs) is the same either way.
"""

import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pipeyard.errors import PipeyardError
from pipeyard.local import reaper, resources
from pipeyard.local.prestart import Prestart
from pipeyard.system import control_groups, marks, process
from pipeyard.system.control_groups import MemoryGroup
from pipeyard.system.process import Ended, MemoryLimit
from stepkit import digest


@dataclass(frozen=True)
class Launch:
    """One attempt of a task.

    Attributes:
        task: path of the task.
        number: of the attempt, from 1.
        command: with its placeholders resolved; the program first.
        env: environment variables.
        log: file that gets what it prints.
        outputs: folder in which it writes its outputs; it is there.
        reads, writes, creates: URIs of what else it may read, write and make anew: input artifacts, what its component
            declares of the state outside the run, and to read, the places that the run's parameters name.
        resources: limits as the IR has them, e.g. `resourceMemoryLimit: 4Gi`, with placeholders resolved.
    """

    task: str
    number: int
    component: str
    image: str
    command: Sequence[str]
    env: Mapping[str, str]
    log: Path
    outputs: Path
    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    creates: Sequence[str] = ()
    resources: Mapping[str, str] = field(default_factory=dict)


class Launcher(Protocol):
    """Runs attempts of tasks. Safe to use from several threads."""

    versions: Mapping[str, str]
    """Versions of what steps run in, for the run's record."""

    def run(
        self,
        launch: Launch,
        canceled: Callable[[], bool],
        timeout_seconds: float | None,
        started: Callable[[], object],
    ) -> Ended:
        """Runs an attempt to its end; nothing of it is left then but what it wrote.

        Args:
            canceled: once it is true, the attempt is stopped.
            timeout_seconds: of the process, from its start; None: no limit.
            started: called when the process runs.

        Raises:
            PipeyardError: it can't be started, or how it ended can't be told.
        """

    def kill_all(self) -> None:
        """Ends all that runs at once; called in a signal handler."""

    def close(self) -> None:
        """Ends what still runs, and frees what it took to run."""


class Processes:
    """The launcher of processes on this machine, in their components' environments.

    None of their processes is left when a step ends, in whatever session they are, nor when this process is killed.

    Args:
        folder: the run's.
        pass_fds: file descriptors that processes keep open.
        prestart: may have started a process ahead; None: none is.
        groups: makes a group of a name and a limit by which the kernel bounds a step's memory; None where it can't.
    """

    versions: Mapping[str, str] = {}

    def __init__(
        self,
        folder: Path,
        pass_fds: Sequence[int] = (),
        prestart: Prestart | None = None,
        groups: Callable[[str, int], MemoryGroup | None] = control_groups.make,
    ) -> None:
        self._folder = folder
        self._pass_fds = pass_fds
        self._prestart = prestart
        self._groups = groups
        self._opening = threading.Lock()
        self._reaper: subprocess.Popen | None = None

    def run(
        self,
        launch: Launch,
        canceled: Callable[[], bool],
        timeout_seconds: float | None,
        started: Callable[[], object],
    ) -> Ended:
        self._open()
        limits = resources.limits_of(launch.resources)
        limit = MemoryLimit(limits.memory, self._group(launch, limits.memory)) if limits.memory else None
        group = limit.group if limit else None
        try:
            running = self._start(launch, group)
            started()
            ended = process.wait(running, canceled, timeout_seconds, reaper.marks_of(self._folder, launch.task), limit)
        finally:
            if group:
                group.remove()
        return replace(ended, cause=limits.exceeded(launch.task, ended.peak_bytes)) if ended.out_of_memory else ended

    def kill_all(self) -> None:
        process.kill_all()

    def close(self) -> None:
        if self._prestart:
            self._prestart.close()
        with self._opening:
            if self._reaper:
                marks.kill(reaper.marks_of(self._folder))
                reaper.dismiss(self._reaper)
                self._reaper = None

    def _open(self) -> None:
        with self._opening:
            if not self._reaper:
                self._reaper = reaper.start("processes", str(self._folder.absolute()), self._pass_fds)

    def _group(self, launch: Launch, limit: int) -> MemoryGroup | None:
        """Returns a group for an attempt; None where none can be made."""
        return self._groups(
            f"{reaper.groups_of(self._folder)}{digest.of_text(launch.task)[:12]}-{launch.number}", limit
        )

    def _start(self, launch: Launch, group: MemoryGroup | None) -> subprocess.Popen:
        try:
            command = find_program(launch.command, launch.env)
            ahead = self._prestart.take(launch.task, command, launch.env, launch.log) if self._prestart else None
            env = {**launch.env, **reaper.marks_of(self._folder, launch.task)}
            if ahead and group:
                group.take(ahead.pid)
            return ahead or process.start(group.command(command) if group else command, env, launch.log, self._pass_fds)
        except FileNotFoundError as error:
            raise PipeyardError(
                f"the program {launch.command[0]!r} of {launch.component!r} isn't there. "
                "Is it in the component's environment?"
            ) from error


def find_program(command: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Returns the command with its program looked up on the step's own PATH: Popen would look on ours.

    Raises:
        FileNotFoundError: it isn't there.
    """
    program = shutil.which(command[0], path=env.get("PATH"))
    if not program:
        raise FileNotFoundError(command[0])
    return [program, *command[1:]]


def run_logged(
    command: Sequence[str], env: Mapping[str, str], log: Path, seconds: float, cwd: Path | None = None
) -> int:
    """Runs a program of a component that is no step; returns its exit code. What it prints goes to a new file.

    Raises:
        FileNotFoundError: the program isn't on the environment's PATH.
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    with log.open("wb") as stream:
        return subprocess.run(
            find_program(command, env),
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            timeout=seconds,
            check=False,
        ).returncode
