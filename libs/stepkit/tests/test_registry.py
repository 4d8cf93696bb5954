"""The registry against real SQLite files and a loopback server that isn't one."""

import http.server
import multiprocessing
import socket
import threading
import time
from pathlib import Path

import pytest

from stepkit import registry
from stepkit.errors import StepError
from stepkit.registry import ModelVersion


def version(number: int = 1, digest: str = "abc", name: str = "taxi") -> ModelVersion:
    return ModelVersion(name, number, f"/serving/{name}/{number}", digest, {"run_id": "run-7"})


@pytest.fixture(name="uri")
def fixture_uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/registry/models.db"


def test_nothing_is_registered_and_nothing_is_made_when_the_file_is_missing(uri: str, tmp_path: Path) -> None:
    assert registry.get_by_alias(uri, "taxi", "champion") is None
    assert not list(tmp_path.iterdir())


def test_an_empty_file_is_a_registry_without_models(tmp_path: Path) -> None:
    (tmp_path / "models.db").touch()
    assert registry.get_by_alias(f"sqlite:///{tmp_path}/models.db", "taxi", "champion") is None
    assert (tmp_path / "models.db").stat().st_size == 0


def test_a_registered_version_comes_back_by_its_alias_with_its_lineage(uri: str) -> None:
    registered = registry.register(uri, version(4), "champion", {"AUC": 0.75, "lift@10%": 2.0})
    found = registry.get_by_alias(uri, "taxi", "champion")
    assert found == registered
    assert (found.name, found.version, found.uri, found.digest) == ("taxi", 4, "/serving/taxi/4", "abc")
    assert found.tags == {"run_id": "run-7", "metric.AUC": "0.75", "metric.lift_10_": "2.0"}


def test_unknown_models_and_aliases_are_none(uri: str) -> None:
    registry.register(uri, version(), "champion", {})
    assert registry.get_by_alias(uri, "taxi", "challenger") is None
    assert registry.get_by_alias(uri, "texi", "champion") is None


def test_a_challenger_leaves_the_champion_in_place(uri: str) -> None:
    registry.register(uri, version(1), "champion", {})
    registry.register(uri, version(2, "def"), "challenger", {})
    assert registry.get_by_alias(uri, "taxi", "champion").version == 1
    assert registry.get_by_alias(uri, "taxi", "challenger").version == 2


def test_an_alias_is_withdrawn_from_the_version_that_has_it_alone(uri: str) -> None:
    first, second = version(1), version(2, "def")
    registry.register(uri, first, "champion", {})
    registry.register(uri, second, "challenger", {})
    registry.withdraw(uri, first, "challenger")
    registry.withdraw(uri, version(3), "challenger")
    assert registry.get_by_alias(uri, "taxi", "challenger").version == 2
    for _ in range(2):
        registry.withdraw(uri, second, "challenger")
        assert registry.get_by_alias(uri, "taxi", "challenger") is None
    registry.tag(uri, first, {"pipeyard.rollout": "promoted: good"})
    registry.tag(uri, version(3), {"pipeyard.rollout": "promoted: good"})
    assert registry.get_by_alias(uri, "taxi", "champion").tags["pipeyard.rollout"] == "promoted: good"


def test_a_relative_file_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert registry.absolute("sqlite:///registry/models.db") == f"sqlite:///{tmp_path}/registry/models.db"
    assert registry.absolute("sqlite:///a.db?timeout=5") == f"sqlite:///{tmp_path}/a.db?timeout=5"
    for same in ("sqlite:////abs/models.db", "https://mlflow.example/"):
        assert registry.absolute(same) == same


def test_registering_again_changes_only_the_alias(uri: str) -> None:
    from mlflow import MlflowClient

    first = registry.register(uri, version(), "challenger", {"AUC": 0.75})
    assert registry.register(uri, version(), "champion", {"AUC": 0.1}) == first
    assert registry.get_by_alias(uri, "taxi", "champion") == first
    assert len(MlflowClient(uri, uri).search_model_versions("name = 'taxi'")) == 1


