"""A release used by another team: loaded by digest in their folder, run by kfp's Docker runner and by Kubeflow."""

import functools
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import kfp
import pytest
from projects import PIPEYARD
from servers.kubeflow import KubeflowServer
from servers.kubeflow.execution import LocalRunner

from pipeyard.local import containers
from pipeyard.local.engine import Engine
from pipeyard.repository.project import Project
from pipeyard.runs import record

_SPEC = """\
name: hello
inputs:
- {name: name, type: String}
outputs:
- {name: greeting, type: String}
implementation:
  container:
    image: tiny/hello:dev
    command: [python, -m, hello]
    args: [{inputValue: name}, {outputPath: greeting}]
"""
_PROGRAM = """\
import pathlib, sys

out = pathlib.Path(sys.argv[2])
out.parent.mkdir(parents=True, exist_ok=True)  # kfp's runner doesn't
out.write_text(f"Hello {sys.argv[1]}!")
"""
# Theirs: they have the client, and nothing of the toolchain. The image's own user couldn't write below `root`.
_PIPELINE = """\
import os, sys

sys.modules["pipeyard"] = None
from kfp import compiler, dsl, local
from pipeyard_components import ComponentStore

store, digest, root = sys.argv[1:]
hello = ComponentStore(local_search_paths=[store]).load_component("hello", digest=digest)


@dsl.pipeline(name="elsewhere")
def elsewhere(name: str = "world") -> str:
    first = hello(name=name)
    return hello(name=first.outputs["greeting"]).outputs["greeting"]


compiler.Compiler().compile(elsewhere, "elsewhere.yaml")
local.init(runner=local.DockerRunner(user=str(os.getuid()), network_mode="none"), pipeline_root=root)
print(elsewhere(name="you").output)
"""


@pytest.fixture(name="elsewhere")
def fixture_elsewhere(make_project, tmp_path) -> Path:
    """A folder in which a pipeline of a released component was compiled, and run by kfp."""
    made = make_project()
    made.commit({"components/hello/component.yaml": _SPEC, "components/hello/src/hello/__main__.py": _PROGRAM})
    built = made.build()
    assert built.code == 0, built.said
    store, folder = tmp_path / "store", tmp_path / "elsewhere"
    _run([PIPEYARD, "release", store, f"--project={made.folder}"], made.folder, made.variables)
    (version,) = (store / "hello/versions/sha256").iterdir()
    folder.mkdir()
    (folder / "pipeline.py").write_text(_PIPELINE, encoding="utf-8")
    said = _run([sys.executable, "pipeline.py", store, version.name, tmp_path / "root"], folder, made.variables)
    assert said.splitlines()[-1] == "Hello Hello you!!"
    return folder


def _run(command: list[object], folder: Path, variables: Mapping[str, str]) -> str:
    done = subprocess.run(
        [str(each) for each in command], cwd=folder, env=dict(variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def test_it_runs_by_kfp_s_docker_runner_and_on_kubeflow(elsewhere, engine, tmp_path, monkeypatch):
    docker = Engine(engine.client)
    hosts = containers.image_hosts(Project(elsewhere), {}, docker, print)
    launchers = functools.partial(containers.Containers, docker, "none")
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with KubeflowServer(execute=LocalRunner(tmp_path / "runs", hosts, launchers=launchers)) as server:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of Python's own age, which kfp tells everybody
            client = kfp.Client(host=server.url)
        package = str(elsewhere / "elsewhere.yaml")
        started = client.create_run_from_pipeline_package(package, {"name": "them"}, enable_caching=False)
        ended = client.wait_for_run_completion(started.run_id, timeout=120, sleep_duration=0.2)
    assert ended.state == "SUCCEEDED", ended
    (folder,) = (tmp_path / "runs").glob("elsewhere-*")
    told = [task.output_parameters["greeting"] for task in record.load(folder).tasks]
    assert told == ["Hello them!", "Hello Hello them!!"]
