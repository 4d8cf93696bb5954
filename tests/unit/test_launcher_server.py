"""The stand-in for KFP's launcher does what the real one was seen to do."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import fsspec
import pytest
from servers.launcher import (
    Artifact,
    Launch,
    LauncherProcess,
    Pod,
    Records,
    Store,
    Task,
    Walk,
    final_status,
    launch,
    local_path,
    parsing,
)

ENV = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
ROOT_URI = "minio://mlpipeline/v2/artifacts/taxi/run-1/step"
SET_UP = """
import json, os, pathlib, sys, time
given = json.loads(sys.argv[1])
OUT = {name: pathlib.Path(text) for name, text in (part.split("=", 1) for part in sys.argv[2:] if "=" in part)}
"""


def container(code: str, *args: str) -> dict:
    return {"image": "any", "command": ["python", "-c", SET_UP + code], "args": ["{{$}}", *args]}


def component(parameters: dict[str, str] | None = None, artifacts: dict[str, str] | None = None) -> dict:
    return {
        "outputDefinitions": {
            "parameters": {name: {"parameterType": kind} for name, kind in (parameters or {}).items()},
            "artifacts": {
                name: {"artifactType": {"schemaTitle": kind, "schemaVersion": "0.0.1"}}
                for name, kind in (artifacts or {}).items()
            },
        }
    }


class Cluster:
    """A store and a metadata store; every attempt has a pod of its own."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store, self.records = folder, store, Records(folder / "mlmd")
        self.attempts: list[Launch] = []

    def attempt(self, task: Task) -> Launch:
        pod = Pod(self.folder / f"pod-{len(self.attempts)}")
        self.attempts.append(Launch(task, pod, self.records.begin(task.name).id, ENV))
        return self.attempts[-1]

    def run(self, task: Task):
        return launch(self.attempt(task), self.store, self.records)

    @property
    def log(self) -> str:
        return self.attempts[-1].log.read_text(encoding="utf-8")


@pytest.fixture(name="cluster", params=["local", "memory"])
def fixture_cluster(request, tmp_path):
    filesystem = fsspec.filesystem("file" if request.param == "local" else "memory")
    base = str(tmp_path / "store") if request.param == "local" else "/store"
    yield Cluster(tmp_path, Store(filesystem, base))
    if request.param == "memory" and filesystem.exists(base):
        filesystem.rm(base, recursive=True)


def writes(code: str, parameters=None, artifacts=None, given=None) -> Task:
    """A task whose code finds the paths of its outputs in OUT."""
    args = [f"{name}={{{{$.outputs.parameters['{name}'].output_file}}}}" for name in parameters or {}]
    args += [f"{name}={{{{$.outputs.artifacts['{name}'].path}}}}" for name in artifacts or {}]
    return Task("step", component(parameters, artifacts), container(code, *args), ROOT_URI, given or {})


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://mlpipeline/a/b", "minio/mlpipeline/a/b"),
        ("s3://bucket/a", "s3/bucket/a"),
        ("gs://bucket/a", "gcs/bucket/a"),
    ],
)
def test_artifacts_lie_below_a_folder_of_the_scheme(tmp_path, uri, path):
    assert local_path(tmp_path, uri) == tmp_path / path
    with pytest.raises(ValueError, match="unsupported storage scheme"):
        local_path(tmp_path, "hdfs://a/b")


def test_paths_in_a_pod_and_the_whole_executor_input_as_one_argument(cluster):
    task = writes(
        "OUT['said'].write_text(json.dumps([sys.argv[1:], sorted(os.listdir(OUT['said'].parent)), "
        "OUT['data'].parent.is_dir(), OUT['data'].exists()]))",
        {"said": "LIST"},
        {"data": "system.Dataset"},
        given={"x": "a 'quoted' \"word\""},
    )
    execution = cluster.run(task)
    assert execution.state == "COMPLETE", cluster.log
    argv, beside, has_parent, is_made = execution.parameters["said"]
    root = cluster.attempts[0].pod.root
    given = json.loads(argv[0])
    assert given["inputs"]["parameterValues"] == {"x": "a 'quoted' \"word\""}
    assert argv[1:] == [
        f"said={root}/tmp/kfp/outputs/said",
        f"data={root}/minio/mlpipeline/v2/artifacts/taxi/run-1/step/data",
    ]
    assert (beside, has_parent, is_made) == ([], True, False)


