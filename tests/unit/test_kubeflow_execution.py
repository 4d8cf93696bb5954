"""What is submitted to the tests' server of Kubeflow Pipelines runs here, with the local runner."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
import yaml
from kfp import compiler, dsl
from kubeflow_connections import connect
from servers.kubeflow import KubeflowServer, examples
from servers.kubeflow.execution import LocalRunner, this_python

from pipeyard import settings
from pipeyard.errors import PipeyardError
from pipeyard.kubeflow import experiments, pipelines, runs

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/conformance"))
from tiny_components import component  # noqa: E402  # pylint: disable=wrong-import-position

add = component(
    "add", {"a": "Integer", "b": "Integer"}, {"sum": "Integer"}, "write(OUT['sum'], int(IN['a']) + int(IN['b']))"
)
check = component(
    "check",
    {"value": "Integer", "most": "Integer"},
    {},
    """
    print("checking", IN["value"])
    sys.exit(int(int(IN["value"]) > int(IN["most"])))
    """,
)
sleep = component("sleep", {}, {}, "import time; time.sleep(60)")


@dsl.pipeline(name="sums")
def sums(first: int, most: int = 10):
    once = add(a=first, b=1)
    with dsl.ParallelFor([1, 2]) as item:
        check(value=add(a=once.outputs["sum"], b=item).outputs["sum"], most=most)


@dsl.pipeline(name="sleeping")
def sleeping():
    sleep()


@pytest.fixture
def server(tmp_path):
    with KubeflowServer(execute=LocalRunner(tmp_path / "runs", this_python())) as started:
        yield started


@pytest.fixture
def start(server, tmp_path):
    connection = connect(server)

    def go(pipeline, **parameters):
        compiled = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(compiled))
        package = examples.package(tmp_path, "a" * 40, compiled.read_text(), pipeline.name)
        version = pipelines.ensure_version(connection, package)
        experiment = experiments.ensure(connection, pipeline.name)
        return connection, runs.start(connection, experiment, version, "run", parameters, "gs://bucket/root")

    return go


def test_a_run_that_succeeds(server, start, tmp_path):
    connection, key = start(sums, first=3)
    told = []
    outcome = runs.wait(connection, key, timeout=60, interval=0.05, tell=told.append)
    assert outcome.succeeded, outcome
    assert {"RUNNING", "add: SUCCEEDED", "check: SUCCEEDED"} < set(told)
    assert told[-1] == "SUCCEEDED"
    [folder] = [each for each in (tmp_path / "runs").iterdir() if each.name.startswith("sums-")]
    assert '"sum": 6' in (folder / "run.json").read_text()
    details = server.store.runs[key]["run_details"]["task_details"]
    assert {each["state"] for each in details} == {"SUCCEEDED"}


def test_a_run_that_fails_names_its_steps_and_where_their_logs_are(server, start):
    connection, key = start(sums, first=3, most=5)
    outcome = runs.wait(connection, key, timeout=60, interval=0.05)
    assert outcome.state == "FAILED"
    [failed] = outcome.failed
    assert failed.name == "check"
    assert "1" in failed.reason
    assert "checking 6" in requests.get(failed.log_url, timeout=5).text
    assert requests.get(f"{server.url}/k8s/pod/logs?podname=none&runid={key}", timeout=5).status_code == 404


def test_a_run_that_is_stopped(start):
    connection, key = start(sleeping)
    told = []
    deadline = time.monotonic() + 30
    while "sleep: RUNNING" not in told:
        assert time.monotonic() < deadline
        with pytest.raises(PipeyardError, match="hasn't ended"):
            runs.wait(connection, key, timeout=0.05, interval=0.01, tell=told.append)
    connection.runs.run_service_terminate_run(key)
    assert runs.wait(connection, key, timeout=30, interval=0.05).state == "CANCELED"


def test_the_page_s_command_serves_until_it_is_stopped(tmp_path):
    page = (ROOT / "docs/kubeflow.md").read_text()
    [command] = re.findall(r"```sh\n\.venv/bin/python (.*) --port 8888 (.*)\n```", page)
    arguments = [sys.executable, *" ".join(command).split(), "--runs", str(tmp_path / "runs"), "--token", "sesame"]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        try:
            url = program.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
            with pytest.raises(PipeyardError, match="failed: 401"):
                experiments.find(connect(url), "taxi")
            connection = connect(url, kind="token", token_env="OPEN", options={"variables": {"OPEN": "sesame"}})
            version = pipelines.ensure_version(connection, examples.package(tmp_path, "a" * 40, examples.pipeline()))
            experiment = experiments.ensure(connection, "taxi")
            key = runs.start(connection, experiment, version, "run", {}, "")
            outcome = runs.wait(connection, key, timeout=30, interval=0.05)
        finally:
            program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0
    assert outcome.state == "FAILED"  # it executes the project's components, and this image is of none
    assert "the image 'tests/python' isn't one of this project's" in f"{outcome.failed} {outcome.error}"


def test_the_page_s_settings_are_settings():
    page = (ROOT / "docs/kubeflow.md").read_text()
    lines = re.findall(r"^auth: .*$", page, re.MULTILINE)
    assert len(lines) == 5
    kinds = {settings.Auth.model_validate(yaml.safe_load(line)["auth"]).kind for line in lines}
    assert kinds == {"token", "service_account", "iap", "cookies"}
