"""The memory that a process and its descendants hold at once, and the end of a family that holds too much."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import psutil

# Finding descendants reads of every process of the machine, so it is done less often than reading what they hold.
_FIND_SECONDS = 0.25


class Members(Protocol):
    """Reads of a family. What has ended counts as holding nothing."""

    def find(self) -> None:
        """Looks for members that are new."""

    def pids(self) -> list[int]:
        """Returns the members that live, as far as they were found."""

    def resident(self, pid: int) -> int:
        """Returns the bytes that a member holds, but for files that the kernel can drop; shared ones count."""

    def share(self, pid: int) -> int:
        """As `resident`, but what several processes share counts for each in part. Takes longer."""

    def kill(self) -> None:
        """Kills all members."""


class ProcessMembers:
    """The members, of this machine; those whose parents have ended stay members once they were found.

    Args:
        pid: of the first.
    """

    def __init__(self, pid: int) -> None:
        self._known: dict[int, psutil.Process] = {}
        with contextlib.suppress(psutil.Error):
            self._known[pid] = psutil.Process(pid)

    def find(self) -> None:
        for process in list(self._known.values()):
            if not process.is_running():  # or its number is another's by now
                del self._known[process.pid]
                continue
            with contextlib.suppress(psutil.Error):
                for child in process.children(recursive=True):
                    self._known.setdefault(child.pid, child)

    def pids(self) -> list[int]:
        return list(self._known)

    def resident(self, pid: int) -> int:
        return _sum(Path(f"/proc/{pid}/status"), ("RssAnon:", "RssShmem:")) or self._rss(pid)

    def share(self, pid: int) -> int:
        return _sum(Path(f"/proc/{pid}/smaps_rollup"), ("Pss_Anon:", "Pss_Shmem:")) or self.resident(pid)

    def kill(self) -> None:
        self.find()
        for process in self._known.values():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _rss(self, pid: int) -> int:
        """Where the kernel doesn't tell more: on macOS."""
        if Path("/proc/self/status").exists():
            return 0
        with contextlib.suppress(psutil.Error, KeyError):
            return int(self._known[pid].memory_info().rss)
        return 0


class Family:
    """What a family holds.

    Args:
        members: reads of it.
        now: in seconds.
    """

    def __init__(self, members: Members, now: Callable[[], float] = time.monotonic) -> None:
        self._members = members
        self._now = now
        self._found_at = float("-inf")

    def held(self, beyond: int) -> int:
        """Returns the bytes that its members hold together.

        Args:
            beyond: up to so much, what members share may count more than once.
        """
        if self._now() >= self._found_at + _FIND_SECONDS:
            self._members.find()
            self._found_at = self._now()
        pids = self._members.pids()
        resident = sum(map(self._members.resident, pids))
        return resident if resident <= beyond or len(pids) < 2 else sum(map(self._members.share, pids))

    def kill(self) -> None:
        """Kills all of it."""
        self._members.kill()


def _sum(path: Path, names: tuple[str, ...]) -> int:
    """Returns the sum of lines of kB of the kernel's files about a process; 0 if it has ended."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))
