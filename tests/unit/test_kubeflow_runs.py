"""Runs and experiments in Kubeflow Pipelines, against a server with the real one's rules."""

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from kubeflow_connections import QUICK, connect
from servers.kubeflow import Fault, KubeflowServer, examples

from pipeyard.errors import PipeyardError
from pipeyard.kubeflow import caching, experiments, pipelines, runs, steps

PARAMETERS = {
    "epochs": {"parameterType": "NUMBER_INTEGER"},
    "note": {"parameterType": "STRING", "defaultValue": "", "isOptional": True},
}


@pytest.fixture
def server():
    with KubeflowServer(largest_page=2) as started:
        yield started


@pytest.fixture
def connection(server):
    return connect(server)


@pytest.fixture
def start(connection, tmp_path):
    """Starts a run of the pipeline `taxi`, and returns its id."""
    package = examples.package(tmp_path, "a" * 40, examples.pipeline(parameters=PARAMETERS))
    version = pipelines.ensure_version(connection, package)
    experiment = experiments.ensure(connection, "taxi")

    def go(name="first", parameters=None, through=connection, **options):
        given = {"epochs": 2} if parameters is None else parameters
        return runs.start(through, experiment, version, name, given, "gs://bucket/root", **options)

    return go


def test_a_run_of_a_pinned_version(server, connection, start):
    key = start(service_account="trainer")
    run = server.store.runs[key]
    assert run["pipeline_version_reference"]["pipeline_version_id"] in server.store.versions
    assert run["runtime_config"] == {"parameters": {"epochs": 2}, "pipeline_root": "gs://bucket/root"}
    assert run["service_account"] == "trainer"
    told = []
    outcome = runs.wait(connection, key, timeout=10, interval=0.01, tell=told.append)
    assert outcome.succeeded and not outcome.failed
    assert told == ["RUNNING", "SUCCEEDED"]
    assert outcome.page == f"{server.url}/#/runs/details/{key}"


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, "400 .*epochs is required"),
        ({"epochs": 1, "epoch": 2}, "400 .*epoch is not used"),
        ({"epochs": "many"}, "400 .*epochs requires type NUMBER_INTEGER"),
        ({"epochs": 2**53 + 1}, "epochs has 9007199254740993: pass it as text"),
        ({"epochs": 1, "note": [float("nan")]}, "note has nan"),
    ],
)
def test_parameters_that_the_server_does_not_take(server, start, parameters, told):
    with pytest.raises(PipeyardError, match=told):
        start(parameters=parameters)
    assert server.store.runs == {}


@pytest.mark.parametrize("enabled", [True, False])
def test_the_cache_is_on_or_off_for_all_steps(server, start, enabled):
    run = server.store.runs[start(caching=enabled)]
    task = run["pipeline_spec"]["root"]["dag"]["tasks"]["say"]
    assert task["cachingOptions"] == ({"enableCache": True} if enabled else {})
    version = next(iter(server.store.versions))
    assert version in run["description"]


def test_the_cache_is_off_in_conditions_and_loops_too():
    inner = {"dag": {"tasks": {"b": {"cachingOptions": {"enableCache": True}}}}}
    spec = {"root": {"dag": {"tasks": {"a": {}}}}, "components": {"comp-condition-1": inner, "comp-b": {}}}
    changed = caching.override(spec, False)
    assert changed["components"]["comp-condition-1"]["dag"]["tasks"]["b"]["cachingOptions"] == {}
    assert inner["dag"]["tasks"]["b"]["cachingOptions"] == {"enableCache": True}


@pytest.mark.parametrize("cut", ["reading", "before", "after", "answering"])
@pytest.mark.parametrize("options", [{}, {"caching": False}])
def test_a_connection_that_breaks_starts_no_second_run(server, start, cut, options):
    server.faults.append(Fault("POST .*runs$", cut=cut, times=2))
    key = start(**options)
    assert list(server.store.runs) == [key]


def test_a_run_that_the_server_is_slow_to_start_is_waited_for_and_not_started_again(server, connection, start):
    start("another")
    impatient = replace(connection, limits=replace(QUICK, call=0.2, attempts=9, pause=0.3, longest_pause=0.3))
    server.faults.append(Fault("POST .*runs$", delay=0.4, times=9))
    key = start(through=impatient)
    assert list(server.store.runs)[1:] == [key]


def test_a_run_that_the_server_is_too_slow_to_start_is_started_no_second_time(server, connection, start):
    impatient = replace(connection, limits=replace(QUICK, call=0.2, attempts=3))
    server.faults.append(Fault("POST .*runs$", delay=0.6, times=9))
    told = "can't be reached at .* .starting the run 'first'.: .* It may have been done nevertheless: look there first"
    with pytest.raises(PipeyardError, match=told):
        start(through=impatient)
    limit = time.monotonic() + 30
    while not server.store.runs and time.monotonic() < limit:
        time.sleep(0.1)
    time.sleep(0.6)  # for what would be a second
    assert len(server.store.runs) == 1
    assert start(once=True) in server.store.runs
    assert len(server.store.runs) == 1


def test_a_run_is_started_once_if_that_is_wanted(server, connection, start):
    for name in ("a", "b", "c"):  # more than a page
        start(name)
    key = start("wanted", once=True)
    assert start("wanted", once=True) == key
    assert len(server.store.runs) == 4
    experiment = next(iter(server.store.experiments))
    assert runs.find(connection, experiment, "wanted") == key
    assert runs.find(connection, experiment, "other") is None


