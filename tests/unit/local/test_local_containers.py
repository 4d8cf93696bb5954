"""What a step's container may touch, as whom, and how its end is read; no engine needed."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest

from pipeyard.errors import PipeyardError
from pipeyard.local import engine, sandbox
from pipeyard.local.containers import _hand_over, arguments_of, image_hosts
from pipeyard.local.launcher import Launch
from pipeyard.local.resources import ResourceLimits, limits_of
from pipeyard.local.sandbox import Bind, User
from pipeyard.local.steps import host_of
from pipeyard.repository.project import Project


def _launch(folder, **fields):
    given = {"task": "train", "number": 1, "component": "train", "image": "r.example/train@sha256:0", "env": {}}
    outputs = folder / "outputs"
    outputs.mkdir(exist_ok=True)
    return Launch(**given | {"command": ["python", "-m", "train"], "log": folder / "log", "outputs": outputs} | fields)


def test_a_container_sees_its_inputs_its_outputs_and_what_its_component_declares(tmp_path):
    (tmp_path / "data.csv").touch()
    (tmp_path / "serving").mkdir()
    launch = _launch(
        tmp_path,
        reads=[str(tmp_path / "data.csv"), f"file://{tmp_path}/serving", "gs://bucket/x", str(tmp_path / "absent")],
        writes=[str(tmp_path / "serving"), "s3://bucket/y"],
    )
    assert sandbox.binds(launch) == [
        Bind(str(tmp_path / "data.csv")),
        Bind(str(tmp_path / "outputs"), True),
        Bind(str(tmp_path / "serving"), True),
    ]


def test_a_function_s_packages_have_a_place_that_its_container_can_write_to(tmp_path):
    docker = mock.Mock(spec=engine.Engine)
    docker.image_id.return_value = "sha256:0"
    hosts = image_hosts(Project(tmp_path), {}, docker, print)
    function = {"image": "python:3.11", "command": ["sh", "-ec", "python3 -m kfp.dsl.executor_main"]}
    assert host_of(hosts, function).env == {"HOME": "/tmp"}
    assert host_of(hosts, {"image": "python:3.11", "command": ["python3", "-c", ""]}).env == {}


def test_of_a_glob_a_container_sees_the_folder_and_of_a_database_what_lies_beside_it(tmp_path):
    for name in ("parts", "registry"):
        (tmp_path / name).mkdir()
    launch = _launch(
        tmp_path, reads=[f"{tmp_path}/parts/*/part-?.csv", f"sqlite:///{tmp_path}/registry/models.db?mode=ro"]
    )
    assert sandbox.binds(launch)[1:] == [Bind(str(tmp_path / "parts")), Bind(str(tmp_path / "registry"))]
    launch = _launch(tmp_path, writes=[f"sqlite:///{tmp_path}/registry/models.db"])
    assert Bind(str(tmp_path / "registry"), True) in sandbox.binds(launch)


@pytest.mark.parametrize("name", ["scores", "scores.parquet"])
def test_what_a_step_makes_anew_is_not_there_beforehand_and_written_in_the_folder_around(tmp_path, name):
    launch = _launch(tmp_path, creates=[f"{tmp_path}/made/{name}", "bigquery://p/d/t"])
    assert Bind(f"{tmp_path}/made", True) in sandbox.binds(launch)
    _hand_over(launch.outputs, sandbox.write_folders(launch), User("0:0", os.geteuid()))
    assert list((tmp_path / "made").iterdir()) == []


def test_what_is_written_may_lie_in_what_is_read_but_not_the_other_way_round(tmp_path):
    (tmp_path / "base" / "model").mkdir(parents=True)
    inner = _launch(tmp_path, reads=[str(tmp_path / "base")], writes=[str(tmp_path / "base" / "model")])
    assert sandbox.binds(inner)[:2] == [Bind(f"{tmp_path}/base"), Bind(f"{tmp_path}/base/model", True)]
    outer = _launch(tmp_path, reads=[str(tmp_path / "base" / "model")], writes=[str(tmp_path / "base")])
    assert sandbox.binds(outer)[:1] == [Bind(f"{tmp_path}/base", True)]
    assert len(sandbox.binds(outer)) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reads": ["data.csv"]}, "'data.csv' is a relative path"),
        ({"writes": ["sqlite:///models.db"]}, "'models.db' is a relative path"),
        ({"writes": ["sqlite:////models.db"]}, "would be written in /, which no container gets"),
        ({"creates": ["/scores"]}, "would be written in /, which no container gets"),
        ({"writes": ["sqlite:////tmp/models.db"]}, "lies in /tmp itself, where a container has a folder of its own"),
        ({"reads": ["/tmp/*.csv"]}, "lies in /tmp itself, where a container has a folder of its own"),
    ],
)
def test_places_that_a_container_can_t_have_are_refused(tmp_path, fields, message):
    with pytest.raises(PipeyardError, match=message):
        sandbox.binds(_launch(tmp_path, **fields))


@pytest.mark.parametrize(
    ("invoker", "image_user", "owners", "rootless", "expected"),
    [
        ((1000, 100), "65532", [], False, User("1000:100", 1000)),
        ((1000, 100), "65532", [], True, User("0:0", 1000)),
        ((0, 0), "65532", [], False, User("65532", 65532)),
        ((0, 0), "65532:7", [(65532, 7)], False, User("65532:7", 65532)),
        ((0, 0), "65532", [(65532, 0), (1001, 50)], False, User("1001:50", 1001)),
        ((0, 0), "65532", [(0, 0)], False, User("0:0", 0)),
        ((0, 0), "nobody", [], False, User("0:0", 0)),
        ((0, 0), "", [], False, User("0:0", 0)),
    ],
)
def test_a_container_runs_as_one_who_can_write_where_it_must(invoker, image_user, owners, rootless, expected):
    assert sandbox.user_of(invoker, image_user, owners, rootless) == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, ResourceLimits()),
        ({"resourceMemoryLimit": "512Mi", "resourceCpuLimit": "500m"}, ResourceLimits(512 << 20, 0.5)),
        ({"resourceMemoryLimit": "4G", "resourceCpuLimit": "2"}, ResourceLimits(4_000_000_000, 2)),
        ({"resourceMemoryLimit": "1.5Gi", "resourceCpuLimit": "64"}, ResourceLimits(3 << 29, 8)),
        ({"memoryLimit": "0.5", "cpuLimit": "1.5"}, ResourceLimits(500_000_000, 1.5)),
        ({"memoryLimit": "0.5", "resourceMemoryLimit": "700M"}, ResourceLimits(700_000_000)),
    ],
)
def test_limits(resources, expected):
    assert limits_of(resources, cores=8) == expected


@pytest.mark.parametrize("text", ["4 GB", "Gi", "-1", "1e3", "1mi", "{{x}}"])
def test_a_limit_that_is_no_quantity_is_refused(text):
    with pytest.raises(PipeyardError, match="is no quantity"):
        limits_of({"resourceMemoryLimit": text}, cores=8)


def test_arguments_of_a_container(tmp_path):
    launch = _launch(tmp_path, env={"A": "1"})
    binds = [Bind("/data/in"), Bind("/data/out", True)]
    given = arguments_of(
        launch, binds, ResourceLimits(1 << 30, 0.5), User("65532", 65532), "host", {"run": "r"}, "r-train-1"
    )
    assert (given["entrypoint"], given["command"]) == (["python"], ["-m", "train"])
    assert (given["user"], given["read_only"], given["cap_drop"]) == ("65532", True, ["ALL"])
    assert "no-new-privileges" in given["security_opt"]
    assert (given["mem_limit"], given["memswap_limit"], given["nano_cpus"]) == (1 << 30, 1 << 30, 500_000_000)
    assert (given["network_mode"], given["environment"], given["name"]) == ("host", {"A": "1"}, "r-train-1")
    assert [(each["Source"], each["Target"], each["ReadOnly"]) for each in given["mounts"]] == [
        ("/data/in", "/data/in", True),
        ("/data/out", "/data/out", False),
    ]
    assert not {"auto_remove", "detach"} & set(given)  # it must be there until it has told how it ended


def test_without_limits_or_a_network_the_engine_decides(tmp_path):
    given = arguments_of(_launch(tmp_path), [], ResourceLimits(), User("0:0", 0), "", {}, "n", remapped=True)
    assert not {"mem_limit", "nano_cpus", "network_mode"} & set(given)
    assert given["userns_mode"] == "host"


@pytest.mark.parametrize(
    ("answer", "state", "stopped", "text"),
    [
        ({"StatusCode": 3, "Error": None}, {}, "", "exit code 3"),
        ({"StatusCode": 137}, {"OOMKilled": True}, "", "out of memory"),
        ({"StatusCode": 139}, {}, "", "exit code 139 (SIGSEGV)"),
        ({"StatusCode": 127}, {"Error": "no such file"}, "", "exit code 127 (no such file)"),
        ({"StatusCode": 3, "Error": {"Message": "lost it"}}, {}, "", "exit code 3 (lost it)"),
        ({"StatusCode": 137}, {"OOMKilled": False}, "timed out after 1 s", "timed out after 1 s"),
        ({"StatusCode": 255}, {}, "", "exit code 255"),
    ],
)
def test_how_a_container_ended(answer, state, stopped, text):
    ended = engine.how_it_ended(answer, state, stopped)
    assert (ended.code, ended.stopped) == (answer["StatusCode"], stopped)
    assert ended.text.startswith(text)


def test_a_container_whose_child_ran_out_of_memory_and_that_ended_well_succeeded():
    ended = engine.how_it_ended({"StatusCode": 0}, {"OOMKilled": True})
    assert (ended.code, ended.stopped, ended.cause) == (0, "", "")


def test_a_killed_container_that_doesn_t_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "GRACE_SECONDS", 0)
    monkeypatch.setattr(engine, "_END_SECONDS", 0.2)
    container, client = mock.Mock(), mock.Mock()
    container.name = "stuck"
    released = threading.Event()
    container.wait.side_effect = lambda timeout: released.wait()
    container.logs.return_value = iter(())
    client.info.return_value = {}
    client.containers.create.return_value = container
    try:
        with pytest.raises(
            PipeyardError, match=r"stuck was killed \(canceled\), but the container engine doesn't end it"
        ):
            engine.Engine(client).run({}, tmp_path / "log", lambda: True, lambda: False, None, lambda: None)
    finally:
        released.set()
    assert [call.kwargs["signal"] for call in container.kill.call_args_list] == ["SIGTERM", "SIGKILL"]
    container.remove.assert_called_once()


def test_without_an_engine_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    with pytest.raises(PipeyardError, match="No container engine answers: .* Start Docker, or name it in "):
        engine.connect()


def test_options_of_containers_are_wrong_usage_without_them():
    command = [str(Path(sys.executable).with_name("pipeyard")), "run", "chicago_taxi", "--network=host"]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "need --runner docker" in done.stderr
