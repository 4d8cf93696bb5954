"""`components.lock`: what another repository pins, verifies, updates and loads, and what goes wrong with it."""

import json
import logging
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import component_stores

from pipeyard.commands.withdraw import command as withdraw
from pipeyard.component_store import layout
from pipeyard.errors import PipeyardError
from pipeyard_components import ComponentStore, Locks
from pipeyard_components.__main__ import main


@pytest.fixture
def store(tmp_path) -> Path:
    """A store in which `echo` has the versions v1 and v2, the newest."""
    folder = component_stores.write(tmp_path / "store", component_stores.two_versions()[0])
    entry = layout.IndexEntry("Says it.", component_stores.two_versions()[1:], {"v1": "", "v2": "", "latest": ""})
    (folder / layout.INDEX).write_bytes(layout.write_index({"echo": entry}))
    return folder


@pytest.fixture
def lock(tmp_path, monkeypatch) -> Path:
    """Where a lock will be: in a repository, the working folder."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder / "components.lock"


def _locked(lock: Path) -> dict:
    return json.loads(lock.read_text(encoding="utf-8"))["components"]


def _move(store: Path, tag: str, to: str) -> None:
    (store / layout.tag_path("echo", tag)).write_bytes((store / layout.tag_path("echo", to)).read_bytes())


def test_what_is_added_is_loaded_by_digest_and_told_why(store, lock, capsys):
    assert main(["add", str(store), "echo@v1"]) == 0
    _, first, _ = component_stores.two_versions()
    assert _locked(lock) == {
        "echo": {
            "source": str(store),
            "version": "v1",
            "digest": f"sha256:{first}",
            "images": ["busybox:1"],
            "vendored": False,
            "deprecated": "",
        }
    }
    _move(store, "v1", "v2")
    assert main(["verify"]) == 0  # a tag that moved is no drift
    assert component_stores.image_of(Locks(lock).load_components().echo) == "busybox:1"
    (lock.parent / "mine.py").write_text("x = 1\ncomponents = locks.load_components('echo')\n", encoding="utf-8")
    assert main(["why", "echo"]) == 0
    told = capsys.readouterr().out
    assert f"from {store}, v1\nruns busybox:1\nnamed in mine.py:2\n" in told


def test_an_image_that_a_tag_names_is_locked_with_a_warning(store, lock, caplog):
    main(["add", str(store), "echo@v1"])
    assert "echo: nothing pins what it runs: busybox:1 may name another image tomorrow." in caplog.text
    caplog.clear()
    pinned = layout.publication("echo", component_stores.spec(image=f"busybox@sha256:{'1' * 64}"), ["v3"])
    component_stores.write(store, pinned)
    main(["add", str(store), "echo@v3"])
    assert _locked(lock)["echo"]["images"] == [f"busybox@sha256:{'1' * 64}"]
    assert not caplog.text


def test_diff_tells_what_update_takes(store, lock, capsys):
    main(["add", str(store), "echo@v1"])
    assert main(["diff"]) == 0
    assert "nothing changed" in capsys.readouterr().out
    _move(store, "v1", "v2")
    before = lock.read_bytes()
    assert main(["diff"]) == 0
    told = capsys.readouterr().out
    assert "behaviour: the program has another image: busybox:2, was busybox:1" in told
    assert lock.read_bytes() == before
    assert main(["update", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["echo"]["severity"] == "behaviour"
    assert _locked(lock)["echo"]["images"] == ["busybox:2"]
    assert main(["verify"]) == 0


def test_vendored_copies_are_all_that_is_needed_and_are_verified(store, lock, capsys):
    main(["add", str(store), "echo@v1", "--vendor"])
    _move(store, "v1", "v2")
    main(["update"])
    (copy,) = [path for path in (lock.parent / "vendored_components").rglob("*") if path.is_file()]
    store.rename(store.parent / "gone")
    assert component_stores.image_of(Locks(lock).load_components("echo").echo) == "busybox:2"
    assert main(["verify"]) == 0
    stray = copy.parent / ("0" * 64)
    stray.write_bytes(b"x")
    assert main(["verify"]) == 1
    assert "is no copy that components.lock names. Remove it" in capsys.readouterr().err
    stray.unlink()
    copy.write_bytes(copy.read_bytes() + b"# more\n")
    assert main(["verify"]) == 1
    assert "wrong digest" in capsys.readouterr().err
    copy.unlink()
    assert main(["verify"]) == 1
    assert "is missing. Restore it" in capsys.readouterr().err


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # pylint: disable=redefined-builtin
        """Says nothing."""


@pytest.fixture
def url(store):
    """The store behind HTTP."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(store))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_was_added_from_a_url_needs_no_network_afterwards(url, lock, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["add", url, "echo@v1"]) == 0
    assert Locks(lock, offline=True).load_components().echo.location.startswith(url)
    assert main(["verify", "--offline"]) == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    assert main(["verify", "--offline"]) == 1
    assert "not in the cache, and offline" in capsys.readouterr().err


def _withdraw(store: Path, *arguments: str) -> str:
    done = CliRunner().invoke(withdraw, [str(store), *arguments])
    return f"{done.exit_code} {done.output} {done.exception or ''}"


