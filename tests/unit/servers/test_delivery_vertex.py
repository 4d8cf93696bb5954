"""Vertex AI's jobs and schedules, and templates in Artifact Registry, on good and on bad days."""

import dataclasses
import json
import threading
import time

import google.auth.credentials
import pytest
import requests
import yaml
from servers.vertex import PROJECT, REGION, VertexServer

from pipeyard import settings
from pipeyard.errors import PipeyardError
from pipeyard.servers.vertex import connection, jobs, schedules, templates

DOCUMENT = {
    "pipelineInfo": {"name": "taxi"},
    "schemaVersion": "2.1.0",
    "root": {
        "inputDefinitions": {
            "parameters": {
                "epochs": {"parameterType": "NUMBER_INTEGER"},
                "note": {"parameterType": "STRING", "defaultValue": "none", "isOptional": True},
            }
        }
    },
}
TEMPLATE = jobs.Template(
    json.dumps(DOCUMENT).encode(), "", {"commit": "a" * 40, "environment": "Dev", "content": "x.y"}
)
DAILY = schedules.Timing("0 3 * * *", "Europe/Berlin")
NAME = "taxi (dev)"


@pytest.fixture
def server():
    with VertexServer() as started:
        yield started


@pytest.fixture
def vertex(server):
    return _connect(server)


def _connect(server, patience=2.0, credentials=None):
    return connection.connect(_environment(server.url), credentials, patience=patience)


def _environment(url):
    return settings.Environment(
        name="dev",
        target="vertex",
        host=url,
        project=PROJECT,
        region=REGION,
        bucket="gs://acme",
        pipeline_root="gs://acme/runs",
    )


def _job(**parameters):
    return jobs.job(TEMPLATE, "taxi", {"epochs": 3, **parameters}, "gs://acme/runs", "trainer@acme.test")


def _wait(vertex, name, told=None, **options):
    return jobs.wait(vertex, name, 10, 0.01, (told if told is not None else []).append, **options)


def test_a_run_is_started_and_waited_for(server, vertex):
    name = jobs.start(vertex, _job(), jobs.job_id("taxi", "k1"))
    made = server.jobs[name]
    assert made["runtimeConfig"] == {"gcsOutputDirectory": "gs://acme/runs", "parameterValues": {"epochs": 3.0}}
    assert made["pipelineSpec"] == DOCUMENT
    assert made["labels"] == {"commit": "a" * 40, "environment": "dev", "content": "x-y"}
    assert made["serviceAccount"] == "trainer@acme.test"
    told = []
    outcome = _wait(vertex, name, told)
    assert outcome.succeeded and told == ["RUNNING", "SUCCEEDED"]
    assert outcome.page.endswith(f"/vertex-ai/locations/{REGION}/pipelines/runs/r-taxi-k1?project={PROJECT}")


def test_what_is_sent_is_what_google_s_own_sdk_sends(tmp_path):
    """The SDK's class makes buckets, reads settings of the process, and waits without an end; its message is right."""
    from google.cloud import aiplatform

    (tmp_path / "vertex.json").write_bytes(TEMPLATE.document)
    theirs = aiplatform.PipelineJob(
        display_name="taxi",
        template_path=str(tmp_path / "vertex.json"),
        job_id="r-1",
        pipeline_root="gs://acme/runs",
        parameter_values={"epochs": 3},
        project=PROJECT,
        location=REGION,
        credentials=google.auth.credentials.AnonymousCredentials(),
    )
    ours = jobs.job(jobs.Template(TEMPLATE.document, "", {}), "taxi", {"epochs": 3}, "gs://acme/runs")
    sent = theirs._gca_resource  # what it would send can't be had otherwise
    assert type(ours).to_dict(ours) == type(sent).to_dict(sent)


def test_the_same_key_starts_one_run_though_the_answer_was_lost(server, vertex):
    server.faults = ["cut", None]
    first = jobs.start(vertex, _job(), jobs.job_id("taxi", "k1"))
    assert jobs.start(vertex, _job(), jobs.job_id("taxi", "k1")) == first
    assert list(server.jobs) == [first]
    assert jobs.job_id("taxi") != jobs.job_id("taxi")


