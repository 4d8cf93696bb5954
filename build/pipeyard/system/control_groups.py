"""Control groups by which the kernel bounds the memory of a process and of all its descendants, wherever they go.

Of version 2 (https://docs.kernel.org/admin-guide/cgroup-v2.html) or, where memory is bounded by that still, version 1
(https://docs.kernel.org/admin-guide/cgroup-v1/memory.html). A group is made in the one that this process is in, or, in
version 2, beside it: there a group that has processes can't bound groups in it. Nothing is changed of groups that are
there.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_OWN = Path("/proc/self/cgroup")
_MOUNTS = Path("/proc/self/mountinfo")
_PROCESSES = "cgroup.procs"
# What is written of a limit, in this order: of version 1, then 2. All but the first are left out where the kernel has
# no swap to account for; the last has the whole group end where one process has to, as Kubernetes does.
_LIMITS = (
    {"memory.limit_in_bytes": "{}", "memory.memsw.limit_in_bytes": "{}"},
    {"memory.max": "{}", "memory.swap.max": "0", "memory.oom.group": "1"},
)
_KILLS = ("memory.oom_control", "memory.events")
_REMOVALS = 20
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class MemoryGroup:
    """A group that was made.

    Attributes:
        folder: that the kernel shows it as.
        version: of control groups.
    """

    folder: Path
    version: int

    def command(self, command: list[str]) -> list[str]:
        """Returns a command that runs another in the group, as the same process."""
        return ["/bin/sh", "-c", '{ echo $$ >"$0"; } 2>/dev/null; exec "$@"', str(self.folder / _PROCESSES), *command]

    def take(self, pid: int) -> None:
        """Takes a process that runs already; what it holds by then may count where it was."""
        with contextlib.suppress(OSError):  # it has ended
            (self.folder / _PROCESSES).write_text(f"{pid}\n", encoding="ascii")

    def has_killed(self) -> bool:
        """Whether the kernel has killed a process of the group because of the limit."""
        with contextlib.suppress(OSError, ValueError):
            lines = (self.folder / _KILLS[self.version - 1]).read_text(encoding="ascii").splitlines()
            return any(int(line.split()[1]) > 0 for line in lines if line.startswith("oom_kill "))
        return False

    def remove(self) -> None:
        """Removes the group, whose processes have ended."""
        for _ in range(_REMOVALS):
            try:
                self.folder.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError:  # the kernel isn't done with the last process
                time.sleep(_PAUSE_SECONDS)


def make(name: str, limit: int, own: Path = _OWN, mounts: Path = _MOUNTS) -> MemoryGroup | None:
    """Makes a group.

    Args:
        limit: in bytes.
        own, mounts: tell which groups this process is in, and where they are shown.

    Returns:
        None where this process may not.
    """
    for folder, version in _places(own, mounts):
        group = MemoryGroup(folder / name, version)
        try:
            group.folder.mkdir()
        except OSError:
            continue
        first, *others = _LIMITS[version - 1].items()
        with contextlib.suppress(OSError):
            _write(group.folder, *first, limit)
            for file, text in others:
                with contextlib.suppress(OSError):
                    _write(group.folder, file, text, limit)
            return group
        group.remove()
    return None


def remove_all(prefix: str, own: Path = _OWN, mounts: Path = _MOUNTS) -> None:
    """Removes the groups that `find` finds, whose processes have ended."""
    for group in find(prefix, own, mounts):
        group.remove()


def find(prefix: str, own: Path = _OWN, mounts: Path = _MOUNTS) -> list[MemoryGroup]:
    """Returns the groups that `make` made under names that begin so."""
    return [
        MemoryGroup(each, version) for folder, version in _places(own, mounts) for each in folder.glob(f"{prefix}*")
    ]


def _write(folder: Path, name: str, text: str, limit: int) -> None:
    # Opened without creating it: what the kernel hasn't got is no file.
    with (folder / name).open("r+", encoding="ascii") as file:
        file.write(text.format(limit))


def _places(own: Path, mounts: Path) -> Iterator[tuple[Path, int]]:
    """Yields the folders in which a group whose memory is bounded may be made, with their version."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
        mounted = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return
    groups = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}
    for fields in mounted:
        root, point, (kind, _, options) = fields[3], Path(fields[4]), fields[fields.index("-") + 1 :][:3]
        if kind == "cgroup2" and "" in groups:
            folder = point / _below(groups[""], root)
            for place in (folder, folder.parent):
                if place.is_relative_to(point) and "memory" in _controllers(place):
                    yield place, 2
        elif kind == "cgroup" and "memory" in options.split(","):
            path = next((path for names, path in groups.items() if "memory" in names.split(",")), None)
            if path is not None:
                yield point / _below(path, root), 1


def _below(path: str, root: str) -> str:
    """Returns a group's path below what is mounted; in a container that may be the group itself."""
    return path.removeprefix(root.rstrip("/")).lstrip("/")


def _controllers(folder: Path) -> list[str]:
    try:
        return (folder / "cgroup.subtree_control").read_text(encoding="ascii").split()
    except OSError:
        return []
