"""How much memory is to be had: of the machine, and within the limits of the control groups that this process is in."""

from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")


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