def test_keys_that_differ_give_ids_that_differ():
    keys = ["a-b", "a_b", "A-b", "x" * 200, "x" * 201]
    assert len({jobs.job_id("taxi", key) for key in keys}) == len(keys)
    assert jobs.job_id("chicago_taxi", "a") == jobs.job_id("chicago_taxi", "a")


@pytest.mark.parametrize(("pipeline", "key"), [("Chicago_Taxi", "A b/1"), ("x" * 200, "9"), ("1x", "")])
def test_ids_of_runs_are_such_as_vertex_takes(server, vertex, pipeline, key):
    assert jobs.start(vertex, _job(), jobs.job_id(pipeline, key)) in server.jobs


def test_what_the_server_refuses_is_told(vertex):
    with pytest.raises(PipeyardError, match=r"starting the run r-taxi-1 was refused: 400 .*\['epoch'\] aren't found"):
        jobs.start(vertex, _job(epoch=1), "r-taxi-1")


def test_a_failed_run_names_its_steps_and_their_logs(server, vertex):
    server.states = ["PIPELINE_STATE_FAILED"]
    server.details = [
        {"taskName": "taxi", "state": "FAILED"},
        {
            "taskName": "train",
            "state": "FAILED",
            "error": {"code": 9, "message": "out of\nmemory"},
            "executorDetail": {"containerDetail": {"mainJob": f"projects/{PROJECT}/customJobs/77"}},
        },
        {"taskName": "extract", "state": "SUCCEEDED"},
    ]
    outcome = _wait(vertex, jobs.start(vertex, _job(), "r-1"))
    assert (outcome.state, outcome.succeeded) == ("FAILED", False)
    assert [(step.name, step.reason) for step in outcome.failed] == [("train", "out of memory")]
    assert "logs/query" in outcome.failed[0].log_url and "77" in outcome.failed[0].log_url
    assert "some tasks failed" in outcome.error


def test_a_cancelled_run_is_an_end(server, vertex):
    server.states = ["PIPELINE_STATE_CANCELLING", "PIPELINE_STATE_CANCELLED"]
    outcome = _wait(vertex, jobs.start(vertex, _job(), "r-1"))
    assert (outcome.state, outcome.succeeded) == ("CANCELED", False)


def test_a_run_that_takes_too_long_goes_on_and_is_named(server, vertex):
    server.states = ["PIPELINE_STATE_RUNNING"]
    name = jobs.start(vertex, _job(), "r-1")
    began = time.monotonic()
    with pytest.raises(
        PipeyardError, match=r"hasn't ended in 0.2 s \(it is PIPELINE_STATE_RUNNING\). It goes on: http"
    ):
        jobs.wait(vertex, name, 0.2, 0.05, lambda _: None)
    assert time.monotonic() - began < 3


def test_a_server_that_has_a_bad_day_in_mid_wait_is_waited_for(server, vertex):
    name = jobs.start(vertex, _job(), "r-1")
    vertex = _connect(server, patience=0.4)
    server.faults = [503, 429, 500, "cut", "hang", 503, 503, 503, 503]
    told = []
    assert _wait(vertex, name, told).succeeded
    assert any("no answer, waiting" in line for line in told)


def test_a_server_that_stays_away_ends_the_wait(server, vertex, monkeypatch):
    name = jobs.start(vertex, _job(), "r-1")
    vertex = _connect(server, patience=0.2)
    server.close()
    monkeypatch.setattr(jobs, "OUTAGE", 0.5)
    began = time.monotonic()
    with pytest.raises(PipeyardError, match=r"looking at the run .* failed for 0.2 s.*The run goes on: http"):
        _wait(vertex, name)
    assert time.monotonic() - began < 5


