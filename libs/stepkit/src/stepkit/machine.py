"""What the machine, or the container, gives this process."""

import math
import os
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: "<quota> <period>" in microseconds, or "max <period>"


def cpus(quota_file: Path = _CPU_MAX) -> int:
    """Returns how many CPUs this process may use, by its affinity and its container's quota, rounded up."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        return max(1, min(allowed, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or no quota
        return allowed
