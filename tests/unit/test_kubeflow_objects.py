"""The tests' server of Kubeflow Pipelines keeps its objects in Kubernetes, also those that it has no record of."""

from datetime import UTC, datetime, timedelta

import pytest
import requests
from servers.kubeflow import Fault, KubeflowServer, examples, made_then_500, made_then_silence
from servers.kubernetes import SCHEDULED_WORKFLOWS, WORKFLOWS, KubernetesServer

_WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/kubeflow/workflows"
_SCHEDULES = "/apis/kubeflow.org/v1beta1/namespaces/kubeflow/scheduledworkflows"
_KINDS = [(False, "runs", "runs"), (True, "recurringruns", "recurringRuns")]


class Clock:
    def __init__(self):
        self.time = datetime(2026, 11, 29, 12, tzinfo=UTC)

    def __call__(self):
        return self.time

    def advance(self, seconds):
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server(clock):
    with KubeflowServer(now=clock) as started:
        yield started


@pytest.fixture
def kubernetes(server):
    with KubernetesServer(server.cluster) as started:
        yield started


@pytest.fixture
def call(server):
    """Makes a request of the API and returns status and JSON."""

    def go(method, path, body=None, timeout=5, **options):
        answer = requests.request(method, f"{server.url}/apis/v2beta1/{path}", json=body, timeout=timeout, **options)
        return answer.status_code, answer.json()

    return go


@pytest.fixture
def make(call):
    """Asks for a run, or a recurring run, of an uploaded pipeline."""
    upload = {"files": {"uploadfile": ("pipeline.yaml", examples.pipeline())}}
    pipeline = call("POST", "pipelines/upload?name=taxi", **upload)[1]["pipeline_id"]
    experiment = call("POST", "experiments", {"display_name": "taxi"})[1]["experiment_id"]
    common = {"experiment_id": experiment, "pipeline_version_reference": {"pipeline_id": pipeline}}
    often = {
        "trigger": {"cron_schedule": {"cron": "0 0 3 * * *"}},
        "max_concurrency": "1",
        "mode": "ENABLE",
    }

    def go(repeated=False, name="Taxi (prod)", timeout=5):
        path, more = ("recurringruns", often) if repeated else ("runs", {})
        return call("POST", path, {"display_name": name, **common, **more}, timeout)

    return go


def names(kubernetes, path, selector=""):
    answer = requests.get(f"{kubernetes.url}{path}", params={"labelSelector": selector}, timeout=5)
    assert answer.status_code == 200, answer.text
    return [each["metadata"]["name"] for each in answer.json()["items"]]


def test_a_run_has_a_workflow_and_a_recurring_run_a_scheduled_workflow(make, kubernetes, call):
    run, recurring = make()[1], make(True)[1]
    [workflow] = requests.get(f"{kubernetes.url}{_WORKFLOWS}", timeout=5).json()["items"]
    assert workflow["metadata"]["labels"]["pipeline/runid"] == run["run_id"]
    assert workflow["metadata"]["annotations"]["pipelines.kubeflow.org/run_name"] == "Taxi (prod)"
    assert workflow["metadata"]["name"].startswith("taxi-")
    [schedule] = requests.get(f"{kubernetes.url}{_SCHEDULES}", timeout=5).json()["items"]
    assert schedule["metadata"]["uid"] == recurring["recurring_run_id"]
    assert schedule["metadata"]["name"].startswith("taxiprod")
    assert schedule["spec"]["enabled"] is True
    assert schedule["spec"]["trigger"] == {"cronSchedule": {"cron": "0 0 3 * * *"}}
    assert schedule["spec"]["experimentId"] == recurring["experiment_id"]
    call("POST", f"recurringruns/{recurring['recurring_run_id']}:disable")
    assert not requests.get(f"{kubernetes.url}{_SCHEDULES}", timeout=5).json()["items"][0]["spec"]["enabled"]
    call("DELETE", f"recurringruns/{recurring['recurring_run_id']}")
    call("DELETE", f"runs/{run['run_id']}")
    assert names(kubernetes, _WORKFLOWS) == names(kubernetes, _SCHEDULES) == []


def test_terminating_stops_the_workflow(make, kubernetes, call):
    run = make()[1]["run_id"]
    assert call("POST", f"runs/{run}:terminate") == (200, {})
    [workflow] = requests.get(f"{kubernetes.url}{_WORKFLOWS}", timeout=5).json()["items"]
    assert workflow["spec"]["activeDeadlineSeconds"] == 0


@pytest.mark.parametrize(
    ("repeated", "path", "listed"), [(False, "runs", "runs"), (True, "recurringruns", "recurringRuns")]
)
def test_made_then_500_leaves_an_object_without_a_record(make, kubernetes, server, call, repeated, path, listed):
    server.faults.append(made_then_500(f"POST .*/{path}$"))
    status, answer = make(repeated)
    assert (status, answer["code"]) == (500, 13)
    assert len(names(kubernetes, _SCHEDULES if repeated else _WORKFLOWS)) == 1
    assert listed not in call("GET", path)[1]


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(
    ("repeated", "path", "listed"), [(False, "runs", "runs"), (True, "recurringruns", "recurringRuns")]
)
def test_made_then_silence(make, kubernetes, server, call, repeated, path, listed, recorded):
    server.faults.append(made_then_silence(f"POST .*/{path}$", recorded))
    with pytest.raises(requests.Timeout):
        make(repeated, timeout=0.5)
    assert len(names(kubernetes, _SCHEDULES if repeated else _WORKFLOWS)) == 1
    assert (listed in call("GET", path)[1]) == recorded


