"""Pushing: whole or not at all, never over another version, whatever happens in between."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Files
from deploy import rollout, serving
from deploy.cli import main
from deploy.serving import LocalVersions, RemoteVersions
from fsspec.implementations.memory import MemoryFileSystem

from stepkit import registry, uris
from stepkit.errors import StepError
from stepkit.served import MODEL_CARD, MODEL_CARD_PAGE, STATISTICS
from stepkit.served import versions as numbers_of


@pytest.fixture(name="model")
def fixture_model(tmp_path: Path) -> Path:
    """What looks like a SavedModel to who only copies it."""
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


@pytest.fixture(name="store")
def fixture_store() -> Iterator[MemoryFileSystem]:
    yield MemoryFileSystem()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def describe(number: int) -> dict[str, Any]:
    return {"version": number, "digest": "abc"}


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def push(versions: serving.Versions, model: Path) -> int:
    with versions.locked():
        return versions.push(model, describe)


def test_a_full_disk_leaves_nothing(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StepError, match=r"No space left on device .*Nothing was pushed\. Check the path, its perm"):
        push(LocalVersions(tmp_path / "taxi"), model)
    assert names(tmp_path / "taxi") == [".lock"]


def test_a_folder_without_write_permission_is_named(model: Path) -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o555)
        if user == 0:
            os.seteuid(65532)
        try:
            with pytest.raises(StepError, match=r"Can't write to the serving folder .*Permission denied"):
                push(LocalVersions(Path(base) / "taxi"), model)
        finally:
            os.seteuid(user)
        assert names(Path(base)) == []


def test_a_version_that_appears_in_between_is_kept_and_the_next_number_taken(model: Path, tmp_path: Path) -> None:
    versions = LocalVersions(tmp_path / "taxi")
    tried = []

    def slow(number: int) -> dict[str, Any]:
        tried.append(number)
        if number == 1:
            (tmp_path / "taxi" / "1").mkdir()
            (tmp_path / "taxi" / "1" / "saved_model.pb").write_bytes(b"theirs")
        return describe(number)

    with versions.locked():
        assert versions.push(model, slow) == 2
    assert tried == [1, 2]
    assert (tmp_path / "taxi" / "1" / "saved_model.pb").read_bytes() == b"theirs"
    assert json.loads((tmp_path / "taxi" / "2" / serving.RECORD).read_text())["version"] == 2


KILLED = """
import shutil, sys, time
from pathlib import Path
from deploy.serving import LocalVersions

copy = shutil.copyfile
def slow(source, target):
    copy(source, target)
    print("copied", flush=True)
    time.sleep(60)
shutil.copyfile = slow
versions = LocalVersions(Path(sys.argv[2]))
with versions.locked():
    versions.push(Path(sys.argv[1]), lambda number: {})
