"""What the numbers depend on."""

import os
import platform
import subprocess
from pathlib import Path

import psutil


def describe() -> dict[str, str]:
    """Returns CPU, cores, memory, kernel and Python."""
    return {
        "CPU": parse_cpu_model(Path("/proc/cpuinfo").read_text(encoding="utf-8")) or platform.processor() or "unknown",
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "Python": platform.python_version(),
    }


def parse_cpu_model(cpuinfo: str) -> str:
    """Returns the first `model name` of /proc/cpuinfo; empty if it has none (as on ARM)."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return ""


def commit(root: Path) -> str:
    """Returns the commit that is checked out, with + where files differ from it; empty outside of git."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip()