def test_made_and_recorded_then_500_or_cut(make, server, call):
    server.faults += [Fault("POST .*/runs$", status=500, made="recorded"), Fault("POST .*/runs$", cut="after")]
    assert make()[0] == 500
    with pytest.raises(requests.ConnectionError):
        make()
    assert call("GET", "runs")[1]["total_size"] == 2


def test_a_database_that_is_away_makes_objects_and_answers_500_until_it_is_back(make, kubernetes, server, call, clock):
    known = make()[1]["run_id"]
    server.database_away(30)
    assert make()[0] == make(True)[0] == 500
    for path in ("runs", "recurringruns", "experiments", "pipelines", f"runs/{known}"):
        assert call("GET", path)[0] == 500
    assert call("GET", "healthz")[0] == 200
    assert len(names(kubernetes, _WORKFLOWS)) == 2
    clock.advance(29)
    assert call("GET", "runs")[0] == 500
    clock.advance(1)
    assert call("GET", "runs")[1]["total_size"] == 1
    assert "recurringRuns" not in call("GET", "recurringruns")[1]
    assert len(names(kubernetes, _SCHEDULES)) == 1


def test_a_workflow_without_a_record_is_removed_after_120_seconds_and_a_scheduled_workflow_never(
    make, kubernetes, server, clock
):
    server.faults += [made_then_500("POST", times=2)]
    make()
    make(True)
    kept = make()[1]["run_id"]
    clock.advance(119)
    assert len(names(kubernetes, _WORKFLOWS)) == 2
    clock.advance(1)
    server.database_away(60)
    assert len(names(kubernetes, _WORKFLOWS)) == 2, "who can't ask the database removes nothing"
    clock.advance(60)
    assert len(names(kubernetes, _WORKFLOWS, f"pipeline/runid={kept}")) == len(names(kubernetes, _WORKFLOWS)) == 1
    clock.advance(10_000_000)
    assert len(names(kubernetes, _SCHEDULES)) == 1


# Kubernetes' API


def test_objects_are_listed_by_label_got_and_deleted(make, kubernetes, server):
    run = make()[1]["run_id"]
    make()
    for selector, fits in [
        (f"pipeline/runid={run}", 1),
        (f"pipeline/runid=={run}", 1),
        (f"pipeline/runid!={run}", 1),
        (f"pipeline/runid in ({run}, x)", 1),
        (f"pipeline/runid notin ({run}),pipeline/runid", 1),
        ("!pipeline/runid", 0),
        ("pipeline/runid", 2),
        ("", 2),
    ]:
        assert len(names(kubernetes, _WORKFLOWS, selector)) == fits, selector
    [name] = names(kubernetes, _WORKFLOWS, f"pipeline/runid={run}")
    one = f"{kubernetes.url}{_WORKFLOWS}/{name}"
    assert requests.get(one, timeout=5).json()["kind"] == "Workflow"
    assert requests.delete(one, timeout=5).json()["status"] == "Success"
    missing = requests.get(one, timeout=5)
    assert (missing.status_code, missing.json()["reason"], missing.json()["code"]) == (404, "NotFound", 404)
    assert len(server.cluster.all(WORKFLOWS)) == 1
    assert server.cluster.all(SCHEDULED_WORKFLOWS) == []
    listed = requests.get(f"{kubernetes.url}{_WORKFLOWS}", timeout=5).json()
    assert (listed["kind"], listed["apiVersion"]) == ("WorkflowList", "argoproj.io/v1alpha1")
    everywhere = requests.get(f"{kubernetes.url}/apis/argoproj.io/v1alpha1/workflows", timeout=5).json()
    assert everywhere["items"] == listed["items"]
    assert requests.get(f"{kubernetes.url}{_WORKFLOWS}?labelSelector=%3D%3D", timeout=5).status_code == 400


def test_kubernetes_refuses_with_status_objects(make, kubernetes):
    make()
    kubernetes.tokens.add("sesame")
    url = f"{kubernetes.url}{_WORKFLOWS}"
    refused = requests.get(url, timeout=5)
    assert (refused.status_code, refused.json()["kind"], refused.json()["reason"]) == (401, "Status", "Unauthorized")
    known = {"headers": {"Authorization": "Bearer sesame"}, "timeout": 5}
    assert requests.get(url, **known).status_code == 200
    kubernetes.forbidden.add(("list", "workflows"))
    refused = requests.get(url, **known)
    assert (refused.status_code, refused.json()["reason"]) == (403, "Forbidden")
    assert requests.get(f"{kubernetes.url}/apis/batch/v1/jobs", **known).status_code == 404
    kubernetes.faults.append(500)
    assert requests.get(url, **known).json()["reason"] == "InternalError"
