"""Runs and experiments in Kubeflow Pipelines, against a server with the real one's rules."""

import threading
import time
from dataclasses import replace

import pytest
from servers.kubeflow import Fault, KubeflowServer, examples, made_then_500, made_then_silence
from servers.kubernetes import WORKFLOWS, KubernetesServer
from support.kubeflow_connections import QUICK, connect

from pipeyard.errors import PipeyardError
from pipeyard.ir import cache_override
from pipeyard.servers.kubeflow import experiments, pipelines, runs

PARAMETERS = {
    "epochs": {"parameterType": "NUMBER_INTEGER"},
    "note": {"parameterType": "STRING", "defaultValue": "", "isOptional": True},
}


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
    assert told == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert outcome.page == f"{server.url}/#/runs/details/{key}"


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, "400 .*epochs is not optional, yet has neither"),
        ({"epochs": 1, "epoch": 2}, "400 .*not required by pipeline: epoch"),
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
    changed = cache_override.override(spec, False)
    assert changed["components"]["comp-condition-1"]["dag"]["tasks"]["b"]["cachingOptions"] == {}
    assert inner["dag"]["tasks"]["b"]["cachingOptions"] == {"enableCache": True}


@pytest.mark.parametrize("cut", ["reading", "before", "after", "answering"])
@pytest.mark.parametrize("options", [{}, {"caching": False}])
def test_a_connection_that_breaks_starts_no_second_run(server, start, quiet, cut, options):
    server.faults.append(Fault("POST .*runs$", cut=cut))
    key = start(through=quiet, **options)
    assert list(server.store.runs) == [key]
    assert len(server.cluster.all(WORKFLOWS)) == 1


def posts(server):
    """How often a run was asked for."""
    return server.requests.count("POST /apis/v2beta1/runs")


def test_a_run_that_was_made_and_not_recorded_is_started_again_when_it_is_removed(server, clock, quiet, start):
    server.faults.append(made_then_500("POST .*runs$"))
    key = start(through=quiet)
    assert 150 <= clock.now < 170
    assert [each["metadata"]["labels"]["pipeline/runid"] for each in server.cluster.all(WORKFLOWS)] == [key]
    assert posts(server) == 2


def test_a_database_that_goes_while_a_run_is_started_leaves_one_workflow(server, clock, quiet, start, monkeypatch):
    make = quiet.runs.run_service_create_run
    begun = []

    def going(*arguments, **options):
        if not begun:
            server.database_away(200)
        begun.append(clock.now)
        return make(*arguments, **options)

    monkeypatch.setattr(quiet.runs, "run_service_create_run", going)
    key = start(through=quiet)
    # The server removes nothing while it can't ask the database: so it has to have answered for a while.
    assert len(begun) == 2 and begun[1] >= 230
    assert [each["metadata"]["labels"]["pipeline/runid"] for each in server.cluster.all(WORKFLOWS)] == [key]


def test_a_server_that_always_fails_after_it_made_a_run_is_asked_twice_at_most(server, quiet, start):
    server.faults.append(made_then_500("POST .*runs$", times=99))
    with pytest.raises(PipeyardError, match="failed twice.*deploy again"):
        start(through=quiet)
    assert posts(server) == 2
    assert server.cluster.all(WORKFLOWS) == []


def test_silence_after_a_run_was_asked_for_is_told_and_it_is_not_asked_again(server, quiet, start):
    server.faults.append(made_then_silence("POST .*runs$", recorded=False))
    told = (
        "starting the run 'first'.*isn't known whether it was done.*no way to Kubernetes.*"
        "kubectl get workflows.argoproj.io -A .* grep -F 'first'.*pipeyard doctor --env test --fix"
    )
    with pytest.raises(PipeyardError, match=told):
        start(through=quiet)
    assert posts(server) == 1
    server.faults.append(made_then_silence("POST .*runs$", recorded=True))
    assert start("second", through=quiet) in server.store.runs
    assert posts(server) == 2


def test_kubernetes_shows_whether_a_run_was_made(server, clock, watched, start):
    server.faults.append(Fault("POST .*runs$", status=500))
    start("not made", through=watched)
    assert clock.now < 5  # there is nothing to wait for
    assert posts(server) == 2
    server.faults.append(made_then_500("POST .*runs$"))
    began = clock.now
    start("made", through=watched)
    assert 120 <= clock.now - began < 130  # until it is removed
    assert len(server.cluster.all(WORKFLOWS)) == 2


def test_a_kubernetes_that_refuses_is_as_none(server, clock, start):
    with KubernetesServer(server.cluster) as kubernetes:
        kubernetes.forbidden.add(("list", "*"))
        told = []
        watched = connect(server, options={**clock.options, "tell": told.append}, kubernetes=kubernetes)
        server.faults.append(made_then_500("POST .*runs$"))
        start(through=watched)
    assert clock.now >= 150
    assert any("Waiting up to 150 s" in line for line in told)
    assert len(server.cluster.all(WORKFLOWS)) == 1


def test_a_run_that_the_server_is_slow_to_start_is_waited_for_and_not_started_again(server, clock, connection, start):
    start("another")
    impatient = replace(connection, limits=replace(QUICK, call=0.5), clock=clock, sleep=lambda _: time.sleep(0.05))
    server.faults.append(Fault("POST .*runs$", delay=1, times=9))
    key = start(through=impatient)
    assert list(server.store.runs)[1:] == [key]


