"""One file with lightweight components beside components of ours: it runs here, and compiles for both servers."""

import json
import shutil

import pytest

from pipeyard.packages import archives, builds
from pipeyard.repository.project import Project

PIPELINE = '''
"""Counts rides, and judges them, in functions beside three of the project's components."""

from pathlib import Path
from typing import NamedTuple

from kfp import dsl

from pipeyard.component_store import ComponentStore

store = ComponentStore(local_search_paths=[Path(__file__).parents[2] / "components"])
components = store.load_components("extract", "data_validation", "summarize")


@dsl.component(base_image="python:3.11")
def count(rows: int, counted: dsl.Output[dsl.Metrics]) -> NamedTuple("Counted", [("twice", int), ("enough", bool)]):
    from collections import namedtuple

    counted.log_metric("rows", rows)
    return namedtuple("Counted", ["twice", "enough"])(2 * rows, rows > 10)


@dsl.component(base_image="python:3.11")
def judge(schema: dsl.Input[dsl.Artifact], examples: dsl.Input[dsl.Dataset], twice: int, valid: bool) -> dict:
    from pathlib import Path

    files = sorted(path.name for path in Path(examples.path).iterdir())
    return {"schema": "fare" in Path(schema.path).read_text(), "files": files, "twice": twice, "valid": valid}


@dsl.pipeline(name="beside")
def beside(source: str):
    summary = components.summarize(pipeline="beside", run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    with dsl.ExitHandler(summary):
        extracted = components.extract(source=source)
        counted = count(rows=extracted.outputs["row_count"])
        with dsl.If(counted.outputs["enough"] == True):
            checked = components.data_validation(examples=extracted.outputs["examples"])
            judge(
                schema=checked.outputs["schema"],
                examples=extracted.outputs["examples"],
                twice=counted.outputs["twice"],
                valid=checked.outputs["valid"],
            )
'''


@pytest.fixture(scope="module")
def folder(project):
    made = project / "pipelines/beside"
    made.mkdir()
    (made / "pipeline.py").write_text(PIPELINE)
    yield made
    shutil.rmtree(made)


def test_functions_and_components_of_ours_run_here_as_one_pipeline(folder, pipeyard_run, tmp_path):
    source = tmp_path / "rides.csv"
    source.write_text("fare,kind\n" + "".join(f"{number / 4},{'ab'[number % 2]}\n" for number in range(200)))
    ran = pipeyard_run("beside", source=str(source))
    assert ran.code == 0, ran.text
    tasks = {task.name: task for task in ran.run.tasks}
    assert tasks["count"].output_parameters == {"twice": 400, "enough": True}
    assert tasks["count"].output_artifacts["counted"].metadata == {"rows": 200}
    told = tasks["judge"].output_parameters["Output"]
    assert (told["schema"], told["twice"], told["valid"]) == (True, 400, True)
    assert tasks["summarize"].output_parameters == {"outcome": "not deployed"}


def test_the_same_file_compiles_for_kubeflow_and_vertex_without_a_warning(folder, project):
    found = Project(project)
    contents, warnings = builds.package(found, "beside", builds.committed(found))
    assert not [each for each in warnings if "can't run" in each or "python:3.11" in each]
    executors = json.loads(contents[archives.VERTEX])["deploymentSpec"]["executors"]
    assert executors["exec-judge"]["container"]["image"] == "python:3.11"
    assert "kfp.dsl.executor_main" in str(contents[archives.PIPELINE])
