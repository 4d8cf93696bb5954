"""What becomes of logs and kept requests, and what is told of versions that nobody asked."""

import json
import os

import pytest

from pipeyard.serving import kept_requests, serving_logs, serving_state
from pipeyard.serving.kept_requests import Removed
from pipeyard.serving.serving_folder import ServingFolder
from rollout.observations import Window


def test_large_logs_are_cut_but_a_rollout_s_and_old_ones_are_removed(tmp_path):
    for name in ("supervisor.log", "rollout-taxi.jsonl", "aliases.json", "router.log"):
        (tmp_path / name).write_bytes(b"12345")
    for name in ("router.log", "aliases.json"):
        os.utime(tmp_path / name, (0, 0))
    assert serving_logs.keep(tmp_path, 7, most_bytes=4) == ["router.log"]
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left == {
        "supervisor.log": b"",
        "supervisor.log.1": b"12345",
        "rollout-taxi.jsonl": b"12345",
        "aliases.json": b"12345",
    }


@pytest.fixture
def kept(tmp_path):
    """What there is of `taxi`: written long ago but for a sample, and one that is being written; and of another one."""
    folder = ServingFolder(tmp_path)
    taxi, other = folder.samples("taxi"), folder.samples("other")
    files = [taxi / "taxi-v1-old.parquet", taxi / ".taxi-v1-now.parquet.partial", other / "other-v1-old.parquet"]
    files += [folder.labels("taxi") / "1.parquet", folder.monitoring("taxi") / "examples/train/rows.gz"]
    for file in (*files, taxi / "taxi-v1-new.parquet"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"12345")
        os.utime(file, (1000, 1000) if file in files else (5000, 5000))
    return folder


def _files(folder):
    return sorted(path.name for path in folder.own.rglob("*") if path.is_file())


def test_what_is_kept_of_a_model_s_requests_is_removed_and_what_is_being_written_isn_t(kept):
    assert kept_requests.remove(kept, "taxi", 500, now=2000.0) == Removed(3, 15)
    assert _files(kept) == [".taxi-v1-now.parquet.partial", "other-v1-old.parquet", "taxi-v1-new.parquet"]
    assert not list(kept.monitoring("taxi").iterdir())
    assert kept_requests.remove(kept, "taxi", now=6000.0) == Removed(1, 5)
    assert kept.samples("taxi").is_dir()  # its server writes there


def test_removing_is_a_command_that_knows_the_models(run_pipeyard, kept):
    at = ("serve", "--folder", str(kept.path), "forget")
    assert "Did you mean 'taxi'?" in run_pipeyard(*at, "taxy")[2]
    assert "Nothing is kept of a model '..'" in run_pipeyard(*at, "..")[2]
    code, _, said = run_pipeyard(*at, "taxi", "--older-than", "soon")
    assert (code, "--older-than 'soon': this is no length of time" in said) == (1, True)
    assert run_pipeyard(*at, "taxi", "--older-than", "1d", "--json")[1] == '{\n  "files": 4,\n  "bytes": 20\n}\n'


def test_rates_of_a_second_in_which_all_requests_were_refused_are_json():
    refused = Window(start=0.0, end=1.0, version=3, weight=10, alive=True, requests=5, errors=5, latency={}, scores={})
    told = serving_state._rates(refused)
    assert json.loads(json.dumps(told, allow_nan=False))["p50"] is None
    assert told["errors_a_second"] == 5
