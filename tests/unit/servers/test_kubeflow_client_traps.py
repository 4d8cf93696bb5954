"""Traps of kfp.Client: what happens with the naive call, and what happens with ours, at one and the same server."""

import contextlib
import io
import json
import tarfile
import threading
import warnings
from dataclasses import replace
from datetime import UTC, datetime

import kfp
import kfp_server_api
import pytest
import yaml
from servers.kubeflow import Fault, KubeflowServer, examples
from servers.kubeflow import cron as server_cron
from support.kubeflow_connections import QUICK, connect

from pipeyard.errors import PipeyardError
from pipeyard.servers.kubeflow import experiments, pipelines, runs, schedules
from pipeyard.settings import Schedule

IMPATIENT = replace(QUICK, silence=0.2, call=0.3, attempts=2)
MONDAYS = "30 6 * * 1"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """kfp.Client's file in the home folder."""
    path = tmp_path / "home/context.json"
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(path))
    return path


@pytest.fixture
def server():
    with KubeflowServer() as started:
        yield started


@pytest.fixture
def naive(server):
    return client(server.url)


@pytest.fixture
def ours(server):
    return connect(server)


@pytest.fixture
def package(tmp_path):
    return examples.package(tmp_path, "a" * 40, examples.pipeline())


@pytest.fixture
def version(ours, package):
    return pipelines.ensure_version(ours, package)


@pytest.fixture
def experiment(ours):
    return experiments.ensure(ours, "taxi")


@pytest.fixture
def start(ours, version, experiment):
    return lambda **options: runs.start(ours, experiment, version, "run", {}, "", **options)


