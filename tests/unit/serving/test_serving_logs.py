"""What becomes of logs, and what is told of versions that nobody asked."""

import json
import os

from pipeyard.serving import serving_logs, serving_state
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


def test_rates_of_a_second_in_which_all_requests_were_refused_are_json():
    refused = Window(start=0.0, end=1.0, version=3, weight=10, alive=True, requests=5, errors=5, latency={}, scores={})
    told = serving_state._rates(refused)
    assert json.loads(json.dumps(told, allow_nan=False))["p50"] is None
    assert told["errors_a_second"] == 5
