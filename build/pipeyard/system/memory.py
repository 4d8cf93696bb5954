"""How much memory is available, on the machine and within the control groups' limits; and what a process held."""

import resource
import sys
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


def available(root: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Returns how many bytes new processes can take without swapping or being killed.

    Args:
        root: where cgroup v2 is mounted. Limits of cgroup v1 aren't seen.
        own: tells the group of this process.
    """
    return min([psutil.virtual_memory().available, *_left(root, own)])


def _left(root: Path, own: Path) -> list[int]:
    """Returns what is left in each enclosing group that has a limit."""
    try:
        line = next(line for line in own.read_text(encoding="ascii").splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):
        return []
    group = root / line.removeprefix("0::/")
    left = []
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            break
        try:
            limit = int((folder / "memory.max").read_text(encoding="ascii"))
            used = int((folder / "memory.current").read_text(encoding="ascii"))
            statistics = (folder / "memory.stat").read_text(encoding="ascii").split()
        except (OSError, ValueError):  # no limit is "max"
            continue
        # Cached files count as used, but make room.
        cached = dict(zip(statistics[::2], statistics[1::2], strict=True)).get("inactive_file", 0)
        left.append(limit - used + int(cached))
    return left


class Peak:
    """The most memory that a child process, or the largest of its own children, held at once.

    The kernel's count after its end (`getrusage(2)`) is exact, but starts with the size of its parent, from which it
    was forked. Up to that size only what was seen of it while it ran is known: its own high-water mark, in Linux.

    Attributes:
        seen: in bytes, so far; 0 for none.
    """

    def __init__(self, pid: int) -> None:
        self.seen = 0
        self._status = Path(f"/proc/{pid}/status")
        self.look()

    def look(self) -> None:
        """Reads the high-water mark of the process, if it runs."""
        try:
            lines = self._status.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return
        mark = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0")
        self.seen = max(self.seen, int(mark) * 1024)

    def after(self, usage: resource.struct_rusage | None) -> int:
        """Returns the peak in bytes after its end, `usage` being what `wait4` told of it; 0 if nothing is known."""
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if usage and usage.ru_maxrss > own:
            return max(self.seen, usage.ru_maxrss * _MAXRSS_BYTES)
        return self.seen
