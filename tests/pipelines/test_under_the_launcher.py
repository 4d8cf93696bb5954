"""Every component under a stand-in for KFP's launcher, in a run of chicago_taxi on little data.

Which components there are is found from the tree: a new one has to be in the pipeline, or to get a run here.
"""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import fsspec
import pytest
import yaml
from checkout import ROOT
from servers.launcher import Execution, Records, Run, Store, Walk
from whole_runs import SETUP

from pipeyard import compiling
from pipeyard.local import runner
from pipeyard.project import Project

COMPONENTS = sorted(path.parent.name for path in ROOT.glob("components/*/component.yaml"))
ROWS = 3000
KINDS = {"boolean": bool, "number_integer": int, "number_double": float, "string": str, "list": list, "struct": dict}


@dataclass
class Ran:
    """A run under the launcher."""

    walk: Walk
    run: Run
    folder: Path

    def task(self, component: str) -> str:
        return next(name for name, task in self.run.tasks.items() if component in task.container["command"])

    def execution(self, component: str) -> Execution:
        return self.run.executions[self.task(component)]

    def log(self, component: str, attempt: str = "1") -> str:
        return (self.folder / f"pods/{self.task(component)}-{attempt}/var/log/main.log").read_text(encoding="utf-8")


def _walk(project: Path, folder: Path) -> Walk:
    hosts = runner.project_hosts(Project(project))
    (spec, *_) = yaml.safe_load_all(compiling.compile_pipeline(project / "pipelines/chicago_taxi", {}).text)
    store = Store(fsspec.filesystem("file"), str(folder / "store"))
    return Walk(spec, folder / "pods", store, Records(folder / "mlmd"), lambda image: hosts(image).env, mended=True)


def _parameters(project: Path, folder: Path) -> dict[str, object]:
    with (project / "pipelines/chicago_taxi/data/data.csv").open(encoding="utf-8") as whole:
        rows = [line for _, line in zip(range(ROWS + 1), whole, strict=False)]
    (folder / "data.csv").write_text("".join(rows), encoding="utf-8")
    return {
        "source": str(folder / "data.csv"),
        "serving_uri": str(folder / "serving"),
        "registry_uri": f"sqlite:///{folder}/registry.db",
        "epochs": 1,
        "thresholds": {},
    }


@pytest.fixture(scope="module")
def ran(project, tmp_path_factory) -> Ran:
    folder = tmp_path_factory.mktemp("launcher")
    walk = _walk(project, folder)
    return Ran(walk, walk.run(_parameters(project, folder)), folder)


@pytest.fixture(scope="module")
def retried(ran) -> dict[str, tuple[Execution, Store]]:
    """Another attempt of every task, to the same URIs in a store as the first attempts left it."""

    def again(name: str) -> tuple[Execution, Store]:
        base = ran.folder / f"store-of-{name}"
        shutil.copytree(ran.folder / "store", base)
        store = Store(fsspec.filesystem("file"), str(base))
        return ran.walk.again(ran.run.tasks[name], store)[0], store

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(ran.run.tasks, pool.map(again, ran.run.tasks), strict=True))


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_completes_and_all_its_outputs_arrive(ran, component):
    execution = ran.execution(component)
    assert execution.state == "COMPLETE", ran.log(component)
    outputs = ran.run.tasks[execution.task].component["outputDefinitions"]
    for name, declared in outputs.get("parameters", {}).items():
        assert isinstance(execution.parameters[name], KINDS[declared["parameterType"].lower()])
    for name in outputs.get("artifacts", {}):
        assert ran.walk.store.keys(execution.artifacts[name].uri), f"{name} is empty"
    assert "does not exist" not in ran.log(component)
