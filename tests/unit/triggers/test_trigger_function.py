"""The Cloud Function as Google runs it, with Cloud Storage and Kubeflow Pipelines on the loopback."""

import contextlib
import io
import json
import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
import yaml
from engine.sandbox import programs
from servers.kubeflow import Fault
from servers.vertex import PROJECT, REGION, VertexServer
from support import event_forms, small_repository

from pipeyard import cli, settings
from pipeyard.deployment.targets import choice
from pipeyard.triggers import cloud_function, events, routing, starting, state

TODAY = f"{datetime.now(UTC):%Y-%m-%d}"
FORMS = event_forms.forms(TODAY)
ROOT = Path(__file__).parents[3]
PIPELINE = small_repository.NAME
TRIGGERS = [
    {"name": "new-files", "kind": "event", "bucket": "landing", "prefix": "taxi/", "parameter": "note"},
    {"name": "three", "kind": "event", "bucket": "batches", "parameter": "note", "quorum": 3, "cool_down": "1h"},
]


@pytest.fixture
def dev(kubeflow, own_prefix):
    found = small_repository.environment(target="kfp", host=kubeflow.url, bucket=own_prefix)
    found["pipelines"][PIPELINE]["triggers"] = TRIGGERS
    return found


@pytest.fixture
def project(shared_storage, dev, tmp_path, monkeypatch, capsys):
    """A project that is deployed."""
    made = small_repository.make(tmp_path / "project", {"dev": dev})
    small_repository.build(made)
    monkeypatch.setattr(sys, "argv", ["pipeyard", "deploy", "--env", "dev", "--project", str(made.root)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code, capsys.readouterr().err
    return made


@contextlib.contextmanager
def serving_function(folder: Path, log: Path, **variables: str):
    """Runs the function until the block ends; gives its address.

    Args:
        folder: with settings.yaml, and nothing else that it needs.
    """
    port = programs.free_port()
    command = [str(Path(sys.executable).with_name("functions-framework")), "--source", "triggers/event/main.py"]
    command += ["--target", "on_event", "--host", "127.0.0.1", "--port", str(port)]
    env = {**os.environ, "PIPEYARD_ROOT": str(folder), **variables}
    function = programs.Background(command, log, lambda: programs.listens(port), cwd=ROOT, env=env)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        function.stop()


@pytest.fixture
def folder(project, tmp_path):
    """All of a project that the function is packed with."""
    made = tmp_path / "function"
    made.mkdir()
    (made / "settings.yaml").write_text((project.root / "settings.yaml").read_text())
    return made


def post(url, headers, content):
    body = content if isinstance(content, bytes) else json.dumps(content)
    return requests.post(url, data=body, headers={"Content-Type": "application/json", **headers}, timeout=60)


def new(name, generation="1", bucket="landing"):
    """A CloudEvent as Eventarc sends it."""
    data = {"bucket": bucket, "name": name, "generation": generation}
    return event_forms.headers(TODAY, **{"Ce-Id": f"{name}-{generation}"}), data


def started(kubeflow):
    return [run["runtime_config"]["parameters"]["note"] for run in kubeflow.store.runs.values()]


def test_events_start_runs_of_what_is_deployed_once_across_restarts_and_bursts(kubeflow, folder, tmp_path):
    log = tmp_path / "log"
    with serving_function(folder, log, PIPEYARD_ENVIRONMENT="dev") as url:
        answers = [post(url, *form) for form in FORMS.values()]
        assert [answer.status_code for answer in answers] == [200] * len(FORMS)
        assert [answer.json()["told"][0]["code"] for answer in answers] == [
            "started",
            *["duplicate"] * (len(FORMS) - 1),
        ]
        assert started(kubeflow) == ["gs://landing/taxi/a.csv"]
        (run,) = kubeflow.store.runs.values()
        assert run["display_name"].startswith(f"{PIPELINE}-new-files-")
        assert run["runtime_config"]["parameters"]["epochs"] == 3  # as it was deployed
        assert run["pipeline_version_reference"]["pipeline_version_id"] in kubeflow.store.versions

        burst = [new(f"taxi/{number % 4}.csv") for number in range(16)]
        codes: list[int] = []
        threads = [
            threading.Thread(target=lambda form=form: codes.append(post(url, *form).status_code)) for form in burst
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(codes) <= {200, 503}  # 503: another is starting it; it is to be told again
        assert sorted(started(kubeflow)) == [
            *(f"gs://landing/taxi/{number}.csv" for number in range(4)),
            started(kubeflow)[0],
        ]
    with serving_function(folder, log, PIPEYARD_ENVIRONMENT="dev") as url:
        for form in burst:
            assert post(url, *form).json()["told"][0]["code"] == "duplicate"
        for number in range(4):
            answer = post(url, *new(f"{number}.csv", bucket="batches")).json()["told"][0]
        assert answer["code"] == "waiting"
    assert len(kubeflow.store.runs) == 6
    assert started(kubeflow)[-1].count(",") == 2
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert {line["severity"] for line in lines} == {"NOTICE", "INFO"}
    assert all(line["reason"] and line["environment"] == "dev" for line in lines)


def test_lines_of_requests_at_the_same_time_stay_lines(served, monkeypatch):
    """Cloud Logging reads an entry a line."""

    class Slow(io.StringIO):
        def write(self, text):
            written = super().write(text)
            time.sleep(0.01)
            return written

    output = Slow()
    monkeypatch.setattr(sys, "stdout", output)
    threads = [threading.Thread(target=cloud_function.answer, args=(served, {}, b"{")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [json.loads(line)["severity"] for line in output.getvalue().splitlines()] == ["ERROR"] * 8


@pytest.fixture
def served(project):
    """The function's work, in this process."""
    return cloud_function.triggers(project.root, {cloud_function.ENVIRONMENT: "dev"})


def answer(served, headers, content):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    logged: list[str] = []
    status, told = cloud_function.answer(served, headers, body, logged.append)
    return status, told, [json.loads(line) for line in logged]


def test_a_server_that_is_down_makes_the_event_come_again_and_starts_one_run_then(kubeflow, served):
    kubeflow.faults.append(Fault("POST .*/runs", status=403))
    status, told, logged = answer(served, *new("taxi/a.csv"))
    assert (status, logged[0]["severity"]) == (503, "ERROR")
    assert "403" in next(iter(told["told"][0]["problems"].values()))
    assert started(kubeflow) == []
    status, told, _ = answer(served, *new("taxi/a.csv"))
    assert (status, told["told"][0]["code"], len(told["told"][0]["started"])) == (200, "duplicate", 1)
    assert started(kubeflow) == ["gs://landing/taxi/a.csv"]


def test_an_answer_that_gets_lost_after_the_run_was_made_makes_no_second(kubeflow, served):
    kubeflow.faults.append(Fault("POST .*/runs", cut="after"))
    assert answer(served, *new("taxi/a.csv"))[0] == 200
    assert started(kubeflow) == ["gs://landing/taxi/a.csv"]


def test_cloud_storage_that_is_gone_makes_the_event_come_again(served, monkeypatch):
    monkeypatch.setattr(state, "_DEADLINE", 0.5)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    status, told, logged = answer(served, *new("taxi/a.csv"))
    assert (status, logged[0]["severity"]) == (503, "ERROR")
    assert "Cloud Storage can't be reached" in told["told"][0]["reason"]


def test_what_is_no_event_is_refused_and_what_nobody_wants_is_done_with(kubeflow, served):
    assert answer(served, {}, b"{")[0] == 400
    status, told, _ = answer(
        served,
        {},
        event_forms.message(TODAY, event_forms.attributes(TODAY, eventType="OBJECT_METADATA_UPDATE"), None),
    )
    assert (status, told["message"].startswith("starts nothing: ")) == (200, True)
    status, told, _ = answer(served, *new("other/a.csv"))
    assert (status, told["message"]) == (200, "no trigger of dev wants gs://landing/other/a.csv#1")
    assert kubeflow.store.runs == {}


def test_time_that_passed_starts_what_waits_for_the_cool_down(kubeflow, project):
    now = [datetime.now(UTC)]
    found = settings.load(project.root)
    dev = found.environment("dev")
    served = cloud_function.Triggers(dev, found.environment, starting.launcher(), clock=lambda: now[0])
    for number in range(6):
        answer(served, *new(f"{number}.csv", bucket="batches"))
    assert len(kubeflow.store.runs) == 1
    tick = {"ce-type": events.TICK, "ce-id": "tick", "ce-source": "s", "ce-specversion": "1.0"}
    assert {each["code"] for each in answer(served, tick, b"")[1]["told"]} == {"nothing", "cooling"}
    now[0] += timedelta(hours=1)
    assert {each["code"] for each in answer(served, tick, b"")[1]["told"]} == {"nothing", "started"}
    assert started(kubeflow)[1] == "gs://batches/3.csv,gs://batches/4.csv,gs://batches/5.csv"


def test_an_environment_that_isn_t_named_is_told(tmp_path, folder):
    with serving_function(folder, tmp_path / "log", PIPEYARD_ENVIRONMENT="") as url:
        found = post(url, *new("taxi/a.csv"))
    assert (found.status_code, "$PIPEYARD_ENVIRONMENT isn't set" in found.json()["message"]) == (500, True)


def test_runs_of_another_pipeline_on_kubeflow_are_looked_for(kubeflow, served, project):
    dev = settings.load(project.root).environment("dev")
    assert choice.runs(dev).latest(PIPELINE) is None
    answer(served, *new("taxi/a.csv"))
    answer(served, *new("taxi/b.csv"))
    first, second = kubeflow.store.runs
    kubeflow.set_state(first, "SUCCEEDED")
    kubeflow.set_state(second, "FAILED")
    assert choice.runs(dev).latest(PIPELINE).run == first


def test_runs_on_vertex_are_started_once_and_looked_for(shared_storage, tmp_path, monkeypatch, capsys, request):
    with VertexServer() as server:
        vertex = small_repository.environment(
            target="vertex",
            host=server.url,
            project=PROJECT,
            region=REGION,
            bucket=f"gs://acme-pipelines/{request.node.name}",
        )
        vertex["pipelines"][PIPELINE]["triggers"] = TRIGGERS
        project = small_repository.make(tmp_path / "project", {"vertex": vertex})
        small_repository.build(project)
        monkeypatch.setattr(sys, "argv", ["pipeyard", "deploy", "--env", "vertex", "--project", str(project.root)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code, capsys.readouterr().err
        served = cloud_function.triggers(project.root, {cloud_function.ENVIRONMENT: "vertex"})
        for _ in range(2):
            assert answer(served, *new("taxi/a.csv"))[0] == 200
        assert len(server.jobs) == 1
        name, job = next(iter(server.jobs.items()))
        assert job["runtimeConfig"]["parameterValues"]["note"] == "gs://landing/taxi/a.csv"
        assert choice.runs(served.environment).latest(PIPELINE) is None
        server.jobs[name] |= {"state": "PIPELINE_STATE_SUCCEEDED", "endTime": "2026-03-01T00:00:00Z"}
        assert choice.runs(served.environment).latest(PIPELINE).run == name.rpartition("/")[2]


def test_states_are_kept_in_the_environment_s_bucket(served, project):
    answer(served, *new("taxi/a.csv"))
    (route, _) = routing.all_of(served.environment)
    place = str(routing.store(served.environment, route))
    bucket = yaml.safe_load((project.root / "settings.yaml").read_text())["environments"]["dev"]["bucket"]
    assert place == f"{bucket}/triggers/dev/{PIPELINE}/new-files.json"
    assert state.read(routing.store(served.environment, route)).starts[0].run
