"""Every component that a pipeline loads, under a stand-in for KFP's launcher, in runs of chicago_taxi and by trees."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml
from servers.launcher import Artifact, Execution, Launch, Records, Run, Store, Walk
from support.checkout import ROOT

from pipeyard.compiling import compiler
from pipeyard.local import runner
from pipeyard.repository import dependency_graph
from pipeyard.repository.project import Project

# One that no pipeline loads, as `pipeyard new component` leaves it, need be told to nothing.
COMPONENTS = sorted(
    set().union(
        *(
            dependency_graph.loaded_components(folder / "pipeline.py", Project(ROOT).components)
            for folder in Project(ROOT).pipelines.values()
        )
    )
)
ROWS = 3000
KINDS = {"BOOLEAN": bool, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "STRING": str, "LIST": list, "STRUCT": dict}


@dataclass
class Ran:
    """A run under the launcher."""

    walk: Walk
    run: Run
    folder: Path

    def task(self, component: str) -> str:
        found = self.tasks(component)
        assert found, (
            f"no task of {self.walk.spec['pipelineInfo']['name']} runs {component}: add it there, or run it here"
        )
        return found[0]

    def tasks(self, component: str) -> list[str]:
        return [name for name, task in self.run.tasks.items() if component in task.container["command"]]

    def execution(self, component: str) -> Execution:
        return self.run.executions[self.task(component)]

    def log(self, component: str, attempt: str = "1") -> str:
        return (self.folder / f"pods/{self.task(component)}-{attempt}/var/log/main.log").read_text(encoding="utf-8")


def _walk(project: Path, folder: Path) -> Walk:
    hosts = runner.project_hosts(Project(project))
    store = Store(fsspec.filesystem("file"), str(folder / "store"))
    spec = _spec(project, "chicago_taxi")
    return Walk(spec, folder / "pods", store, Records(folder / "mlmd"), lambda image: hosts(image).env)


def _spec(project: Path, pipeline: str) -> dict[str, Any]:
    (spec, *_) = yaml.safe_load_all(compiler.compile_pipeline(project / "pipelines" / pipeline, {}).text)
    return spec


def _parameters(project: Path, folder: Path) -> dict[str, object]:
    with (project / "pipelines/chicago_taxi/data/data.csv").open(encoding="utf-8") as whole:
        rows = [line for _, line in zip(range(ROWS + 1), whole, strict=False)]
    (folder / "data.csv").write_text("".join(rows), encoding="utf-8")
    return {
        "source": str(folder / "data.csv"),
        "serving_uri": str(folder / "serving"),
        "registry_uri": f"sqlite:///{folder}/registry.db",
        "thresholds": {},
    }


@pytest.fixture(scope="module")
def ran(project, tmp_path_factory) -> Ran:
    folder = tmp_path_factory.mktemp("launcher")
    walk = _walk(project, folder)
    return Ran(walk, walk.run({**_parameters(project, folder), "epochs": 1}), folder)


@pytest.fixture(scope="module")
def by_trees(ran, project, tmp_path_factory) -> Ran:
    """A run of chicago_taxi_trees in the same store; the data are those of the first run."""
    folder = tmp_path_factory.mktemp("trees")
    same = {name: ran.run.executions[name] for name in ("extract", "data-validation")}
    walk = replace(
        ran.walk, spec=_spec(project, "chicago_taxi_trees"), folder=folder / "pods", run_id="run-3", cached=same
    )
    return Ran(walk, walk.run(_parameters(project, folder)), folder)


@pytest.fixture(scope="module")
def later(ran) -> Iterator[dict[str, Future]]:
    """What happens after the run, both at a time."""
    with ThreadPoolExecutor(2) as pool:
        yield {"train": pool.submit(_train_again, ran), "beam": pool.submit(_validate_what_attempts_left, ran)}


def _train_again(ran: Ran) -> tuple[dict, tuple[Execution, Launch], dict]:
    """Returns the keys of train's objects, another attempt, and the keys afterwards."""

    def keys() -> dict[str, list[str]]:
        return {name: ran.walk.store.keys(each.uri) for name, each in ran.execution("train").artifacts.items()}

    before = keys()
    return before, ran.walk.again(ran.run.tasks["train"], ran.walk.store), keys()