def test_deprecated_versions_warn_yanked_ones_are_refused_each_with_the_reason(store, lock, url, capsys, caplog):
    main(["add", str(store), "echo@v1"])
    first = _locked(lock)["echo"]["digest"]
    assert f"echo {first} is deprecated" in _withdraw(store, "echo@v1", "--deprecated", "It is slow.")
    assert main(["update"]) == 0
    for load in (
        Locks(lock).load_components,
        lambda: ComponentStore([store]).load_component("echo", digest=first),
        lambda: ComponentStore(url_search_prefixes=[url], cache_dir=lock.parent / "c").load_component("echo", tag="v1"),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            load()
        assert "is deprecated: It is slow." in caplog.text
    assert main(["verify"]) == 0
    _withdraw(store, "echo@v1", "--yanked", "It loses rows.")
    assert main(["verify"]) == 1
    assert "was yanked: It loses rows. Update it, or add another version." in capsys.readouterr().err
    lock.unlink()
    assert main(["add", str(store), "echo@v1"]) == 1
    assert "was yanked: It loses rows. Add another version: echo@TAG." in capsys.readouterr().err
    assert not lock.exists()
    assert main(["add", str(store), "echo@v2"]) == 0
    _withdraw(store, "echo@v1", "--restore")
    assert main(["add", str(store), "echo@v1"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["echo@lates", "--yanked", "x"], "has no 'echo' (tag 'lates'). Did you mean 'latest'"),
        (["ecko", "--yanked", "x"], "has no 'ecko' (newest). Did you mean 'echo'"),
        (["echo", "--yanked", "x", "--restore"], "Give one of --deprecated REASON, --yanked REASON and --restore"),
        (["echo", "--yanked", " "], "for a reason, which its users see"),
    ],
)
def test_what_can_t_be_withdrawn_says_why(store, arguments, message):
    assert message in _withdraw(store, *arguments)
    assert not (store / "echo/versions/states.json").exists()


NEWER = """
components: {}
deploymentSpec: {executors: {}}
pipelineInfo: {name: newer}
root: {dag: {novel: [1]}}
schemaVersion: 2.1.0
sdkVersion: kfp-9.1.0
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ecko"], "Did you mean 'echo'"),
        (["echo@lates"], "There is a component 'echo'; of its tags: Did you mean 'latest'"),
        (["newer"], "kfp-9.1.0 wrote it: install that one or a newer"),
        (["../echo"], "is no component name"),
    ],
)
def test_what_can_t_be_added_says_why_and_leaves_nothing(store, lock, capsys, arguments, message):
    component_stores.write(store, {"newer/component.yaml": NEWER.encode()})
    main(["add", str(store), "echo@v1"])
    before = lock.read_bytes()
    assert main(["add", str(store), *arguments, "--vendor"]) == 1
    assert message in capsys.readouterr().err
    assert lock.read_bytes() == before
    assert [path.name for path in lock.parent.iterdir()] == ["components.lock"]


def test_another_store_s_component_of_the_name_is_taken_only_when_asked_for(store, lock, tmp_path, capsys):
    main(["add", str(store), "echo@v1"])
    other = layout.publication("echo", component_stores.spec(image="elsewhere:1"), ["v1"])
    component_stores.write(tmp_path / "other", other)
    before = lock.read_bytes()
    assert main(["add", str(tmp_path / "other"), "echo@v1"]) == 1
    assert f"'echo' is locked from {store}" in capsys.readouterr().err
    assert lock.read_bytes() == before
    assert main(["add", str(tmp_path / "other"), "echo@v1", "--replace"]) == 0
    assert _locked(lock)["echo"]["images"] == ["elsewhere:1"]


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        ("busybox:1", "evil:1", "the lock says that it runs evil:1, its specification says busybox:1"),
        ('"digest": "sha256:', '"digest": "sha256:' + "0" * 64 + '", "x": "', "the lock was changed by hand"),
        ('"vendored": false', '"vendored": "no"', "the lock was changed by hand"),
        ('"format": 1', '"format": 2', "has the format 2; this client reads 1"),
        ("{", "[", "isn't JSON"),
        ('"echo"', '"../echo"', "is no component name"),
    ],
)
def test_a_lock_that_was_tampered_with_is_refused(store, lock, capsys, was, now, message):
    main(["add", str(store), "echo@v1"])
    text = lock.read_text(encoding="utf-8")
    assert was in text
    lock.write_text(text.replace(was, now), encoding="utf-8")
    assert main(["verify"]) == 1
    assert message in capsys.readouterr().err


def test_a_digest_that_the_store_doesn_t_have_is_refused(store, lock, capsys):
    main(["add", str(store), "echo@v1"])
    first = component_stores.two_versions()[1]
    lock.write_text(lock.read_text(encoding="utf-8").replace(first, first[::-1]), encoding="utf-8")
    assert main(["verify"]) == 1
    assert "No component 'echo' (sha256:" in capsys.readouterr().err
    with pytest.raises(PipeyardError, match="No component 'echo'"):
        Locks(lock).load_components()


def test_names_that_aren_t_locked_name_near_ones(store, lock, capsys):
    assert main(["verify"]) == 1
    assert "`pipeyard-components add URL NAME` makes it" in capsys.readouterr().err
    main(["add", str(store), "echo@v1"])
    assert main(["why", "ecko"]) == 1
    assert "has no 'ecko'. Did you mean 'echo'?" in capsys.readouterr().err
