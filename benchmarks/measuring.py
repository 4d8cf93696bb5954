"""Running a program and measuring it whole: wall, CPU and memory of its process tree.

Memory is sampled. PSS (proportional set size) counts a page that n processes share as 1/n in each, so the sum over a
tree counts it once; RSS counts it in each of them.
"""

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_SAMPLE_SECONDS = 0.05
# Most of the time that sampling may take: reading PSS walks the page tables of what is measured.
_SHARE = 0.05
_KIB = 1024
STDOUT = "stdout"
STDERR = "stderr"
_TAIL_LINES = 4


class FailedError(Exception):
    """What was measured ended with another exit code than 0, or took too long."""


@dataclass(frozen=True)
class Memory:
    """Memory of a process tree at one moment, or at its peaks, in bytes."""

    pss: int = 0
    rss: int = 0


@dataclass(frozen=True)
class Measurement:
    """One run of a program.

    Attributes:
        wall_s: from exec to exit.
        cpu_s: user and system time of the process and of all descendants that were waited for.
        pss_mb: peak of the tree's PSS, in MB (1e6 bytes).
        rss_mb: peak of the tree's RSS.
    """

    wall_s: float
    cpu_s: float
    pss_mb: float
    rss_mb: float


def tree_memory(pid: int, at_least: int = 0) -> Memory:
    """Returns the memory of a process and its descendants now.

    Args:
        at_least: PSS is only read where it can be more than this (it is never above RSS); otherwise it is given as 0.
    """
    try:
        parent = psutil.Process(pid)
        pids = [pid, *(child.pid for child in parent.children(recursive=True))]
    except psutil.NoSuchProcess:
        return Memory()
    rss = sum(_rss(each) for each in pids)
    shares = {each: _pss(each) for each in pids} if rss > at_least else {}
    # What ends between two reads leaves its shared pages to the others, which then count them once more.
    if any(share and not _rss(each) for each, share in shares.items()):
        return Memory(0, rss)
    return Memory(sum(shares.values()), rss)


def _rss(pid: int) -> int:
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):  # it has ended; the latter while it was read
        return 0
    return parse_pss(text)


def parse_pss(rollup: str) -> int:
    """Returns the bytes that the `Pss:` line of a smaps_rollup gives; 0 if it has none (a process that is ending)."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * _KIB
    return 0


def measure(
    command: Sequence[str],
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 3600,
) -> Measurement:
    """Runs a program and waits for its end.

    Args:
        folder: where it runs; gets the files `stdout` and `stderr`.
        env: all of its environment variables; None: this process's.

    Raises:
        FailedError: its exit code isn't 0, or it was still running after `timeout_s`; the message has the end of what
            it printed.
    """
    with (folder / STDOUT).open("wb") as out, (folder / STDERR).open("wb") as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        sampler = _Sampler(process.pid)
        sampler.start()
        try:
            code, usage, wall = _wait(process, began, timeout_s)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            peak = sampler.stop()
    if code != 0:
        raise FailedError(f"exit code {code}: {_tail(folder / STDERR) or _tail(folder / STDOUT)}")
    return Measurement(wall, usage.ru_utime + usage.ru_stime, peak.pss / 1e6, peak.rss / 1e6)


def _wait(process: subprocess.Popen, began: float, timeout_s: float) -> tuple[int, resource.struct_rusage, float]:
    """Waits with wait4, whose usage is of this process and its descendants alone."""
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            wall = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage, wall
        if time.perf_counter() - began > timeout_s:
            raise FailedError(f"stopped after {timeout_s:,.0f} s")
        time.sleep(0.005)


def _tail(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-_TAIL_LINES:])[-500:]


class _Sampler(threading.Thread):
    def __init__(self, pid: int, sample: Callable[[int, int], Memory] = tree_memory) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._sample = sample
        self._peak = Memory()
        self._failure: Exception | None = None
        self._ended = threading.Event()

    def run(self) -> None:
        try:
            self._run()
        except Exception as error:  # pylint: disable=broad-exception-caught  # raised in `stop`
            self._failure = error

    def _run(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            began = time.thread_time()  # waiting for a busy machine costs what is measured nothing
            now = self._sample(self._pid, self._peak.pss)
            self._peak = Memory(max(self._peak.pss, now.pss), max(self._peak.rss, now.rss))
            pause = max(_SAMPLE_SECONDS, (time.thread_time() - began) / _SHARE)

    def stop(self) -> Memory:
        """Returns the peak. Raises: what made sampling end early, after which it would be too low."""
        self._ended.set()
        self.join()
        if self._failure:
            raise self._failure
        return self._peak