def test_folders_go_up_file_by_file_and_come_down_whole(cluster):
    code = "(OUT['data'] / 'deep').mkdir(parents=True); (OUT['data'] / 'a').write_text('1');"
    code += "(OUT['data'] / 'deep/b').write_text('2'); (OUT['data'] / 'empty').mkdir()"
    made = cluster.run(writes(code, None, {"data": "system.Dataset"}))
    assert made.state == "COMPLETE", cluster.log
    assert cluster.store.keys(f"{ROOT_URI}/data") == ["a", "deep/b"]
    reads = "OUT['said'].write_text(json.dumps(sorted(str(p.relative_to(sys.argv[2])) for p in "
    reads += "pathlib.Path(sys.argv[2]).rglob('*'))))"
    args = ["{{$.inputs.artifacts['data'].path}}", "said={{$.outputs.parameters['said'].output_file}}"]
    task = Task(
        "next", component({"said": "LIST"}), container(reads, *args), "minio://mlpipeline/next", {}, made.artifacts
    )
    assert cluster.run(task).parameters == {"said": ["a", "deep", "deep/b"]}


def test_an_empty_folder_uploads_nothing(cluster):
    execution = cluster.run(writes("OUT['data'].mkdir()", None, {"data": "system.Dataset"}))
    assert (execution.state, cluster.store.keys(f"{ROOT_URI}/data")) == ("COMPLETE", [])


def test_an_artifact_that_is_missing_only_warns_and_is_live(cluster):
    execution = cluster.run(writes("", None, {"data": "system.Dataset"}))
    assert execution.state == "COMPLETE"
    artifact = Artifact("data", "system.Dataset", f"{ROOT_URI}/data", {}, "LIVE")
    assert execution.artifacts == {"data": artifact}
    assert 'step/data" does not exist' in cluster.log


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("BOOLEAN", "True", True),
        ("BOOLEAN", "false", False),
        ("BOOLEAN", "yes", None),
        ("NUMBER_INTEGER", "3\n", 3),
        ("NUMBER_INTEGER", "3.0", None),
        ("NUMBER_INTEGER", "1e3", None),
        ("NUMBER_DOUBLE", "3", 3.0),
        ("NUMBER_DOUBLE", "nan", None),
        ("STRING", " as it is\n", " as it is\n"),
        ("LIST", "[1, null]", [1, None]),
        ("LIST", "{}", None),
        ("STRUCT", '{"a": NaN}', None),
    ],
)
def test_output_parameters_are_parsed_strictly(kind, text, value):
    if value is None:
        with pytest.raises(parsing.Refused):
            parsing.parameter(text, kind)
    else:
        found = parsing.parameter(text, kind)
        assert (found, type(found)) == (value, type(value))


def test_an_output_parameter_that_is_missing_fails_the_step_and_nothing_is_uploaded(cluster):
    execution = cluster.run(writes("OUT['data'].write_text('1')", {"count": "NUMBER_INTEGER"}, {"data": "x"}))
    assert (execution.state, execution.parameters, execution.artifacts) == ("FAILED", {}, {})
    assert 'failed to read output parameter name="count" type="NUMBER_INTEGER"' in cluster.log
    assert cluster.store.keys(f"{ROOT_URI}/data") == []


def test_objects_arrive_with_sorted_keys_and_numbers_without_an_exponent(cluster):
    code = "OUT['said'].write_text(json.dumps(sys.argv[3:]))"
    task = writes(code, {"said": "LIST"}, given={"o": {"b": 1, "a": [2.5]}, "n": 1e-07, "i": 3.0, "b": True})
    extra = [f"{{{{$.inputs.parameters['{name}']}}}}" for name in "onib"]
    task.container["args"].extend(extra)
    assert cluster.run(task).parameters == {"said": ['{"a":[2.5],"b":1}', "0.0000001", "3", "true"]}


METADATA = "f = pathlib.Path(given['outputs']['outputFile']); f.parent.mkdir(parents=True); f.write_text("


@pytest.mark.parametrize(
    "written",
    [
        '{"artifacts": {"data": {"artifacts": [{"metadata": {"auc": NaN}}]}}}',
        '{"artifacts": {"data": {"artifacts": [{"metadata": {"auc": null}}]}}}',
        '{"artifacts": {"data": {"artifacts": [{"name": "data", "checksum": "1"}]}}}',
        '{"artefacts": {}}',
    ],
)
def test_metadata_that_protobuf_does_not_take_fails_the_step(cluster, written):
    execution = cluster.run(writes(f"OUT['data'].write_text('1'); {METADATA}{written!r})", None, {"data": "x"}))
    assert (execution.state, execution.artifacts) == ("FAILED", {})
    assert cluster.store.keys(f"{ROOT_URI}/data") == []


