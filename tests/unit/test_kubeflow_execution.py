"""What is submitted to the tests' server of Kubeflow Pipelines runs here, with the local runner."""

import json
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import requests
import yaml
from kfp import compiler, dsl
from servers.kubeflow import KubeflowServer, examples, nodes
from servers.kubeflow.execution import LocalRunner, this_python
from servers.kubeflow.store import ENDS

from pipeyard import settings

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


train = component("train", {"broken": "Boolean"}, {}, "sys.exit(int(IN['broken'].lower() == 'true'))")
publish = component("publish", {}, {}, "print('published')")
report = component(
    "report", {"status": "PipelineTaskFinalStatus"}, {"told": "String"}, "write(OUT['told'], IN['status'])"
)


@dsl.pipeline(name="guarded")
def guarded(wanted: bool, broken: bool = False):
    last = report()
    with dsl.ExitHandler(last):
        first = train(broken=broken)
        with dsl.If(wanted == True):  # noqa: E712
            publish().after(first)


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
def call(server):
    """Makes a request of the API and returns its JSON."""

    def go(method, path, **content):
        answer = requests.request(method, f"{server.url}/apis/v2beta1/{path}", timeout=5, **content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return go


@pytest.fixture
def start(call, tmp_path):
    """Uploads a pipeline, starts a run of it, and returns the run's id."""

    def go(pipeline, **parameters):
        compiled = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(compiled))
        files = {"uploadfile": ("pipeline.yaml", compiled.read_bytes())}
        made = call("POST", f"pipelines/upload?name={pipeline.name}-{uuid.uuid4()}", files=files)
        reference = {"pipeline_id": made["pipeline_id"]}
        config = {"parameters": parameters}
        body = {"display_name": "run", "pipeline_version_reference": reference, "runtime_config": config}
        return call("POST", "runs", json=body)["run_id"]

    return go


@pytest.fixture
def ended(call):
    """Waits for a run's end and returns it."""

    def go(key, seconds=60):
        deadline = time.monotonic() + seconds
        while (run := call("GET", f"runs/{key}"))["state"] not in ENDS:
            assert time.monotonic() < deadline, run
            time.sleep(0.05)
        return run

    return go


def details(run):
    return run.get("run_details", {}).get("task_details", [])


def states(run):
    """Returns the names of a run's nodes with their states; absent for those that were left out."""
    return sorted((each["display_name"], each.get("state", "absent")) for each in details(run))


def named(run, name):
    return [each for each in details(run) if each["display_name"] == name]


def test_a_run_that_succeeds(server, start, ended, tmp_path):
    run = ended(start(sums, first=3))
    assert run["state"] == "SUCCEEDED"
    assert [each["state"] for each in run["state_history"]] == ["PENDING", "RUNNING", "SUCCEEDED"]
    [folder] = [each for each in (tmp_path / "runs").iterdir() if each.name.startswith("sums-")]
    assert '"sum": 6' in (folder / "run.json").read_text()
    assert {state for _, state in states(run)} == {"SUCCEEDED"}
    names = [name for name, _ in states(run)]
    assert names.count("executor") == 5
    workflow = server.workflow_of(run["run_id"])
    once = {"root", "root-driver", workflow, "for-loop-2", "iteration-driver", "iteration-iterations"}
    assert once < set(names)
    assert {"iteration-iterations(0:0)", "iteration-iterations(1:1)", "add-driver", "add", "check"} < set(names)


def test_details_have_only_what_the_real_server_tells(start, ended):
    run = ended(start(sums, first=3, most=5))
    unknown = {"pod_name", "error", "parent_task_id", "executor_detail", "inputs", "outputs"}
    assert not [each for each in details(run) if unknown & set(each)]
    assert all({"run_id", "task_id", "display_name", "start_time"} <= set(each) for each in details(run))
    assert {tuple(child) for each in details(run) for child in each.get("child_tasks", ())} == {("pod_name",)}


def test_children_are_what_follows(server, start, ended):
    key = start(guarded, wanted=True)
    run = ended(key)
    workflow = server.workflow_of(key)
    [whole] = named(run, workflow)
    follower = {each["display_name"]: [child["pod_name"] for child in each.get("child_tasks", ())] for each in [whole]}
    assert follower[workflow] == [nodes.identifier(workflow, "root-driver")]
    handler = "root/exit-handler-1"
    [train] = named(run, "train")
    assert [each["pod_name"] for each in train["child_tasks"]] == [
        nodes.identifier(workflow, f"{handler}/train/executor")
    ]
    # What comes after a step follows its container, though it is in another node.
    ids = [each["pod_name"] for one in named(run, "executor") for each in one.get("child_tasks", ())]
    assert nodes.identifier(workflow, f"{handler}/condition-2-driver") in ids


def test_a_run_that_fails_is_failed_all_around_the_step_and_its_log_is_there(server, start, ended):
    key = start(sums, first=3, most=5)
    run = ended(key)
    assert run["state"] == "FAILED"
    assert "error" not in run
    failed = {name for name, state in states(run) if state == "FAILED"}
    workflow = server.workflow_of(key)
    around = {"root", "for-loop-2", "iteration-iterations", "iteration-iterations(1:1)", "iteration-item"}
    assert failed == {"check", "executor", workflow, *around}
    log = nodes.identifier(workflow, "root/for-loop-2/iteration-iterations(1:1)/iteration-item/check/executor")
    where = f"{server.url}/k8s/pod/logs?podname={log}&runid={key}"
    assert "checking 6" in requests.get(where, timeout=5).text
    assert requests.get(f"{server.url}/k8s/pod/logs?podname=none&runid={key}", timeout=5).status_code == 404