def test_a_server_that_hangs_is_named_in_bounded_time(server):
    vertex = _connect(server, patience=0.5)
    server.faults = ["hang"] * 10
    began = time.monotonic()
    with pytest.raises(PipeyardError, match="starting the run r-1 failed for 0.5 s"):
        jobs.start(vertex, _job(), "r-1")
    assert time.monotonic() - began < 4


class _Expiring(google.auth.credentials.Credentials):
    """Tokens of which the server takes the newest, whatever this machine's clock says of them."""

    def __init__(self, server):
        super().__init__()
        self.server = server
        self.token = server.token = "t0"
        self.renewed = 0

    def refresh(self, request):
        self.renewed += 1
        self.token = self.server.token


def test_a_token_that_expires_in_mid_wait_is_renewed(server):
    credentials = _Expiring(server)
    vertex = _connect(server, credentials=credentials)
    name = jobs.start(vertex, _job(), "r-1")
    server.token = "t1"
    assert _wait(vertex, name).succeeded
    assert credentials.renewed == 1


def test_a_token_that_is_refused_for_good_is_told_and_not_shown(server):
    credentials = _Expiring(server)
    vertex = _connect(server, credentials=credentials)
    server.token = "another"
    credentials.refresh = lambda request: None
    with pytest.raises(PipeyardError, match="isn't permitted.*gcloud auth.*look at this machine's clock") as caught:
        jobs.start(vertex, _job(), "r-1")
    assert "t0" not in str(caught.value)


def test_a_document_that_is_no_pipeline_is_named():
    with pytest.raises(PipeyardError, match="vertex.json is damaged"):
        jobs.job(jobs.Template(b"{}", "", {}), "taxi", {}, "gs://acme")


def test_a_schedule_is_made_once_changed_and_removed(server, vertex):
    assert schedules.differs(vertex, NAME, DAILY, _job())
    assert schedules.ensure(vertex, NAME, DAILY, _job()) == ["made the schedule 0 3 * * * Europe/Berlin"]
    made = next(iter(server.schedules.values()))
    assert made["cron"] == "TZ=Europe/Berlin 0 3 * * *"
    assert made["createPipelineJobRequest"]["pipelineJob"]["runtimeConfig"]["parameterValues"] == {"epochs": 3.0}
    assert not schedules.differs(vertex, NAME, DAILY, _job())
    assert not schedules.ensure(vertex, NAME, DAILY, _job())

    assert schedules.differs(vertex, NAME, DAILY, _job(epochs=4))
    assert len(schedules.ensure(vertex, NAME, DAILY, _job(epochs=4))) == 2
    assert [each["state"] for each in server.schedules.values()] == ["ACTIVE"]

    paused = schedules.Timing(DAILY.cron, DAILY.timezone, enabled=False)
    assert schedules.ensure(vertex, NAME, paused, _job(epochs=4)) == ["paused the schedule"]
    late = dataclasses.replace(DAILY, catch_up=True)
    assert schedules.ensure(vertex, NAME, late, _job(epochs=4)) == ["resumed the schedule"]
    (resumed,) = server.schedules.values()
    assert resumed["catchUp"] is True

    assert schedules.differs(vertex, NAME, None, _job())
    assert schedules.ensure(vertex, NAME, None, _job()) == ["removed a schedule"]
    assert server.schedules == {} and not schedules.differs(vertex, NAME, None, _job())


def test_a_schedule_whose_answer_was_lost_is_found_by_the_next_try(server):
    vertex = _connect(server, patience=1)
    server.faults = [None, "cut"]
    with pytest.raises(PipeyardError, match="making the schedule .* Run the same command again"):
        schedules.ensure(vertex, NAME, DAILY, _job())
    assert len(server.schedules) == 1
    assert not schedules.ensure(vertex, NAME, DAILY, _job())


