"""Ends what a run has started when its runner is gone, however that ended.

    python -P -m pipeyard.local.reaper containers LABEL
    python -P -m pipeyard.local.reaper processes FOLDER

waits on standard input, whose EOF is what it sees when the runner was killed. The engine runs containers, so they don't
end with the runner; processes would live on in their own sessions. A reaper inherits the lock of the run's folder, so
the run can't be resumed before all of it is gone.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import psutil

from pipeyard.runs import run_lock
from pipeyard.system import control_groups, marks
from stepkit import digest

Kind = Literal["containers", "processes"]
# Environment variables of every process of a step: the absolute path of its run's folder, and its task's path.
RUN = "PIPEYARD_RUN"
TASK = "PIPEYARD_TASK"
_PAUSE_SECONDS = 1
# How long a process may hold a run's lock without its marks: from fork(2) to execve(2), on a machine that does much
# else, or for ever, if a step gave it another environment.
_STARTING_SECONDS = 10
_LOOK_SECONDS = 0.01


def marks_of(folder: Path, task: str = "") -> dict[str, str]:
    """Returns the environment variables that tell a run's processes, or one task's of it, from all others."""
    run = {RUN: str(folder.absolute())}
    return {**run, TASK: task} if task else run


def groups_of(folder: Path) -> str:
    """Returns how the names of a run's control groups begin."""
    return f"pipeyard-{digest.of_text(str(folder.absolute()))[:12]}-"


def start(kind: Kind, what: str, pass_fds: Sequence[int]) -> subprocess.Popen:
    """Starts a reaper that keeps file descriptors open.

    Args:
        what: the label of the containers, `name=value`; or the folder of the run whose processes it is to end.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pipeyard.local.reaper", kind, what],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=pass_fds,
        env=_unmarked(os.environ),
    )


def dismiss(started: subprocess.Popen) -> None:
    """Ends a reaper that isn't needed any more."""
    started.kill()
    started.wait()
    if started.stdin:
        started.stdin.close()


def _unmarked(env: Mapping[str, str]) -> dict[str, str]:
    """A step may run pipelines itself. When it is ended, their reaper must live, for their processes' marks differ."""
    return {name: value for name, value in env.items() if name not in (RUN, TASK)}


def _remove_containers(label: str) -> None:
    from pipeyard.local import engine

    docker = engine.connect()
    docker.remove_all(label)
    # A container that the runner asked for with its last breath may come yet.
    time.sleep(_PAUSE_SECONDS)
    while docker.remove_all(label):
        time.sleep(_PAUSE_SECONDS)


def end_processes(folder: Path, sleep: Callable[[float], object] = time.sleep) -> None:
    """Ends the processes of a run whose runner is gone.

    One that it had just forked isn't marked yet: until it runs its program, it has the runner's environment. It holds
    the lock of the run's folder as all of them do, and by that it is known, and waited for.

    Args:
        sleep: passes time meanwhile.
    """
    marked = marks_of(folder)
    marks.kill(marked)
    lock, until = folder / run_lock.FILE, time.monotonic() + _STARTING_SECONDS
    while _is_held(lock) and time.monotonic() < until:
        sleep(_LOOK_SECONDS)
        marks.kill(marked)
    control_groups.remove_all(groups_of(folder))


def _is_held(path: Path) -> bool:
    """Whether another process has a file open."""
    try:
        held = path.stat()
    except OSError:
        return False
    for pid in set(psutil.pids()) - {os.getpid()}:
        with contextlib.suppress(OSError):  # it has ended, or we may not look
            for opened in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.path.samestat(opened.stat(), held):
                        return True
    return False


def main(kind: str, what: str) -> None:
    """Waits until the runner is gone, and ends what it left."""
    sys.stdin.buffer.read()
    if kind == "containers":
        _remove_containers(what)
    else:
        end_processes(Path(what))


if __name__ == "__main__":
    main(*sys.argv[1:])