def client(url, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return kfp.Client(host=url, **options)


# Waiting


def test_waiting_for_a_run_that_was_canceled(server, naive, ours, start):
    server.states = ["RUNNING", "CANCELED"]
    key = start()
    with pytest.raises(TimeoutError):
        naive.wait_for_run_completion(key, timeout=2, sleep_duration=0.01)
    assert server.store.runs[key]["state"] == "CANCELED"
    assert runs.wait(ours, key, timeout=10, interval=0.01).state == "CANCELED"


def test_a_run_that_failed(server, naive, ours, start):
    server.states = ["FAILED"]
    key = start()
    assert naive.wait_for_run_completion(key, timeout=10, sleep_duration=0.01).state == "FAILED"  # and goes on
    assert not runs.wait(ours, key, timeout=10, interval=0.01).succeeded


@pytest.mark.parametrize(("google", "raised"), [(None, TypeError), ("refused, too", InterruptedError)])
def test_a_token_that_expires_while_a_run_is_waited_for(server, start, tmp_path, monkeypatch, google, raised):
    """kfp.Client takes a token of Google's instead; off Google it trips over that, else it asks on without a pause."""
    server.states = ["RUNNING"]
    key = start()
    asked = []

    def google_token():
        asked.append(1)
        if len(asked) > 50:
            raise InterruptedError("the test has seen enough")
        return google

    monkeypatch.setattr(kfp.client.auth, "get_gcp_access_token", google_token)
    server.tokens = {"old"}
    threading.Timer(0.1, lambda: setattr(server, "tokens", {"new"})).start()
    with pytest.raises(raised):
        client(server.url, existing_token="old").wait_for_run_completion(key, timeout=10, sleep_duration=0.01)

    token = tmp_path / "token"
    token.write_text("old")
    server.tokens = {"old"}
    ours = connect(server, kind="token", token_file=str(token))
    threading.Timer(0.1, lambda: setattr(server, "tokens", {"new"})).start()
    threading.Timer(0.2, lambda: token.write_text("new")).start()
    threading.Timer(0.3, lambda: server.set_state(key, "SUCCEEDED")).start()
    assert runs.wait(ours, key, timeout=10, interval=0.01).succeeded


# Running


def test_the_cache_of_a_version_that_is_run(server, naive, start, version, experiment):
    run = naive.run_pipeline(
        experiment, "naive", pipeline_id=version.pipeline_id, version_id=version.version_id, enable_caching=False
    )
    assert "pipeline_spec" not in server.store.runs[run.run_id]  # the cache stays as the version has it: on
    spec = server.store.runs[start(caching=False)]["pipeline_spec"]
    assert spec["root"]["dag"]["tasks"]["say"]["cachingOptions"] == {}


def test_the_cache_of_steps_in_a_condition(server, naive, ours, experiment, tmp_path):
    spec = yaml.safe_load(examples.pipeline())
    spec["components"]["comp-condition-1"] = {"dag": spec["root"]["dag"]}
    spec["root"] = {
        "dag": {
            "tasks": {"condition-1": {"taskInfo": {"name": "c"}, "componentRef": {"name": "comp-condition-1"}}},
        }
    }
    (tmp_path / "pipeline.yaml").write_text(json.dumps(spec))
    run = naive.run_pipeline(experiment, "naive", str(tmp_path / "pipeline.yaml"), enable_caching=False)
    assert cache_of_say(server.store.runs[run.run_id]) == {"enableCache": True}
    version = pipelines.ensure_version(ours, examples.package(tmp_path, "b" * 40, json.dumps(spec)))
    key = runs.start(ours, experiment, version, "ours", {}, "", caching=False)
    assert cache_of_say(server.store.runs[key]) == {}


def cache_of_say(run):
    return run["pipeline_spec"]["components"]["comp-condition-1"]["dag"]["tasks"]["say"]["cachingOptions"]


def test_the_latest_of_two_versions_of_one_second(experiment, tmp_path):
    with KubeflowServer(now=lambda: datetime(2026, 1, 1, tzinfo=UTC)) as server:
        ours = connect(server)
        experiment = experiments.ensure(ours, "taxi")
        made = [
            pipelines.ensure_version(ours, examples.package(tmp_path, letter * 40, examples.pipeline(content=letter)))
            for letter in "ab"
        ]
        reference = kfp_server_api.V2beta1PipelineVersionReference(pipeline_id=made[1].pipeline_id)
        body = kfp_server_api.V2beta1Run(
            experiment_id=experiment, display_name="latest", pipeline_version_reference=reference
        )
        ours.runs.run_service_create_run(body)
        assert server.store.latest_version(made[1].pipeline_id)["name"] == made[0].name  # which isn't the latest
        key = runs.start(ours, experiment, made[1], "ours", {}, "")
        pinned = server.store.runs[key]["pipeline_version_reference"]["pipeline_version_id"]
        assert pinned == made[1].version_id


# Pipelines


def test_the_first_version_s_name(server, naive, ours, package):
    naive.upload_pipeline(str(package), pipeline_name="naive")
    assert [each["name"] for each in server.store.versions.values()] == ["naive"]
    assert pipelines.ensure_version(ours, package).name.startswith("a" * 40)
    with pytest.raises(kfp_server_api.ApiException, match=r"^\(409\)"):
        naive.upload_pipeline(str(package), pipeline_name="naive")


def test_a_pipeline_in_a_namespace(package):
    with KubeflowServer(several_users=True) as server:
        ours = connect(server, "team")
        first = pipelines.ensure_version(ours, package)
        naive = client(server.url, namespace="team")
        assert naive.get_pipeline_id("taxi") is None
        with pytest.raises(kfp_server_api.ApiException, match="Failed to create a pipeline version"):
            naive.upload_pipeline_version(str(package), "next", pipeline_name="taxi")
        assert pipelines.find_pipeline(ours, "taxi") == first.pipeline_id
        assert pipelines.ensure_version(ours, package).version_id == first.version_id


def test_an_archive_whose_first_member_is_a_folder(server, naive, ours, package, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/pipeline.yaml").write_text(examples.pipeline())
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:  # tar czf x.tar.gz -C x ./
        archive.add(tmp_path / "x", "./")
    with pytest.raises(kfp_server_api.ApiException, match="Expecting a pipeline.yaml file inside the tarball"):
        naive.upload_pipeline(str(tmp_path / "x.tar.gz"), pipeline_name="naive")
    with tarfile.open(fileobj=io.BytesIO(package.read_bytes())) as archive:
        assert archive.getnames()[0] == "pipeline.yaml"
    assert pipelines.ensure_version(ours, package).created


# Experiments


def test_an_experiment_that_another_makes_meanwhile(server, naive, ours, monkeypatch):
    def meanwhile(api, name):
        """Lets another make the experiment after it was looked for."""
        look = api.experiment_service_list_experiments

        def looked(**options):
            found = look(**options)
            if not any(each["display_name"] == name for each in server.store.experiments.values()):
                server.store.add_experiment({"display_name": name})
            return found

        monkeypatch.setattr(api, "experiment_service_list_experiments", looked)

    meanwhile(naive._experiment_api, "naive")
    with pytest.raises(kfp_server_api.ApiException, match=r"^\(409\)"):
        naive.create_experiment("naive")
    meanwhile(ours.experiments, "ours")
    key = experiments.ensure(ours, "ours")
    assert server.store.experiments[key]["display_name"] == "ours"
    assert sorted(each["display_name"] for each in server.store.experiments.values()) == ["Default", "naive", "ours"]


def test_an_experiment_that_was_archived(server, naive, ours, version, experiment):
    server.store.archive_experiment(experiment, True)
    found = naive.create_experiment("taxi")
    assert found.experiment_id == experiment
    ids = {"pipeline_id": version.pipeline_id, "version_id": version.version_id}
    run = naive.run_pipeline(found.experiment_id, "naive", **ids)  # which goes on where nobody is shown it
    assert server.store.runs[run.run_id]["experiment_id"] == experiment
    with pytest.raises(PipeyardError, match="Restore it there"):
        experiments.ensure(ours, "taxi")


# Time limits, repetition, the constructor


def test_a_server_that_does_not_answer(server, naive, ours):
    server.faults.append(Fault("experiments", delay=60, times=99))
    thread = threading.Thread(target=lambda: quietly(naive.list_experiments), daemon=True)
    thread.start()
    with pytest.raises(PipeyardError, match="can't be reached"):
        experiments.find(connect(server, limits=IMPATIENT), "taxi")
    thread.join(1)
    assert thread.is_alive()
    server.close()


def quietly(call):
    with contextlib.suppress(Exception):  # the server was closed
        call()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_has_a_problem_for_a_moment(server, naive, ours, status):
    server.faults.append(Fault("experiments", status=status))
    with pytest.raises(kfp_server_api.ApiException, match=rf"^\({status}\)"):
        naive.create_experiment("taxi")
    server.faults.append(Fault("experiments", status=status))
    assert experiments.ensure(ours, "taxi") in server.store.experiments


def test_the_constructor_and_a_server_that_is_starting(server, monkeypatch):
    pauses = []
    monkeypatch.setattr(kfp.client.client.time, "sleep", pauses.append)
    server.faults.append(Fault("healthz", status=503, times=99))
    with pytest.raises(TimeoutError, match="healthz"):
        client(server.url)
    assert pauses == [5] * 5
    before = len(server.requests)
    connect(server)
    assert len(server.requests) == before


def test_the_constructor_and_the_home_folder(server, naive, home):
    naive.set_user_namespace("someone")  # by any program, at any time
    assert json.loads(home.read_text()) == {"namespace": "someone"}
    assert client(server.url).get_user_namespace() == "someone"  # of whichever server that was
    content = home.read_text()
    assert experiments.ensure(connect(server), "taxi")
    assert home.read_text() == content


# Schedules


def test_a_schedule_of_five_fields(server, naive, ours, version, experiment):
    naive.create_recurring_run(
        experiment,
        "naive",
        cron_expression=MONDAYS,
        pipeline_id=version.pipeline_id,
        version_id=version.version_id,
    )
    schedules.ensure(ours, wanted(experiment, version))
    start = datetime(2026, 1, 1)  # a Thursday
    due = {
        each["display_name"]: server_cron.next_time(each["trigger"]["cron_schedule"]["cron"], start)
        for each in server.store.recurring_runs.values()
    }
    assert due == {"naive": datetime(2026, 1, 1, 0, 6, 30), "ours": datetime(2026, 1, 5, 6, 30)}


def test_a_schedule_that_follows_the_latest_version(server, naive, ours, version, experiment):
    with pytest.raises(ValueError, match="both `pipeline_id` and `version_id` are required"):
        naive.create_recurring_run(experiment, "naive", cron_expression="0 30 6 * * 1", pipeline_id=version.pipeline_id)
    schedules.ensure(ours, wanted(experiment, version, version_id=""))
    [made] = server.store.recurring_runs.values()
    assert made["pipeline_version_reference"] == {"pipeline_id": version.pipeline_id}


def test_a_schedule_that_is_deployed_again(server, naive, ours, version, experiment):
    assert not hasattr(naive, "update_recurring_run")
    for parameters in ({"a": 1}, {"a": 2}):
        naive.create_recurring_run(
            experiment,
            "naive",
            cron_expression="0 30 6 * * 1",
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            description=str(parameters),
        )
        schedules.ensure(ours, wanted(experiment, version, enabled=parameters == {"a": 2}))
    names = [each["display_name"] for each in server.store.recurring_runs.values()]
    assert (names.count("naive"), names.count("ours")) == (2, 1)


def wanted(experiment, version, version_id=None, enabled=True):
    schedule = Schedule(cron=MONDAYS, enabled=enabled)
    pinned = version.version_id if version_id is None else version_id
    return schedules.wanted("ours", experiment, version.pipeline_id, schedule, {}, "", pinned)