def test_a_run_that_the_server_is_too_slow_to_start_is_started_no_second_time(server, clock, connection, start):
    impatient = replace(connection, limits=replace(QUICK, call=0.5), clock=clock, sleep=clock.sleep)
    server.faults.append(Fault("POST .*runs$", delay=5, times=9))
    with pytest.raises(
        PipeyardError, match="can't be reached at .* .starting the run 'first'.: .* isn't known whether"
    ):
        start(through=impatient)
    limit = time.monotonic() + 30
    while not server.store.runs and time.monotonic() < limit:
        time.sleep(0.1)
    time.sleep(1)  # for what would be a second
    assert len(server.store.runs) == 1
    assert start(once=True) in server.store.runs
    assert len(server.store.runs) == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("taxi-" + "k" * 250, "has 255 bytes; the server takes 128. Choose a shorter --key"),
        ("\U0001f600", "answers 500"),
    ],
)
def test_a_run_s_name_that_does_not_fit_is_never_sent(server, start, name, told):
    before = len(server.requests)
    with pytest.raises(PipeyardError, match=told):
        start(name, once=True)
    assert len(server.requests) == before
    assert server.cluster.all(WORKFLOWS) == []


def test_a_version_that_was_removed_is_told_before_a_run_is_asked_for(server, start):
    server.store.versions.clear()
    with pytest.raises(
        PipeyardError, match="doesn't have the version .* any more. Deploy again .`pipeyard deploy --env"
    ):
        start()
    assert posts(server) == 0


def test_a_run_is_started_once_if_that_is_wanted(server, connection, start):
    for name in ("a", "b", "c"):  # more than a page
        start(name)
    key = start("wanted", once=True)
    assert start("wanted", once=True) == key
    assert len(server.store.runs) == 4
    experiment = server.store.runs[key]["experiment_id"]
    assert runs.find(connection, experiment, "wanted") == key
    assert runs.find(connection, experiment, "other") is None


@pytest.mark.parametrize("state", ["CANCELED", "SKIPPED", "FAILED"])
def test_all_ends_end_the_waiting_and_are_no_success(server, connection, start, state):
    server.states = ["RUNNING", state]
    outcome = runs.wait(connection, start(), timeout=10, interval=0.01)
    assert (outcome.state, outcome.succeeded) == (state, False)


def test_a_run_that_somebody_stops_is_told_apart_from_one_that_failed(server, connection, start):
    """The real server says CANCELING while it stops the run, then FAILED; its history doesn't have the former."""
    server.states = ["RUNNING", "CANCELING", "CANCELING", "FAILED"]
    told = []
    outcome = runs.wait(connection, start(), timeout=10, interval=0.01, tell=told.append)
    assert (outcome.state, outcome.terminated, outcome.succeeded) == ("FAILED", True, False)
    assert told == ["RUNNING", "CANCELING", "FAILED"]
    server.states = ["RUNNING", "FAILED"]
    assert not runs.wait(connection, start("second"), timeout=10, interval=0.01).terminated


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
    assert [key for key, each in server.store.experiments.items() if each["display_name"] == "taxi"] == [*set(found)]


def test_an_experiment_is_found_on_later_pages_and_by_its_whole_name(server, connection):
    for name in ("taxi-1", "taxi-2", "taxi-3", "taxi"):
        server.store.add_experiment({"display_name": name})
    key = experiments.ensure(connection, "taxi")
    assert server.store.experiments[key]["display_name"] == "taxi"
    assert len(server.store.experiments) == 5  # with the server's own


def test_an_archived_experiment_is_refused(server, connection):
    key = experiments.ensure(connection, "taxi")
    server.store.archive_experiment(key, True)
    with pytest.raises(
        PipeyardError, match="'taxi' is archived at .* Restore it there .* or set another `experiment:`"
    ):
        experiments.ensure(connection, "taxi")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("x" * 129, "has 129 bytes; the server takes 128"),
        ("ü" * 70, "has 140 bytes"),
        ("", "is empty"),
        ("taxi ", "ends with a space"),
        ("\U0001f600", "answers 500"),
    ],
)
def test_names_that_do_not_fit_are_refused_before_anything_is_asked(server, connection, name, told):
    with pytest.raises(PipeyardError, match=told):
        experiments.ensure(connection, name)
    assert server.requests == []


def test_an_experiment_that_the_server_has_in_another_case_is_named(server, connection):
    server.store.add_experiment({"display_name": "Taxi"})
    with pytest.raises(PipeyardError, match="has an experiment 'Taxi', which is the same name as 'taxi' to it"):
        experiments.ensure(connection, "taxi")
    assert [each["display_name"] for each in server.store.experiments.values()] == ["Default", "Taxi"]


def test_a_version_that_the_server_can_not_run_is_told_before_it_is_asked_to(server, connection, start):
    [version] = server.store.versions.values()
    version["pipeline_spec"]["components"] = {}
    with pytest.raises(
        PipeyardError, match="can't run the version .*no component 'comp-say'. Compile and deploy again"
    ):
        start()
    assert posts(server) == 0


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
        with pytest.raises(PipeyardError, match="Namespace cannot be empty"):
            experiments.ensure(connect(server), "taxi")