def test_what_a_failed_step_leaves_out_has_no_state(start, ended):
    run = ended(start(guarded, wanted=True, broken=True))
    assert dict(states(run))["train"] == "FAILED"
    for name in ("condition-2", "condition-2-driver"):
        assert dict(states(run))[name] == "absent"
    assert not named(run, "publish")
    assert dict(states(run))["exit-handler-1.onExit"] == "SUCCEEDED"
    assert dict(states(run))["exit-handler-1"] == "FAILED"


def test_a_step_whose_outputs_were_there_already_has_no_container(start, ended):
    ended(start(sums, first=3))
    run = ended(start(sums, first=3))
    assert {each["state"] for each in named(run, "executor")} == {"SKIPPED"}
    assert {each["state"] for name in ("add", "add-2", "check") for each in named(run, name)} == {"SUCCEEDED"}


def test_an_importer_is_one_node(tmp_path, start, ended):
    (tmp_path / "data.txt").write_text("x")

    @dsl.pipeline(name="importing")
    def importing():
        dsl.importer(artifact_uri=str(tmp_path / "data.txt"), artifact_class=dsl.Dataset)

    run = ended(start(importing))
    assert run["state"] == "SUCCEEDED", states(run)
    names = [name for name, _ in states(run)]
    assert "importer" in names
    assert not {"executor", "importer-driver"} & set(names)


def test_a_condition_that_is_not_met_skips_its_group(start, ended):
    run = ended(start(guarded, wanted=False))
    assert run["state"] == "SUCCEEDED"
    assert dict(states(run))["condition-2"] == "SKIPPED"
    assert dict(states(run))["condition-2-driver"] == "SUCCEEDED"
    assert not named(run, "publish")


@pytest.mark.parametrize(
    ("parameters", "state"),
    [
        ({"wanted": True}, "COMPLETE"),
        ({"wanted": True, "broken": True}, "FAILED"),
        ({"wanted": False}, "RUNNING"),
    ],
    ids=["all ran", "a step failed", "a condition wasn't met"],
)
def test_the_exit_handler_gets_the_state_of_ml_metadata(start, ended, tmp_path, parameters, state):
    key = start(guarded, **parameters)
    ended(key)
    [record] = (tmp_path / "runs").glob("guarded-*/run.json")
    tasks = {each["path"]: each for each in json.loads(record.read_text())["tasks"]}
    told = json.loads(tasks["report"]["output_parameters"]["told"])
    assert told == {
        "state": state,
        "error": {},
        "pipelineJobResourceName": key,
        "pipelineTaskName": "exit-handler-1",
    }


def test_a_run_that_is_stopped_is_canceling_and_then_failed(call, start, ended):
    key = start(sleeping)
    deadline = time.monotonic() + 30
    while ("sleep", "RUNNING") not in states(call("GET", f"runs/{key}")):
        assert time.monotonic() < deadline
    call("POST", f"runs/{key}:terminate")
    assert call("GET", f"runs/{key}")["state"] in ("CANCELING", "FAILED")
    run = ended(key)
    assert run["state"] == "FAILED"
    assert [each["state"] for each in run["state_history"]] == ["PENDING", "RUNNING", "FAILED"]
    assert dict(states(run))["executor"] == "FAILED"


def test_the_page_s_command_serves_until_it_is_stopped(tmp_path):
    page = (ROOT / "docs/kubeflow.md").read_text()
    [command] = re.findall(r"```sh\n\.venv/bin/python (.*) --port 8888 (.*)\n```", page)
    arguments = [sys.executable, *" ".join(command).split(), "--runs", str(tmp_path / "runs"), "--token", "sesame"]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        try:
            url = program.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
            assert requests.get(f"{url}/apis/v2beta1/experiments", timeout=5).status_code == 401
            with requests.Session() as known:
                known.headers["Authorization"] = "Bearer sesame"
                body = {"display_name": "run", "pipeline_spec": yaml.safe_load(examples.pipeline())}
                key = known.post(f"{url}/apis/v2beta1/runs", json=body, timeout=5).json()["run_id"]
                deadline = time.monotonic() + 30
                while (run := known.get(f"{url}/apis/v2beta1/runs/{key}", timeout=5).json())["state"] not in ENDS:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                [driver] = named(run, "say-driver")
                [first] = [each for each in named(run, "root") if "child_tasks" in each]
                log = first["child_tasks"][0]["pod_name"]
                told = known.get(f"{url}/k8s/pod/logs?podname={log}&runid={key}", timeout=5).text
        finally:
            program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0
    assert run["state"] == "FAILED"  # it executes the project's components, and this image is of none
    assert driver["state"] == "FAILED"
    assert "the image 'tests/python' isn't one of this project's" in told


def test_the_page_s_settings_are_settings():
    page = (ROOT / "docs/kubeflow.md").read_text()
    lines = re.findall(r"^auth: .*$", page, re.MULTILINE)
    assert len(lines) == 5
    kinds = {settings.Auth.model_validate(yaml.safe_load(line)["auth"]).kind for line in lines}
    assert kinds == {"token", "service_account", "iap", "cookies"}
