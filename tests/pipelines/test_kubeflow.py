"""A real pipeline at Kubeflow Pipelines: deployed, run, waited for. The server executes it with the local runner."""

from pathlib import Path

import pytest
import requests
from servers.kubeflow import KubeflowServer, examples
from servers.kubeflow.execution import LocalRunner
from whole_runs import SETUP

from pipeyard import settings
from pipeyard.compiling import compiler
from pipeyard.local import runner
from pipeyard.repository.project import Project
from pipeyard.servers import outcome
from pipeyard.servers.kubeflow import connection, experiments, pipelines, runs


@pytest.fixture(scope="module")
def server(project: Path):
    """Shares the step cache with the local runs, as it has the same components."""
    with (
        pytest.MonkeyPatch.context() as patch,
        KubeflowServer(execute=LocalRunner(project / "runs", runner.project_hosts(Project(project)))) as started,
    ):
        for name in ("UV", "UV_PYTHON"):
            patch.setenv(name, SETUP[name])
        yield started


@pytest.fixture
def run(server, project, tmp_path):
    """Deploys chicago_taxi, runs it with other parameters than those of the environment `local`, and waits."""
    connected = connection.connect(
        settings.Environment(name="here", target="kfp", host=server.url, bucket="gs://here", pipeline_root="gs://here")
    )
    compiled = compiler.compile_pipeline(project / "pipelines/chicago_taxi", {})
    package = examples.package(tmp_path, "a" * 40, compiled.text, "chicago-taxi")
    version = pipelines.ensure_version(connected, package)
    experiment = experiments.ensure(connected, "chicago-taxi")
    declared = pipelines.specification(connected, version)["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    place = settings.load(project).environment("local")
    given = {**place.parameters_of("chicago_taxi", declared), "registry_uri": f"sqlite:///{tmp_path}/registry.db"}

    def go(name: str, **parameters: object) -> outcome.RunOutcome:
        key = runs.start(connected, experiment, version, name, given | parameters, "gs://here/root")
        return runs.wait(connected, key, timeout=600, interval=0.2)

    return go


def test_a_run_deploys_a_model(taxi, run, tmp_path):
    outcome = run("good", serving_uri=str(tmp_path / "serving"))
    assert outcome.succeeded, outcome
    assert (tmp_path / "serving/chicago_taxi/1/saved_model.pb").is_file()


def test_a_run_that_fails_names_the_step_and_where_it_says_why(taxi, run, tmp_path):
    outcome = run("bad", source=str(tmp_path / "none.csv"))
    assert outcome.state == "FAILED"
    [failed] = outcome.failed
    assert failed.name == "exit-handler-1/extract"
    assert "none.csv" in requests.get(failed.log_url, timeout=5).text
