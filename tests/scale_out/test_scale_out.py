"""data_validation, transform, evaluate and batch_predict compute the same on an engine as on one machine."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from job_server import worker_pool
from steps import Step, environment, read

# Of data_validation with slices (`computing.SLICED_ROWS`): a split with more is several.
MOST_CHUNK_ROWS = 1 << 18


def same(mine: Any, theirs: Any, tolerance: float, where: str = "") -> None:
    """Asserts that two JSON values are equal, numbers within a relative tolerance."""
    if isinstance(theirs, dict):
        assert isinstance(mine, dict), where
        assert mine.keys() == theirs.keys(), where
        for key, value in theirs.items():
            same(mine[key], value, tolerance, f"{where}/{key}")
    elif isinstance(theirs, list):
        assert isinstance(mine, list), where
        assert len(mine) == len(theirs), where
        for number, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            same(one, other, tolerance, f"{where}/{number}")
    elif isinstance(theirs, float):
        assert math.isclose(mine, theirs, rel_tol=tolerance, abs_tol=1e-9), f"{where}: {mine} is not {theirs}"
    else:
        assert mine == theirs, where


def repeated(examples: Path, folder: Path, times: int) -> Path:
    """Returns a copy of examples that has each file `times` times."""
    shutil.copytree(examples, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for split in manifest["splits"].values():
        split.update({"files": split["files"] * times, "rows": split["rows"] * times, "bytes": split["bytes"] * times})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def without_quantiles(datasets: Any) -> Any:
    """Leaves out what TFDV sketches, which depends on the order of merging: medians and histograms of numbers."""
    for dataset in datasets.values():
        for feature in dataset["features"]:
            for common in ("numStats", "stringStats", "bytesStats"):
                feature.get(common, {}).get("commonStats", {}).pop("numValuesHistogram", None)
            for name in ("median", "histograms"):
                feature.get("numStats", {}).pop(name, None)
    return datasets


def assert_same_statistics(mine, theirs):
    found, expected = read("read_statistics", [mine, theirs], "statistics")
    assert {"train", "eval", "train/payment_type_Cash"} <= expected.keys()
    same(found, expected, 1e-6)
    assert mine.outputs["schema"].read_text() == theirs.outputs["schema"].read_text()


def assert_same_transformed(mine, theirs):
    found, expected = read("read_transformed", [mine, theirs], "transform_graph", "transformed_examples")
    assert "Cash" in expected["vocabularies"]["payment_type"]
    assert sum(len(rows["fare"]) for rows in expected["rows"].values()) == 15002
    assert len(expected["rows"]) == 7
    same(found, expected, 1e-5)  # float32


def assert_same_evaluation(mine, theirs):
    found, expected = read("read_evaluation", [mine, theirs], "evaluation")
    assert len(expected["metrics"]) > 10
    assert '"auc"' in str(expected["metrics"]["[]"])
    same(found, expected, 1e-4)


ASSERTIONS = {
    "data_validation": assert_same_statistics,
    "transform": assert_same_transformed,
    "evaluate": assert_same_evaluation,
}


def assert_same(component, mine, theirs):
    assert mine.values == theirs.values
    ASSERTIONS[component](mine, theirs)


def test_beam_args_of_settings_bring_a_whole_pipeline_to_flink(run_on_flink, flink):
    assert run_on_flink.state == "SUCCEEDED"
    assert run_on_flink.parameters["beam_args"] == flink.beam_args
    assert sorted(flink.jobs()) == ["data_validation", "evaluate", "transform"]
    values = {name: value for task in run_on_flink.tasks for name, value in task.output_parameters.items()}
    assert values["outcome"] == "deployed"


@pytest.mark.parametrize("component", ASSERTIONS)
def test_flink_gives_what_one_machine_gives(component, on_flink, here):
    assert_same(component, on_flink[component], here(component))


def test_flink_merges_the_chunks_of_a_split_as_one_machine_does(on_flink, flink, tmp_path):
    """The sample is one chunk a split; all of it thirty times over is more."""
    step = on_flink["data_validation"].with_input(
        "examples", repeated(on_flink["data_validation"].inputs["examples"], tmp_path / "examples", 30)
    )
    there, here = (
        step.again(tmp_path / name, beam_args=args) for name, args in (("there", flink.beam_args), ("here", []))
    )
    found, expected = (without_quantiles(each) for each in read("read_statistics", [there, here], "statistics"))
    assert int(expected["train"]["numExamples"]) > MOST_CHUNK_ROWS
    same(found, expected, 1e-6)
    assert there.outputs["schema"].read_text() == here.outputs["schema"].read_text()


def test_workers_that_share_nothing_with_the_step_give_the_same(again, here, flink, tmp_path):
    """As on a cluster: they are other processes, are sent the pipeline's module, and meet the step at temp_location."""
    with worker_pool(*environment("transform"), tmp_path) as where:
        there = again("transform", [*flink.beam_args, *where])
    assert_same("transform", there, here("transform"))
    assert "Starting worker" in (tmp_path / "workers.log").read_text()


def test_flink_scores_files_as_one_machine_does(on_flink, flink, tmp_path):
    inputs = {name: on_flink["evaluate"].inputs[name] for name in ("examples", "model")}
    step = Step("batch_predict", {"columns": ["company"]}, inputs, {}, {"row_count": ""})
    there, here = (
        step.again(tmp_path / name, beam_args=args) for name, args in (("there", flink.beam_args), ("here", []))
    )
    assert there.values == here.values == {"row_count": "15002"}
    found, expected = (
        json.loads((each.outputs["predictions"] / "manifest.json").read_text()) for each in (there, here)
    )
    assert len(expected["files"]) > 3
    assert [column["name"] for column in expected["columns"]] == ["company", "probability", "class", "threshold"]
    assert found == expected  # with the sha256 of each file
    assert "batch_predict" in flink.jobs()


@pytest.mark.parametrize("component", ["data_validation", "evaluate"])
def test_spark_gives_what_one_machine_gives(component, again, here, spark):
    assert_same(component, again(component, spark.beam_args), here(component))
    assert component in spark.jobs()