def _validate_what_attempts_left(ran: Ran) -> tuple[Artifact, tuple[Execution, Launch]]:
    """Extracts twice to the same URI, the second time to fewer files, so that the last ones of the first time stay.

    Returns:
        The examples of the second attempt, and how data_validation on Beam did with them.
    """
    extract, validate = (ran.run.tasks[name] for name in ("extract", "data-validation"))
    base = f"{ran.walk.pipeline_root}/retried"
    for rows, attempt in ((500, "many"), (100_000, "few")):
        task = replace(extract, output_root=base, parameters={**extract.parameters, "rows_per_shard": rows})
        execution, _ = ran.walk.again(task, ran.walk.store, attempt)
    examples = execution.artifacts["examples"]
    beam_args = {**validate.parameters, "beam_args": ["--runner=FnApiRunner"]}
    on_beam = replace(validate, output_root=f"{base}/valid", parameters=beam_args, artifacts={"examples": examples})
    return examples, ran.walk.again(on_beam, ran.walk.store, "on-beam")


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_completes_and_all_its_outputs_arrive(ran, request, component):
    if not ran.tasks(component):
        ran = request.getfixturevalue("by_trees")
    execution = ran.execution(component)
    assert execution.state == "COMPLETE", ran.log(component)
    outputs = ran.run.tasks[execution.task].component["outputDefinitions"]
    for name, declared in outputs.get("parameters", {}).items():
        assert isinstance(execution.parameters[name], KINDS[declared["parameterType"]])
    for name in outputs.get("artifacts", {}):
        assert ran.walk.store.keys(execution.artifacts[name].uri), f"{name} is empty"
    assert "does not exist" not in ran.log(component)


def test_the_exit_handler_s_task_reads_mlmd_s_state(ran):
    assert ran.run.tasks["summarize"].parameters["status"]["state"] == "COMPLETE"
    execution = ran.execution("summarize")
    assert execution.parameters["outcome"] == "deployed"
    assert "| State | SUCCEEDED |" in ran.walk.store.read(execution.artifacts["summary"].uri).decode()


@pytest.mark.parametrize(("run_id", "outcome"), [("run-1", "deployed"), ("run-2", "not deployed")])
def test_a_state_that_is_not_told_is_settled_from_what_the_run_deployed(ran, run_id, outcome):
    task = ran.run.tasks["summarize"]
    status = {**task.parameters["status"], "state": "RUNNING"}
    untold = replace(task, parameters={**task.parameters, "status": status, "run_id": run_id})
    execution, _ = ran.walk.again(untold, ran.walk.store, f"of-{run_id}")
    assert execution.parameters == {"outcome": outcome}
    assert "not told (the backend said RUNNING)" in ran.walk.store.read(execution.artifacts["summary"].uri).decode()


def test_a_retry_of_train_leaves_what_one_attempt_does(ran, later):
    before, (execution, launched), after = later["train"].result()
    assert execution.state == "COMPLETE", launched.log.read_text(encoding="utf-8")
    assert after == before
    assert len(before["tensorboard_logs"]) == 2


def test_files_that_an_earlier_attempt_left_are_not_read_and_beam_reads_the_local_copy(ran, later):
    examples, (found, launched) = later["beam"].result()
    assert "train/part-00003.parquet" in ran.walk.store.keys(examples.uri)
    assert found.state == "COMPLETE", launched.log.read_text(encoding="utf-8")
    assert found.artifacts["statistics"].metadata["rows"] == examples.metadata["splits"]
    assert sum(examples.metadata["splits"].values()) == ROWS