def test_nested_nulls_pass_and_the_next_step_gets_lists_and_objects_wrapped(cluster):
    metadata = {"rows": 3, "deep": {"none": None}, "names": ["a"]}
    written = json.dumps({"artifacts": {"data": {"artifacts": [{"name": "data", "metadata": metadata}]}}})
    made = cluster.run(writes(f"OUT['data'].write_text('1'); {METADATA}{written!r})", None, {"data": "x"}))
    assert made.state == "COMPLETE", cluster.log
    code = "OUT['said'].write_text(json.dumps(given['inputs']['artifacts']['data']['artifacts'][0]['metadata']))"
    args = ["said={{$.outputs.parameters['said'].output_file}}"]
    reader = Task("next", component({"said": "STRUCT"}), container(code, *args), f"{ROOT_URI}/next", {}, made.artifacts)
    seen = cluster.run(reader)
    assert seen.parameters["said"] == {
        "rows": 3,
        "deep": {"struct": {"none": None}},
        "names": {"struct": ["a"]},
    }


@pytest.mark.parametrize(
    ("value", "state"),
    [("x" * 75_000, "COMPLETE"), ("x" * 96_000, "FAILED"), ('"' * 70_000, "FAILED"), ('"' * 60_000, "COMPLETE")],
)
def test_a_large_parameter_or_one_that_its_escapes_make_so_is_too_long_an_argument(cluster, value, state):
    execution = cluster.run(writes("", given={"module": value}))
    assert execution.state == state
    assert ("argument list too long" in cluster.log) == (state == "FAILED")


def test_a_retry_writes_to_the_same_uris_and_nothing_is_cleared(cluster):
    code = "OUT['data'].mkdir(); (OUT['data'] / given['inputs']['parameterValues']['n']).write_text('1')"
    for name in ("first", "second"):
        execution = cluster.run(writes(code, None, {"data": "x"}, given={"n": name}))
        assert execution.state == "COMPLETE", cluster.log
    assert cluster.store.keys(f"{ROOT_URI}/data") == ["first", "second"]


def test_a_step_that_fails_leaves_its_log_in_the_store_and_no_outputs(cluster):
    execution = cluster.run(writes("OUT['data'].write_text('1'); sys.exit('no data')", None, {"data": "x"}))
    assert (execution.state, execution.artifacts) == ("FAILED", {})
    assert b"no data" in cluster.store.read(f"{ROOT_URI}/executor-logs")
    assert cluster.store.keys(f"{ROOT_URI}/data") == []


