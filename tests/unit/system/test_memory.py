"""How much memory is to be had, within control groups."""

from pathlib import Path

import psutil
import pytest

from pipeyard.system import memory


@pytest.fixture(name="group")
def fixture_group(tmp_path: Path) -> Path:
    folder = tmp_path / "cgroup" / "outer" / "inner"
    folder.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/outer/inner\n")
    return folder


def limit(group: Path, most: str, used: int, cached: int) -> None:
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")


def test_the_tightest_enclosing_group_decides_and_its_file_cache_makes_room(group: Path, tmp_path: Path) -> None:
    limit(group, "max", 10, 0)
    limit(group.parent, "1000", 800, 300)
    assert memory.available(tmp_path / "cgroup", tmp_path / "own") == 500


def test_without_limits_it_is_what_the_machine_has(group: Path, tmp_path: Path) -> None:
    limit(group, "max", 10, 0)
    assert memory.available(tmp_path / "cgroup", tmp_path / "own") <= psutil.virtual_memory().total
    assert memory.available(tmp_path / "cgroup", tmp_path / "absent") > 1 << 20
