"""`pipeyard plan`, `deploy` and `run` in an environment on Vertex AI, with Artifact Registry and Cloud Storage."""

import json

import pytest
from servers.vertex import PROJECT, REGION, VertexServer
from support import scratch_git, small_repository

from pipeyard.deployment import records
from pipeyard.deployment.targets import choice
from pipeyard.packages import archives
from pipeyard.system import bucket


@pytest.fixture
def vertex():
    with VertexServer() as started:
        yield started


@pytest.fixture
def environments(vertex, own_prefix):
    cloud = small_repository.environment(
        target="vertex",
        host=vertex.url,
        templates=vertex.repository,
        project=PROJECT,
        region=REGION,
        bucket=own_prefix,
        service_account="trainer@acme.test",
    )
    cloud["pipelines"]["whole"]["schedule"] = {"cron": "0 3 * * *", "timezone": "Europe/Berlin"}
    return {"cloud": cloud}


@pytest.fixture
def project(tmp_path, environments):
    made = small_repository.make(tmp_path / "project", environments)
    small_repository.build(made)
    return made


@pytest.fixture
def pipeyard(pipeyard, monkeypatch):
    """Runs a command on the environment `cloud`."""
    monkeypatch.setattr("pipeyard.deployment.targets.vertex.INTERVAL", 0.01)
    return lambda *arguments: pipeyard(*arguments, "--env", "cloud")


def test_plan_and_deploy_twice_the_second_changes_nothing(pipeyard, vertex, own_prefix):
    code, out, err = pipeyard("plan", "--exit-code")
    assert code == 3, err
    assert f"+ template whole: {vertex.repository}" in out
    assert "+ schedule whole (cloud): 0 3 * * * Europe/Berlin, of this content" in out
    assert not vertex.schedules and not vertex.templates  # it only reads
    code, _, err = pipeyard("deploy")
    assert code == 0, err
    (schedule,) = vertex.schedules.values()
    (version,) = vertex.templates
    job = schedule["createPipelineJobRequest"]["pipelineJob"]
    assert job["templateUri"] == f"{vertex.repository}/{version}"
    assert "sha256:" in job["templateUri"]
    assert job["serviceAccount"] == "trainer@acme.test"
    assert records.read(bucket.connect(own_prefix), "whole", "cloud").server == {"template": job["templateUri"]}

    before = len([each for each in vertex.requests if each[0] != "GET"])
    assert pipeyard("plan", "--exit-code") == (0, "whole in cloud: nothing changes\n", "")
    assert json.loads(pipeyard("deploy", "--json")[1])[0]["changed"] is False
    assert len([each for each in vertex.requests if each[0] != "GET"]) == before


def test_a_changed_parameter_changes_the_schedule_alone(pipeyard, vertex, project, environments):
    pipeyard("deploy")
    environments["cloud"]["pipelines"]["whole"]["parameters"] = {"epochs": 4}
    small_repository.configure(project, environments)
    small_repository.build(project)
    plan = json.loads(pipeyard("plan", "--json")[1])[0]
    assert {each["kind"] for each in plan["changes"]} == {"parameter", "schedule"}
    assert pipeyard("deploy")[0] == 0
    (schedule,) = vertex.schedules.values()
    assert schedule["createPipelineJobRequest"]["pipelineJob"]["runtimeConfig"]["parameterValues"] == {"epochs": 4.0}
    assert len(vertex.templates) == 1


def test_run_starts_what_is_deployed_and_waits(pipeyard, vertex, project):
    pipeyard("deploy")
    code, out, _ = pipeyard("run", "whole", "--wait", "--param", "epochs=5", "--json")
    told = json.loads(out)
    assert (code, told["state"]) == (0, "SUCCEEDED")
    job = vertex.jobs[told["run"]]
    assert job["runtimeConfig"]["parameterValues"] == {"epochs": 5.0}
    assert job["labels"]["commit"] == scratch_git.git(project.root, "rev-parse", "HEAD").strip()
    assert job["templateUri"].startswith(vertex.repository)


def test_a_failed_run_prints_the_step_and_its_log(pipeyard, vertex):
    pipeyard("deploy")
    vertex.states = ["PIPELINE_STATE_FAILED"]
    vertex.details = [
        {
            "taskName": "count",
            "state": "FAILED",
            "error": {"code": 9, "message": "no rows"},
            "executorDetail": {"containerDetail": {"mainJob": f"projects/{PROJECT}/customJobs/77"}},
        }
    ]
    code, _, err = pipeyard("run", "whole", "--wait")
    assert code == 1
    assert "count failed: no rows" in err and "Its log: https://console.cloud.google.com/logs/query" in err


def test_run_without_the_cache_and_with_a_key(pipeyard, vertex):
    pipeyard("deploy")
    runs = {pipeyard("run", "whole", "--no-cache", "--key", "k1")[1].strip() for _ in range(2)}
    (job,) = (vertex.jobs[each] for each in runs)
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    assert not any(task.get("cachingOptions", {}).get("enableCache") for task in tasks.values())


def test_a_pipeline_that_vertex_cant_have_is_told_before_anything_is_contacted(pipeyard, vertex, project):
    (project.root / "dist" / "whole" / archives.VERTEX).unlink()
    code, _, err = pipeyard("deploy")
    assert code == 1 and "has no vertex.json: the pipeline has settings of Kubernetes" in err
    assert vertex.requests == []


def test_targets_are_made_without_the_network(vertex, environments):
    from pipeyard import settings

    made = choice.connect(settings.Environment(name="cloud", **environments["cloud"]))
    assert made.vertex.parent == f"projects/{PROJECT}/locations/{REGION}"
    assert vertex.requests == []