def test_what_broke_off_between_pause_and_successor_is_completed(server, vertex):
    schedules.ensure(vertex, NAME, DAILY, _job())
    server.faults = [None, None, 400]  # list, pause, create
    with pytest.raises(PipeyardError):
        schedules.ensure(vertex, NAME, DAILY, _job(epochs=5))
    assert not schedules.differs(vertex, NAME, DAILY, _job())  # the one before is in force again
    server.faults = [None, None, "cut"]
    with pytest.raises(PipeyardError):
        schedules.ensure(vertex, NAME, DAILY, _job(epochs=5))
    schedules.ensure(vertex, NAME, DAILY, _job(epochs=5))
    (left,) = server.schedules.values()
    assert left["state"] == "ACTIVE"
    assert left["createPipelineJobRequest"]["pipelineJob"]["runtimeConfig"]["parameterValues"] == {"epochs": 5.0}


def test_pauses_and_resumptions_whose_answers_were_lost_are_done(server, vertex):
    schedules.ensure(vertex, NAME, DAILY, _job())
    server.faults = [None, "cut"]  # list, pause
    assert schedules.ensure(vertex, NAME, DAILY, _job(epochs=4))
    paused = dataclasses.replace(DAILY, enabled=False)
    for timing, state in ((paused, "PAUSED"), (DAILY, "ACTIVE")):
        server.faults = [None, "cut"]
        assert schedules.ensure(vertex, NAME, timing, _job(epochs=4))
        assert [each["state"] for each in server.schedules.values()] == [state]
    server.faults = [None, 400]  # refused, and not done
    with pytest.raises(PipeyardError, match="pausing .* was refused: 400 .*a bad day"):
        schedules.ensure(vertex, NAME, paused, _job(epochs=4))


@pytest.mark.parametrize("before", [[], [DAILY]], ids=["new", "changed"])
def test_two_at_a_time_leave_one_schedule(server, before):
    vertices = [_connect(server) for _ in range(3)]
    failed = []
    for timing in before:
        schedules.ensure(vertices[0], NAME, timing, _job(epochs=1))

    def work(vertex):
        try:
            schedules.ensure(vertex, NAME, DAILY, _job())
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in vertices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(server.schedules) == 1
    assert not schedules.differs(vertices[0], NAME, DAILY, _job())


def test_of_different_schedules_that_are_made_at_once_the_newest_stays(server, vertex, monkeypatch):
    schedules.ensure(vertex, NAME, DAILY, _job())
    make = schedules._make  # after which another comes in between

    def interrupted(*arguments):
        monkeypatch.setattr(schedules, "_make", make)
        made = make(*arguments)
        server.schedules[made.name]["createTime"] = "2026-01-01T00:00:00Z"
        schedules.ensure(_connect(server), NAME, DAILY, _job(epochs=5))
        return made

    monkeypatch.setattr(schedules, "_make", interrupted)
    schedules.ensure(vertex, NAME, DAILY, _job(epochs=4))
    assert not schedules.differs(vertex, NAME, DAILY, _job(epochs=5))


def test_a_template_is_known_by_its_digest(server):
    text = yaml.safe_dump(DOCUMENT).encode()
    with requests.Session() as session:
        first = templates.upload(server.repository, text, ["a" * 40, "dev"], session)
        assert first.startswith(f"{server.repository}/taxi/sha256:")
        assert templates.upload(server.repository + "/", text, ["dev"], session) == first
    assert list(server.templates.values()) == [text]


def test_a_registry_on_a_bad_day_is_tried_again_and_then_named(server):
    text = yaml.safe_dump(DOCUMENT).encode()
    with requests.Session() as session:
        server.faults = [503, "cut", None]
        assert templates.upload(server.repository, text, ["dev"], session, patience=3)
        server.faults = ["hang"] * 5
        began = time.monotonic()
        with pytest.raises(PipeyardError, match="can't be reached .*run the same command again"):
            templates.upload(server.repository, text, ["dev"], session, patience=0.4)
        assert time.monotonic() - began < 4
        server.faults = [403]
        with pytest.raises(PipeyardError, match="the role Artifact Registry Writer"):
            templates.upload(server.repository, text, ["dev"], session)
        with pytest.raises(PipeyardError, match="refused: 404"):
            templates.upload(f"{server.url}/nowhere", text, ["dev"], session)
