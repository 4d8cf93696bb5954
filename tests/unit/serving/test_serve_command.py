"""`pipeyard serve`, without anything served: what it says, and what files it leaves."""

import dataclasses
import json
import os
import socket

import pytest
import requests

from pipeyard.errors import PipeyardError
from pipeyard.serving import serving_folder, serving_logs, start_options, start_serving
from pipeyard.serving.operators_page import OperatorsPage
from pipeyard.serving.router_access import RouterAccess
from pipeyard.serving.sampling import LiveSampling
from pipeyard.serving.serving_folder import ServedVersion, ServingFolder
from pipeyard.serving.start_options import StartOptions
from rollout import decision, log
from rollout.observations import Window
from rollout.policy import Policy


@pytest.fixture
def folder(tmp_path):
    for number in (1, 2, 10):
        (tmp_path / "taxi" / str(number)).mkdir(parents=True)
        (tmp_path / "taxi" / str(number) / "saved_model.pb").touch()
    (tmp_path / "taxi" / "11").mkdir()  # not whole yet
    (tmp_path / ".serve" / "1").mkdir(parents=True)
    return ServingFolder(tmp_path)


def test_versions_are_numbers_and_whole(folder):
    assert folder.models() == ["taxi"]
    assert folder.versions("taxi") == [10, 2, 1]
    assert ServedVersion.parse(str(ServedVersion("a.b", 7))) == ServedVersion("a.b", 7)


@pytest.mark.parametrize(("uri", "says"), [("", "sets no serving_uri"), ("gs://bucket/x", "Choose an environment")])
def test_what_isn_t_a_folder_here_is_refused(uri, says):
    with pytest.raises(PipeyardError, match=says):
        serving_folder.of_uri(uri, "dev")


def test_nothing_served_is_said(run_pipeyard, folder):
    at = ("serve", "--folder", str(folder.path))
    assert run_pipeyard(*at, "status")[:2] == (
        1,
        f"Nothing of {folder.path} is served. Start it: pipeyard serve start\n",
    )
    assert run_pipeyard(*at, "status", "--json")[:2] == (1, "{}\n")
    assert run_pipeyard(*at, "stop")[:2] == (0, "Nothing is served.\n")
    assert run_pipeyard(*at, "logs")[:2] == (0, "There are no logs.\n")
    assert "has no candidate" in run_pipeyard(*at, "promote", "taxi")[2]


def test_who_holds_the_lock_serves(folder):
    lock = start_serving.hold(folder)
    assert start_serving.is_served(folder)
    assert start_serving.hold(folder) is None
    lock.close()
    assert not start_serving.is_served(folder)


def test_options_are_read_as_written(folder):
    sampled = LiveSampling(0.5, ("company",), 3.0, 7)
    server = ("/python", "-m", "x")
    options = StartOptions(8500, 8501, "/envoy", server, ("taxi",), ("--max-rows", "1"), {"A": "b"}, sampling=sampled)
    options = dataclasses.replace(options, access=RouterAccess("::1", "/c", "/k", "/t"))
    options.write(folder.start)
    assert start_options.read(folder.start) == options
    folder.start.write_text(json.dumps({"port": 1, "newer": 2}))
    with pytest.raises(ValueError, match="another version"):
        start_options.read(folder.start)
    folder.start.write_text('{"port": 1, "port": 2}')
    with pytest.raises(ValueError, match="the key 'port' stands twice"):
        start_options.read(folder.start)


def test_logs_are_cut_and_removed_in_time(folder):
    folder.logs.mkdir()
    for name, age, size in (("old.log", 8, 3), ("large.log", 1, 300), ("small.log", 1, 3)):
        path = folder.logs / name
        path.write_bytes(b"x" * size)
        os.utime(path, (1e9 - age * 86400,) * 2)
    assert serving_logs.keep(folder.logs, 7, most_bytes=100, now=1e9) == ["old.log"]
    sizes = {path.name: path.stat().st_size for path in folder.logs.iterdir()}
    assert sizes == {"large.log": 0, "large.log.1": 300, "small.log": 3}


def _logged(path):
    begin = log.Begin("taxi", 3, 4, "canary", Policy(min_requests=20), 1000.0)
    evidence, lines = decision.Evidence(begin.policy), [log.begin_line(begin)]
    for number in range(6):
        windows = [Window(1000.0 + number, 1001.0 + number, each, requests=10, weight=10) for each in (3, 4)]
        evidence.add(*windows)
        decided = decision.judge(evidence, 1000.0, 1001.0 + number, 10)
        lines.append(log.look_line(log.Look(1001.0 + number, 10, *windows, decided)))
    path.write_text("".join(lines))


def test_a_log_is_decided_again_alike_and_otherwise_by_another_policy(run_pipeyard, tmp_path):
    path = tmp_path / "rollout-taxi.jsonl"
    _logged(path)
    code, out, err = run_pipeyard("serve", "replay", str(path))
    assert (code, err) == (0, "6 looks, 0 decided otherwise.\n")
    assert "taxi: version 4 beside 3, canary, 6 looks" in out
    assert "look 2  at 10%: advance 20%" in out
    plot = tmp_path / "plot.html"
    code, out, err = run_pipeyard("serve", "replay", str(path), "--policy", '{"min_requests": 40}', "--plot", str(plot))
    assert (code, err) == (1, "6 looks, 2 decided otherwise.\n")
    assert "(was: advance 20%)" in out
    assert plot.read_text().count("<svg") >= 3
    code, _, err = run_pipeyard("serve", "--folder", str(tmp_path), "replay", "taxy")
    assert (code, "neither a file nor a model" in err) == (1, True)
    code, _, err = run_pipeyard("serve", "replay", str(path), "--policy", '{"min_request": 40}')
    assert code == 1
    assert "Did you mean 'min_requests'" in err
    code, _, err = run_pipeyard("serve", "replay", str(path), "--policy", '{"min_requests": 40, "min_requests": 4}')
    assert (code, "the key 'min_requests' stands twice" in err) == (1, True)


def test_a_decision_that_names_two_versions_is_refused(folder):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    page = OperatorsPage(folder, StartOptions(1, port, "", ()), dict)
    page.start()
    try:
        token = {"x-token": folder.token.read_text().strip()}
        body = '{"model": "taxi", "version": 1, "version": 2}'
        answer = requests.post(f"http://127.0.0.1:{port}/promote", data=body, headers=token, timeout=10)
    finally:
        page.stop()
    assert (answer.status_code, "the key 'version' stands twice" in answer.json()["error"]) == (400, True)