"""


def _interrupt(model: Path, folder: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(model), str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "copied\n"
        process.send_signal(number)
    assert process.returncode == -number


def test_a_killed_deploy_leaves_no_version_and_the_next_one_cleans_up(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "taxi"
    _interrupt(model, folder, signal.SIGKILL)
    leftover = [name for name in names(folder) if name != ".lock"]
    assert len(leftover) == 1
    assert leftover[0].startswith(".")  # TF Serving looks at numbers only
    assert LocalVersions(folder).numbers() == []
    assert push(LocalVersions(folder), model) == 1
    assert names(folder) == [".lock", "1"]


def test_a_running_deploy_is_not_cleaned_up(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "taxi"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED.replace("60", "1"), str(model), str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "copied\n"
        assert push(LocalVersions(folder), model) == 2
    assert process.returncode == 0
    assert names(folder) == [".lock", "1", "2"]


def test_a_version_is_removed_again_if_it_cannot_be_registered(model: Path, tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"no database")
    versions = LocalVersions(tmp_path / "taxi")
    candidate = rollout.Candidate("taxi", model, serving.digest_of(model), {})
    with pytest.raises(StepError, match=r"no SQLite database.* Version 1, just pushed, was removed again\."):
        rollout.deploy_now(candidate, versions, f"sqlite:///{tmp_path}/registry.db", "champion")
    assert names(tmp_path / "taxi") == [".lock"]


def test_a_version_of_an_earlier_deploy_stays_if_it_cannot_be_registered(model: Path, tmp_path: Path) -> None:
    versions = LocalVersions(tmp_path / "taxi")
    candidate = rollout.Candidate("taxi", model, serving.digest_of(model), {})
    good, bad = f"sqlite:///{tmp_path}/registry.db", f"sqlite:///{tmp_path}/bad.db"
    rollout.deploy_now(candidate, versions, good, "champion")
    (tmp_path / "bad.db").write_bytes(b"no database")
    with pytest.raises(StepError, match="no SQLite database"):
        rollout.deploy_now(candidate, versions, bad, "champion")
    assert names(tmp_path / "taxi") == [".lock", "1"]


def test_a_pushed_version_that_was_never_registered_is_registered_by_the_next_deploy(files: Files) -> None:
    candidate = rollout.Candidate("taxi", files.model, serving.digest_of(files.model), {})
    rollout.push(candidate, _made(LocalVersions(files.serving / "taxi")), "champion")
    assert main(files.argv()) == 0
    assert (files.outputs / "version").read_text() == "1"
    assert registry.get_by_alias(files.registry_uri, "taxi", "champion").version == 1


def _made(versions: LocalVersions) -> LocalVersions:
    with versions.locked():
        return versions


@pytest.mark.parametrize("record", [b"{", b"[]", b"\xff", b"{}"])
def test_a_version_with_a_damaged_record_is_compared_by_content(model: Path, tmp_path: Path, record: bytes) -> None:
    versions = LocalVersions(tmp_path / "taxi")
    push(versions, model)
    (tmp_path / "taxi" / "1" / serving.RECORD).write_bytes(record)
    assert versions.holds(1, serving.digest_of(model))
    assert not versions.holds(1, "other")


def test_the_graph_is_uploaded_last(store: MemoryFileSystem, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded = []
    put = MemoryFileSystem.put_file

    def spy(self: MemoryFileSystem, source: str, target: str, **kwargs: Any) -> None:
        uploaded.append(sorted(self.find("/models/taxi/1")))
        put(self, source, target, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "put_file", spy)
    assert push(RemoteVersions("memory://models/taxi"), model) == 1
    assert uploaded[-1] == ["/models/taxi/1/pipeyard.json", "/models/taxi/1/variables/variables.index"]
    assert store.cat_file("/models/taxi/1/saved_model.pb") == b"graph"


@pytest.mark.parametrize("remote", [False, True])
def test_statistics_are_pushed_with_the_model_and_are_no_part_of_it(
    store: MemoryFileSystem, model: Path, tmp_path: Path, remote: bool
) -> None:
    base = "memory://models/taxi" if remote else str(tmp_path / "taxi")
    versions = RemoteVersions(base) if remote else LocalVersions(tmp_path / "taxi")
    for content in (b"first", b"second"):
        (tmp_path / "statistics").write_bytes(content)
        with versions.locked():
            versions.push(model, lambda _: {"digest": serving.digest_of(model)}, {STATISTICS: tmp_path / "statistics"})
    for number, content in ((1, b"first"), (2, b"second")):
        assert versions.holds(number, serving.digest_of(model))
        with uris.local_copy(f"{versions.uri(number)}/{STATISTICS}", "statistics") as copy:
            assert copy.read_bytes() == content
    assert list(numbers_of(base)) == [2, 1]


@pytest.mark.parametrize("remote", [False, True])
def test_a_model_that_is_there_already_gets_the_newest_statistics(
    store: MemoryFileSystem, model: Path, tmp_path: Path, remote: bool
) -> None:
    versions = RemoteVersions("memory://models/taxi") if remote else LocalVersions(tmp_path / "taxi")
    registry_uri = f"sqlite:///{tmp_path}/registry.db"
    deployed = [rollout.Candidate("taxi", model, serving.digest_of(model), {})]
    for content in (b"first", b"second"):
        (tmp_path / content.decode()).write_bytes(content)
        deployed.append(replace(deployed[0], beside={STATISTICS: tmp_path / content.decode()}))
    for candidate in deployed:
        assert rollout.deploy_now(candidate, versions, registry_uri, "champion").version.version == 1
        if candidate.beside:
            with uris.local_copy(f"{versions.uri(1)}/{STATISTICS}", "statistics") as copy:
                assert copy.read_bytes() == candidate.beside[STATISTICS].read_bytes()
    if not remote:
        assert names(tmp_path / "taxi") == [".lock", "1"]


@pytest.mark.parametrize("remote", [False, True])
def test_what_is_the_same_is_not_written_again(
    store: MemoryFileSystem, model: Path, tmp_path: Path, remote: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = RemoteVersions("memory://models/taxi") if remote else LocalVersions(tmp_path / "taxi")
    (tmp_path / "statistics").write_bytes(b"first")
    beside: dict[str, Path | bytes] = {STATISTICS: tmp_path / "statistics", "assets.extra/operating_point.json": b"{}"}
    with versions.locked():
        versions.push(model, describe, beside)
    written = []
    monkeypatch.setattr(serving, "_put", lambda fs, source, target: written.append(target))
    monkeypatch.setattr(serving, "_copy", lambda files, target: written.extend(files))
    versions.renew(1, beside)
    assert [name for name in written if name] == []
    monkeypatch.undo()
    versions.renew(1, {**beside, STATISTICS: b"second"})
    with uris.local_copy(f"{versions.uri(1)}/{STATISTICS}", "statistics") as copy:
        assert copy.read_bytes() == b"second"


def _card(run: str, value: float) -> bytes:
    details = {"name": "taxi", "lineage": {"run_id": run}}
    return json.dumps({"model_details": details, "quantitative_analysis": {"AUC": value}}).encode()


@pytest.mark.parametrize("remote", [False, True])
def test_a_card_names_the_run_that_pushed_until_it_says_something_else(
    store: MemoryFileSystem, model: Path, tmp_path: Path, remote: bool
) -> None:
    versions = RemoteVersions("memory://models/taxi") if remote else LocalVersions(tmp_path / "taxi")

    def read() -> tuple[bytes, bytes]:
        names = (MODEL_CARD, MODEL_CARD_PAGE)
        with contextlib.ExitStack() as stack:
            copies = [stack.enter_context(uris.local_copy(f"{versions.uri(1)}/{name}", name)) for name in names]
            card, page = (copy.read_bytes() for copy in copies)
            return card, page

    with versions.locked():
        versions.push(model, describe, {MODEL_CARD: _card("first", 0.9), MODEL_CARD_PAGE: b"of the first"})
    versions.renew(1, {MODEL_CARD: _card("second", 0.9), MODEL_CARD_PAGE: b"of the second"})
    assert read() == (_card("first", 0.9), b"of the first")
    versions.renew(1, {MODEL_CARD: _card("third", 0.8), MODEL_CARD_PAGE: b"of the third"})
    assert read() == (_card("third", 0.8), b"of the third")


def test_a_version_that_is_pushed_elsewhere_gets_the_statistics_of_that_push(model: Path, tmp_path: Path) -> None:
    (tmp_path / "statistics").write_bytes(b"first")
    first, second = LocalVersions(tmp_path / "first"), LocalVersions(tmp_path / "second")
    with first.locked(), second.locked():
        first.push(model, describe, {STATISTICS: tmp_path / "statistics"})
        second.push(tmp_path / "first/1", describe)
    assert not (tmp_path / "second/1" / STATISTICS).exists()
    assert serving.digest_of(tmp_path / "second/1") == serving.digest_of(model)


def test_a_failed_upload_leaves_no_version(
    store: MemoryFileSystem, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = MemoryFileSystem.put_file

    def broken(self: MemoryFileSystem, source: str, target: str, **kwargs: Any) -> None:
        if target.endswith("saved_model.pb"):
            raise OSError(errno.EIO, "connection reset")
        put(self, source, target, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "put_file", broken)
    versions = RemoteVersions("memory://models/taxi")
    with pytest.raises(StepError, match=r"Can't write to 'memory://models/taxi': .*connection reset\. Nothing was"):
        push(versions, model)
    assert versions.numbers() == []
    assert store.find("/models/taxi") == ["/models/taxi/.claims/1"]
    monkeypatch.undo()
    assert push(versions, model) == 2


def test_a_number_that_another_deploy_has_claimed_is_left_to_it(store: MemoryFileSystem, model: Path) -> None:
    versions = RemoteVersions("memory://models/taxi")
    assert push(versions, model) == 1
    store.pipe_file("/models/taxi/2/variables/variables.index", b"theirs, still going up")
    store.pipe_file("/models/taxi/.claims/2", b"")
    store.pipe_file("/models/taxi/.claims/3", b"")
    assert push(versions, model) == 4
    assert versions.numbers() == [1, 4]
    versions.remove(4)
    assert versions.numbers() == [1]


def test_a_claim_that_is_lost_in_the_same_moment_is_not_taken(
    store: MemoryFileSystem, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.pipe_file("/models/taxi/.claims/1", b"")
    monkeypatch.setattr(MemoryFileSystem, "ls", lambda *args, **kwargs: [])
    assert push(RemoteVersions("memory://models/taxi"), model) == 2
