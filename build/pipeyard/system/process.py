"""One process of a step: its own process group, its output in a log file, an end in bounded time."""

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeyard.system import marks
from pipeyard.system.control_groups import MemoryGroup
from pipeyard.system.families import Family, Members, ProcessMembers
from pipeyard.system.memory import Peak

# How long a stopped step has to clean up after itself before it is killed; Kubernetes' default is 30.
GRACE_SECONDS = 10
CANCELED = "canceled"
_POLL_SECONDS = 0.1
# Between looks at the memory of a process that has a limit.
_WATCH_SECONDS = 0.03
# Between looks at what one without a limit holds together with its descendants.
_WHOLE_SECONDS = 1
# Shells end with this and the number of the signal that ended what they ran.
_SHELL_SIGNAL = 128
_FIRST_PAUSE_SECONDS = 0.0005
_LONGEST_PAUSE_SECONDS = 0.05
_alive: set[int] = set()


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: negative for a signal; None if it never ran.
        stopped: "canceled", or "timed out ..." if we ended it.
        cause: of the end, where what runs it tells more than the code does.
        peak_bytes: of the memory that it and its children held at once, as far as that was seen, or the largest of
            them; 0 if that isn't known.
        out_of_memory: it took more than its limit, or than there was.
    """

    code: int | None
    stopped: str = ""
    cause: str = ""
    peak_bytes: int = 0
    out_of_memory: bool = False

    @property
    def canceled(self) -> bool:
        """Whether it was ended because it wasn't wanted any more."""
        return self.stopped == CANCELED

    @property
    def text(self) -> str:
        """The end in words."""
        if self.stopped or self.cause:
            return self.stopped or self.cause
        if self.out_of_memory:
            return "killed because memory ran out"
        if self.code in (-signal.SIGKILL, _SHELL_SIGNAL + signal.SIGKILL):
            held = f" (it held {self.peak_bytes / 1e6:,.0f} MB)" if self.peak_bytes else ""
            return f"killed by SIGKILL, most likely because memory ran out{held}; give it more memory or less data"
        if self.code is not None and self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        return f"exit code {self.code}"


@dataclass(frozen=True)
class MemoryLimit:
    """What a process and its descendants may hold at once.

    Attributes:
        bytes: of memory, but for files that the kernel can drop.
        group: that they are in, by which the kernel keeps the limit; None: they are only watched.
    """

    bytes: int
    group: MemoryGroup | None = None


def start(
    command: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    pass_fds: Sequence[int] = (),
    input_bytes: int = 0,
    folder: Path | None = None,
) -> subprocess.Popen:
    """Starts a command in a process group of its own; its output goes to `log`.

    Args:
        pass_fds: file descriptors that the process keeps open, and with them locks on the files.
        input_bytes: what a pipe of ours holds that is its input; 0: its input is empty.
        folder: that it works in; None: this process's.

    Raises:
        FileNotFoundError: the program, or the folder, isn't there.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env=dict(env),
            cwd=folder,
            stdin=subprocess.PIPE if input_bytes else subprocess.DEVNULL,
            pipesize=input_bytes or -1,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=pass_fds,
        )


def wait(
    process: subprocess.Popen,
    canceled: Callable[[], bool],
    timeout_seconds: float | None = None,
    marked: Mapping[str, str] | None = None,
    limit: MemoryLimit | None = None,
    members: Callable[[int], Members] = ProcessMembers,
) -> Ended:
    """Waits for a started process to end, or ends it; nothing of its process group is left then.

    Args:
        timeout_seconds: from now on; None: no limit.
        marked: environment variables that only it and its descendants have: none of those is left either.
        limit: of its memory and its descendants'; None: none. Where the kernel doesn't keep it they are watched, so
            that what is taken and given back within a moment isn't seen.
        members: reads of the descendants of a process.
    """
    _alive.add(process.pid)
    waited, looks, pause = 0.0, 0, _WATCH_SECONDS if limit else _POLL_SECONDS
    peak, family = Peak(process.pid), Family(members(process.pid))
    try:
        while True:
            usage = _usage_of_ended(process, pause)
            if process.returncode is not None:
                killed = bool(limit and limit.group and limit.group.has_killed())
                # What one of its processes lacks, the step lacks, though it may have gone on without it.
                code = process.returncode or (-signal.SIGKILL if killed else 0)
                return Ended(code, peak_bytes=peak.after(usage), out_of_memory=killed)
            waited += pause
            peak.look()
            if limit or waited >= _WHOLE_SECONDS * (1 + looks):
                looks += 1
                held = family.held(limit.bytes if limit else peak.seen)
                peak.seen = max(peak.seen, held)
                if limit and held > limit.bytes:
                    family.kill()
                    return Ended(process.wait(), peak_bytes=peak.seen, out_of_memory=True)
            if canceled():
                return Ended(_stop(process), CANCELED, peak_bytes=peak.seen)
            if timeout_seconds and waited >= timeout_seconds:
                return Ended(_stop(process), f"timed out after {timeout_seconds:g} s", peak_bytes=peak.seen)
    finally:
        _alive.discard(process.pid)
        _kill_group(process.pid)
        if marked:
            marks.kill(marked)


def kill(process: subprocess.Popen) -> None:
    """Kills a process and its group at once, and forgets it."""
    _kill_group(process.pid)
    process.wait()
    if process.stdin:
        process.stdin.close()


def kill_all() -> None:
    """Kills every process that is waited for, and its children, at once."""
    for group in list(_alive):
        _kill_group(group)


def _usage_of_ended(process: subprocess.Popen, seconds: float) -> resource.struct_rusage | None:
    """Waits for a process as `Popen.wait` does, and returns what it used; None if it hasn't ended, or ended before."""
    until, pause = time.monotonic() + seconds, _FIRST_PAUSE_SECONDS
    while process.returncode is None:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage
        left = until - time.monotonic()
        if left <= 0:
            break
        pause = min(2 * pause, left, _LONGEST_PAUSE_SECONDS)
        time.sleep(pause)
    return None


def _stop(process: subprocess.Popen) -> int:
    """Asks the process to end, then makes it; its children (Beam workers, say) go with it."""
    children = psutil.Process(process.pid).children(recursive=True) if psutil.pid_exists(process.pid) else []
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
    code = process.wait()
    for child in children:
        if child.is_running():
            child.kill()
    return code


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