def test_a_registered_version_can_be_promoted(uri: str) -> None:
    registry.register(uri, version(1), "champion", {})
    second = registry.register(uri, version(2, "def"), None, {})
    assert registry.get_by_alias(uri, "taxi", "champion").version == 1
    registry.promote(uri, second, "champion")
    assert registry.get_by_alias(uri, "taxi", "champion") == second


def test_a_version_that_is_not_registered_cannot_be_promoted(uri: str) -> None:
    registry.register(uri, version(1), "champion", {})
    with pytest.raises(StepError, match=r"Version 2 of model 'taxi' .* isn't in the registry"):
        registry.promote(uri, version(2), "champion")
    assert registry.get_by_alias(uri, "taxi", "champion").version == 1


def test_a_number_used_again_for_another_model_is_registered_on_its_own(uri: str) -> None:
    registry.register(uri, version(1, "old"), "champion", {})
    assert registry.register(uri, version(1, "new"), "champion", {}).digest == "new"
    assert registry.get_by_alias(uri, "taxi", "champion").digest == "new"


def test_models_that_something_else_registered_are_found(uri: str) -> None:
    from mlflow import MlflowClient

    registry.register(uri, version(), "champion", {})
    client = MlflowClient(uri, uri)
    client.create_registered_model("other")
    client.create_model_version("other", source="/models/other")
    client.set_registered_model_alias("other", "champion", "1")
    assert registry.get_by_alias(uri, "other", "champion") == ModelVersion("other", 1, "/models/other", "")


def test_only_the_database_and_its_lock_are_left(uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    registry.register(uri, version(), "champion", {})
    assert sorted(item.name for item in (tmp_path / "registry").iterdir()) == [".models.db.lock", "models.db"]
    assert capfd.readouterr() == ("", "")


def _register(uri: str, number: int) -> None:
    registry.register(uri, version(number, str(number)), "champion", {})


def test_processes_may_register_at_once_in_a_registry_that_does_not_exist_yet(uri: str) -> None:
    from mlflow import MlflowClient

    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_register, args=(uri, number)) for number in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    found = MlflowClient(uri, uri).search_model_versions("name = 'taxi'")
    assert sorted(item.tags[registry.VERSION_TAG] for item in found) == ["1", "2"]


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_corrupt_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "models.db").write_bytes(content)
    uri = f"sqlite:///{tmp_path}/models.db"
    with pytest.raises(StepError, match=r"model registry .*models\.db"):
        registry.get_by_alias(uri, "taxi", "champion")
    with pytest.raises(StepError, match=r"model registry .*models\.db"):
        registry.register(uri, version(), "champion", {})
    assert (tmp_path / "models.db").read_bytes() == content


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StepError, match="can't be written: File exists"):
        registry.register(f"sqlite:///{tmp_path}/file/models.db", version(), "champion", {})


@pytest.mark.parametrize("uri", ["", "models.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "file:///mlruns"])
def test_uris_that_name_no_registry_are_refused(uri: str) -> None:
    with pytest.raises(StepError, match="Give sqlite:///FILE"):
        registry.get_by_alias(uri, "taxi", "champion")


def test_an_unreachable_server_is_named_within_seconds() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(StepError, match=rf"'http://\*\*\*@127\.0\.0\.1:{port}' refused or didn't answer"):
        registry.get_by_alias(f"http://me:secret@127.0.0.1:{port}", "taxi", "champion")
    assert time.monotonic() - started < 30


def test_a_server_that_is_no_registry_is_named() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(StepError, match="refused or didn't answer"):
            registry.register(f"http://127.0.0.1:{server.server_port}", version(), "champion", {})
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("name", "alias"), [("a/b", "champion"), ("taxi", "v1"), ("taxi", "latest"), ("taxi", "a b")])
def test_names_that_mlflow_refuses_are_refused(uri: str, name: str, alias: str) -> None:
    with pytest.raises(StepError, match=r"refused or didn't answer: .*(Invalid|reserved)"):
        registry.register(uri, version(name=name), alias, {})
