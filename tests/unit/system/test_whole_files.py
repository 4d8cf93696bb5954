"""What is written whole: it is there after a power cut, and a failure names the file and leaves what was there."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeyard.errors import shown
from pipeyard.local.step_cache import CacheEntry, StepCache
from pipeyard.runs.record import Run
from pipeyard.system import files


@pytest.fixture
def calls(monkeypatch):
    """What reaches the disk, in order: the names that are synced, and what is renamed to what."""
    told = []
    fsync, replace = os.fsync, Path.replace

    def syncing(descriptor):
        told.append(("synced", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def replacing(path, target):
        told.append(("renamed", path, target))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(Path, "replace", replacing)
    return told


def _run(folder: Path) -> Path:
    Run(id="r", pipeline="p", started_at=datetime(2026, 3, 1, tzinfo=UTC)).save(folder)
    return folder / "run.json"


def _entry(folder: Path) -> Path:
    StepCache(folder).put("0" * 64, CacheEntry(run="r", task="t", parameters={}, artifacts={}))
    return folder / f"{'0' * 64}.json"


def _any(folder: Path) -> Path:
    files.write_whole(folder / "any", "text")
    return folder / "any"


@pytest.mark.parametrize("write", [_run, _entry, _any])
def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_is_after(tmp_path, calls, write):
    path = write(tmp_path)
    (first, aside), (renamed, before, after), last = calls
    assert (first, renamed, before, after) == ("synced", "renamed", aside, path)
    assert last == ("synced", tmp_path)


def test_an_entry_that_is_computed_as_quickly_as_it_is_synced_is_not(tmp_path, calls):
    StepCache(tmp_path).put("0" * 64, CacheEntry(run="r", task="t", parameters={}, artifacts={}), seconds=0.01)
    assert [call[0] for call in calls] == ["renamed"]


def test_a_folder_that_appears_is_on_the_disk(tmp_path, calls):
    with files.folder_whole(tmp_path / "new"):
        pass
    assert calls == [("synced", tmp_path)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("function", ["open", "write", "fsync"])
def test_a_write_that_fails_names_the_file_and_leaves_what_was_there(tmp_path, monkeypatch, function, number):
    path = tmp_path / "workflow.tar.gz"
    path.write_text("before")
    with monkeypatch.context() as patched, pytest.raises(OSError) as caught:
        patched.setattr(os, function, lambda *_, **__: (_ for _ in ()).throw(OSError(number, os.strerror(number))))
        files.write_whole(path, "after")
    assert (caught.value.errno, caught.value.filename) == (number, str(path))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    told = shown(caught.value)
    assert told.startswith(f"pipeyard: error: {os.strerror(number)}: {path}. ")
    assert told.endswith(", and run the same command again.")


@pytest.mark.parametrize(
    ("free", "inodes", "lacking"), [(0, 10, "room"), (10**6, 0, "inodes"), (10**6, 10, ""), (1, 0, "room")]
)
def test_a_disk_without_room_is_told_from_one_without_inodes(monkeypatch, free, inodes, lacking):
    disk = os.statvfs_result((1, 1, 10**7, free, free, 100, inodes, inodes, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    assert files.without_room(Path("anywhere")) == lacking


def test_a_file_system_that_counts_no_inodes_lacks_none(monkeypatch):
    disk = os.statvfs_result((1, 1, 10**7, 10**6, 10**6, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    assert files.without_room(Path("anywhere")) == ""
