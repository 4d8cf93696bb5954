"""Limits of memory: the kernel's groups, on files as it shows them, and the watch where there are none."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipeyard.system import control_groups, process
from pipeyard.system.families import Family, ProcessMembers
from pipeyard.system.process import MemoryLimit

# As in /proc/self/mountinfo and /proc/self/cgroup: a container of version 1, without a namespace of groups; a service
# and a scope of version 2.
_V1 = "33 32 0:29 /docker/abc {point} ro,relatime - cgroup memory rw,memory\n"
_V2 = "34 32 0:30 / {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
_FILES = {1: ("memory.limit_in_bytes",), 2: ("memory.max", "memory.swap.max", "memory.oom.group")}


class _Kernel:
    """Folders of control groups, in which a new one has its files at once."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, own: str) -> None:
        self.point, self.own, self.mounts = folder / "point", folder / "own", folder / "mounts"
        self.point.mkdir()
        self.own.write_text(own)
        self.mounts.write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + mounts.format(point=self.point))
        self.version = 1 if mounts == _V1 else 2
        mkdir, rmdir = Path.mkdir, Path.rmdir

        def made(path: Path, **options: object) -> None:
            mkdir(path, **options)  # type: ignore[arg-type]
            for name in (*_FILES[self.version], "cgroup.procs"):
                (path / name).touch()

        def removed(path: Path) -> None:
            for file in path.iterdir():
                file.unlink()
            rmdir(path)

        monkeypatch.setattr(Path, "mkdir", made)
        monkeypatch.setattr(Path, "rmdir", removed)

    def make(self, name: str, limit: int) -> control_groups.MemoryGroup | None:
        return control_groups.make(name, limit, self.own, self.mounts)


def test_a_group_of_version_1_is_in_the_one_that_a_container_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = _Kernel(tmp_path, monkeypatch, _V1, "5:cpu:/docker/abc\n4:memory:/docker/abc/inner\n0::/\n")
    (tmp_path / "point/inner").mkdir(parents=True)
    group = kernel.make("one", 1 << 20)
    assert group and group.folder == kernel.point / "inner/one"
    assert (group.folder / "memory.limit_in_bytes").read_text() == "1048576"
    (group.folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    assert not group.has_killed()
    (group.folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert group.has_killed()
    control_groups.remove_all("on", kernel.own, kernel.mounts)
    assert not group.folder.exists()


@pytest.mark.parametrize(("bounding", "place"), [("service", "service"), ("", "."), (None, None)])
def test_a_group_of_version_2_is_where_groups_can_be_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounding: str | None, place: str | None
) -> None:
    kernel = _Kernel(tmp_path, monkeypatch, _V2, "0::/service\n")
    (kernel.point / "service").mkdir()
    for folder in (kernel.point, kernel.point / "service"):
        (folder / "cgroup.subtree_control").write_text("cpu pids\n")
    if bounding is not None:
        (kernel.point / bounding / "cgroup.subtree_control").write_text("cpu memory pids\n")
    group = kernel.make("one", 1 << 20)
    if place is None:
        assert group is None
        return
    assert group and group.folder == (kernel.point / place / "one").resolve()
    written = {name: (group.folder / name).read_text() for name in _FILES[2]}
    assert written == {"memory.max": "1048576", "memory.swap.max": "0", "memory.oom.group": "1"}
    (group.folder / "memory.events").write_text("low 0\nmax 7\noom 1\noom_kill 1\n")
    assert group.has_killed()
    said = subprocess.run(group.command([sys.executable, "-c", "print('ran')"]), capture_output=True, check=True)
    assert said.stdout == b"ran\n" and int((group.folder / "cgroup.procs").read_text()) > 1


def test_a_group_that_cant_be_bounded_isnt_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = _Kernel(tmp_path, monkeypatch, _V1, "4:memory:/docker/abc\n")
    monkeypatch.setitem(_FILES, 1, ("memory.stat",))
    assert kernel.make("one", 1) is None
    assert not list(kernel.point.iterdir())


class _Members:
    """Three processes, of which the two that were forked share what they hold."""

    def __init__(self, shared: int = 0) -> None:
        self.shared = shared
        self.members = [1]
        self.finds = 0
        self.killed = False

    def find(self) -> None:
        self.finds += 1
        self.members = [1, 2, 3]

    def pids(self) -> list[int]:
        return self.members

    def resident(self, pid: int) -> int:
        return 10 if pid == 1 else 30 + self.shared

    def share(self, pid: int) -> int:
        return 10 if pid == 1 else 30 + self.shared // 2

    def kill(self) -> None:
        self.killed = True


def test_what_processes_share_counts_once_where_that_decides() -> None:
    clock = [0.0]
    members = _Members(shared=40)
    family = Family(members, lambda: clock[0])
    assert (family.held(149), family.held(150)) == (110, 150)
    assert members.finds == 1
    clock[0] += 10
    family.held(0)
    assert members.finds == 2


def test_a_watched_process_that_holds_too_much_is_killed_with_its_family() -> None:
    members = _Members()
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as started:
        members.kill = started.kill  # type: ignore[method-assign]
        ended = process.wait(started, lambda: False, limit=MemoryLimit(69), members=lambda pid: members)
    assert (ended.code, ended.out_of_memory, ended.peak_bytes >= 70) == (-signal.SIGKILL, True, True)


def test_a_watched_process_below_its_limit_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "0.2"], start_new_session=True) as started:
        ended = process.wait(started, lambda: False, limit=MemoryLimit(70), members=lambda pid: _Members())
    assert (ended.code, ended.out_of_memory) == (0, False)


def test_a_family_has_those_that_left_their_parent_and_counts_what_they_hold() -> None:
    held = "import os, sys, time; held = b'x' * 40_000_000; os.write(1, b'.'); time.sleep(60)"
    # The line that ends the parent is the parent's alone: who of two reads it is chance.
    apart = "start_new_session=True, stdin=subprocess.DEVNULL"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {held!r}], {apart})\n"
    with subprocess.Popen(
        [sys.executable, "-c", f"{parent}sys.stdin.readline()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        assert started.stdin and started.stdout
        started.stdout.read(1)  # both run
        family, members = Family(ProcessMembers(started.pid)), ProcessMembers(started.pid)
        assert 45_000_000 < family.held(0) < 90_000_000
        members.find()
        os.write(started.stdin.fileno(), b"\n")
        started.wait()
        (child,) = (pid for pid in members.pids() if pid != started.pid)
        assert members.resident(child) > 40_000_000
        assert members.resident(started.pid) == 0
        members.kill()
        psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=10)
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