def _until(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_sigterm_kills_the_launcher_which_passes_nothing_on_and_publishes_nothing(tmp_path):
    cluster = Cluster(tmp_path, Store(fsspec.filesystem("file"), str(tmp_path / "store")))
    code = "import signal; signal.signal(signal.SIGTERM, lambda *_: OUT['told'].write_text('yes'));"
    code += "OUT['alive'].write_text(str(os.getpid())); time.sleep(60)"
    attempt = cluster.attempt(writes(code, None, {"alive": "x", "told": "x"}))
    alive = local_path(attempt.pod.root, f"{ROOT_URI}/alive")
    started = LauncherProcess(attempt, tmp_path / "store", tmp_path / "mlmd")
    try:
        _until(lambda: alive.exists() and alive.read_text(encoding="utf-8"))
        child = int(alive.read_text(encoding="utf-8"))
        assert started.terminate() == -signal.SIGTERM
        os.kill(child, 0)  # it lives on, and was told nothing
        assert not alive.with_name("told").exists()
        execution = cluster.records.execution(attempt.execution)
        assert (execution.state, execution.artifacts) == ("RUNNING", {})
    finally:
        started.remove_pod()
    assert not alive.with_name("told").exists()


def test_a_launcher_that_is_a_process_publishes_as_one_that_is_not(tmp_path):
    cluster = Cluster(tmp_path, Store(fsspec.filesystem("file"), str(tmp_path / "store")))
    attempt = cluster.attempt(writes("OUT['n'].write_text('3')", {"n": "NUMBER_INTEGER"}))
    assert LauncherProcess(attempt, tmp_path / "store", tmp_path / "mlmd").wait() == 0
    execution = cluster.records.execution(attempt.execution)
    assert (execution.state, execution.parameters) == ("COMPLETE", {"n": 3})


def pipeline(inputs_of_first: dict | None = None) -> dict:
    """A compiled pipeline: `first` gives `good`; if it is true `then` runs; `last` gets the final status."""

    def task(name: str, **more) -> dict:
        return {"componentRef": {"name": f"comp-{name}"}, **more}

    def step(name: str, inputs: dict, outputs: dict, code: str) -> None:
        args = [f"{key}={{{{$.outputs.parameters['{key}'].output_file}}}}" for key in outputs]
        args += [f"{{{{$.inputs.parameters['{key}']}}}}" for key in inputs]
        components[f"comp-{name}"] = {
            "executorLabel": f"exec-{name}",
            "inputDefinitions": {"parameters": inputs},
            **component(outputs),
        }
        executors[f"exec-{name}"] = {"container": container(code, *args)}

    components: dict = {}
    executors: dict = {}
    text = {"parameterType": "STRING"}
    step("first", {"good": text}, {"valid": "BOOLEAN"}, "OUT['valid'].write_text(sys.argv[3])")
    step("then", {}, {}, "")
    step(
        "last",
        {"status": {"parameterType": "TASK_FINAL_STATUS"}},
        {"seen": "STRUCT"},
        "OUT['seen'].write_text(sys.argv[3])",
    )
    given = {"componentInputParameter": "good"}
    valid = {"taskOutputParameter": {"producerTask": "first", "outputParameterKey": "valid"}}
    components["comp-condition"] = {"dag": {"tasks": {"then": task("then")}}}
    components["comp-exit-handler"] = {
        "dag": {
            "tasks": {
                "first": task("first", inputs=inputs_of_first or {"parameters": {"good": given}}),
                "condition": task(
                    "condition",
                    dependentTasks=["first"],
                    inputs={"parameters": {"x": valid}},
                    triggerPolicy={"condition": "inputs.parameter_values['x'] == true"},
                ),
            }
        }
    }
    status = {"parameters": {"status": {"taskFinalStatus": {"producerTask": "exit-handler"}}}}
    root = {
        "exit-handler": task("exit-handler", inputs={"parameters": {"good": given}}),
        "last": task(
            "last",
            dependentTasks=["exit-handler"],
            inputs=status,
            triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
        ),
    }
    return {
        "pipelineInfo": {"name": "p"},
        "root": {"dag": {"tasks": root}},
        "components": components,
        "deploymentSpec": {"executors": executors},
    }


@pytest.mark.parametrize(
    ("good", "state"), [("true", "COMPLETE"), ("false", "RUNNING"), ("nonsense", "FAILED"), (None, "RUNNING")]
)
def test_the_final_status_is_mlmd_s_with_an_empty_error(tmp_path, good, state):
    spec = pipeline({"parameters": {}} if good is None else None)
    store = Store(fsspec.filesystem("file"), str(tmp_path / "store"))
    walk = Walk(spec, tmp_path / "pods", store, Records(tmp_path / "mlmd"), lambda image: ENV)
    run = walk.run({"good": good or ""})
    assert run.executions["last"].parameters["seen"] == {
        "state": state,
        "error": {},
        "pipelineJobResourceName": "run-1",
        "pipelineTaskName": "exit-handler",
    }
    assert ("then" in run.executions) == (good == "true")
    assert run.executions["exit-handler"].state == state
    assert final_status(run.executions["exit-handler"], "run-1")["state"] == state


def test_a_defaulted_input_that_is_left_out_stops_the_driver_of_2_17_0_and_not_the_mended_one(tmp_path):
    spec = pipeline({"parameters": {}})
    spec["components"]["comp-first"]["inputDefinitions"]["parameters"]["good"]["defaultValue"] = "true"
    store = Store(fsspec.filesystem("file"), str(tmp_path / "store"))
    stock = Walk(spec, tmp_path / "stock", store, Records(tmp_path / "mlmd"), lambda image: ENV)
    run = stock.run({"good": ""})
    assert list(run.refused) == ["first"]
    assert "failed to resolve container args: " in run.refused["first"]
    assert 'parameter "good" not found in executor input' in run.refused["first"]
    mended = Walk(spec, tmp_path / "mended", store, Records(tmp_path / "mlmd"), lambda image: ENV, mended=True)
    assert mended.run({"good": ""}).executions["then"].state == "COMPLETE"