@pytest.mark.parametrize("state", ["CANCELED", "SKIPPED", "FAILED"])
def test_all_ends_end_the_waiting_and_are_no_success(server, connection, start, state):
    server.states = ["RUNNING", state]
    outcome = runs.wait(connection, start(), timeout=10, interval=0.01)
    assert (outcome.state, outcome.succeeded) == (state, False)


def test_a_run_that_somebody_stops_ends_canceled(server, connection, start):
    server.states = ["RUNNING"]
    key = start()
    connection.runs.run_service_terminate_run(key)
    assert runs.wait(connection, key, timeout=10, interval=0.01).state == "CANCELED"


def test_waiting_ends_when_the_time_is_up(server, connection, start):
    server.states = ["RUNNING"]
    key = start()
    with pytest.raises(PipeyardError, match=f"{key} hasn't ended in 0.05 s; last: RUNNING. It goes on: {server.url}"):
        runs.wait(connection, key, timeout=0.05, interval=0.01)


def test_a_run_that_is_gone_ends_the_waiting(server, connection, start):
    key = start()
    del server.store.runs[key]
    with pytest.raises(PipeyardError, match="failed: 404"):
        runs.wait(connection, key, timeout=10, interval=0.01)


def test_the_steps_that_failed_are_told_not_what_is_around_them(server, connection, start):
    server.states = ["RUNNING"]
    key = start()
    nodes = [
        ("root", "FAILED", ["train", "extract"]),
        ("train", "FAILED", ["train-driver", "executor"]),
        ("train-driver", "SUCCEEDED", []),
        ("executor", "FAILED", []),
        ("extract", "SUCCEEDED", []),
        ("evaluate-driver", "FAILED", []),
    ]
    server.set_state(
        key,
        "FAILED",
        "2 steps failed",
        [
            {
                "task_id": f"id-{name}",
                "display_name": name,
                "state": state,
                "pod_name": f"pod-{name}",
                "child_tasks": [{"pod_name": f"pod-{child}"} for child in children],
                "error": {"code": 13, "message": "out of\nmemory"} if name == "executor" else None,
            }
            for name, state, children in nodes
        ],
    )
    outcome = runs.wait(connection, key, timeout=10, interval=0.01)
    logs = f"{server.url}/k8s/pod/logs?podname=pod-"
    assert outcome.failed == [
        steps.FailedStep("evaluate", "", f"{logs}evaluate-driver&runid={key}"),
        steps.FailedStep("train", "out of memory", f"{logs}executor&runid={key}"),
    ]
    assert outcome.error == "2 steps failed"


def test_without_pods_the_run_s_page_is_where_the_log_is():
    detail = SimpleNamespace(
        task_id="1",
        pod_name=None,
        parent_task_id=None,
        child_tasks=None,
        display_name="train",
        state="FAILED",
        error=None,
        state_history=None,
    )
    run = SimpleNamespace(run_id="7", run_details=SimpleNamespace(task_details=[detail]))
    assert steps.failed(run, "https://host") == [steps.FailedStep("train", "", "https://host/#/runs/details/7")]
    assert steps.failed(SimpleNamespace(run_details=None), "https://host") == []


def test_an_experiment_is_made_once_by_several_at_a_time(server):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(experiments.ensure(connect(server), "taxi"))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert set(found) == set(server.store.experiments)


def test_an_experiment_is_found_on_later_pages_and_by_its_whole_name(server, connection):
    for name in ("taxi-1", "taxi-2", "taxi-3", "taxi"):
        server.store.add_experiment({"display_name": name})
    key = experiments.ensure(connection, "taxi")
    assert server.store.experiments[key]["display_name"] == "taxi"
    assert len(server.store.experiments) == 4


def test_an_archived_experiment_is_refused(server, connection):
    key = experiments.ensure(connection, "taxi")
    server.store.archive_experiment(key, True)
    with pytest.raises(
        PipeyardError, match="'taxi' is archived at .* Restore it there .* or set another `experiment:`"
    ):
        experiments.ensure(connection, "taxi")


def test_names_that_are_too_long_are_refused_before_anything_is_asked(server, connection):
    with pytest.raises(PipeyardError, match="has 129 characters; use 1 to 128"):
        experiments.ensure(connection, "x" * 129)
    assert server.requests == []


def test_with_several_users_everything_is_in_the_namespace(tmp_path):
    package = examples.package(tmp_path, "a" * 40, examples.pipeline())
    with KubeflowServer(several_users=True) as server:
        for namespace in ("red", "blue"):
            connection = connect(server, namespace)
            version = pipelines.ensure_version(connection, package)
            assert pipelines.ensure_version(connection, package).version_id == version.version_id
            experiment = experiments.ensure(connection, "taxi")
            assert experiments.ensure(connection, "taxi") == experiment
            key = runs.start(connection, experiment, version, "first", {}, "", once=True)
            assert runs.start(connection, experiment, version, "first", {}, "", once=True) == key
        assert len(server.store.pipelines) == len(server.store.experiments) == len(server.store.runs) == 2
        with pytest.raises(PipeyardError, match="a namespace is required"):
            experiments.ensure(connect(server), "taxi")
