"""Every bad input ends with exit code 1 (2 for usage), says what is wrong and what to do, and writes nothing."""

import json
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from conftest import Step, make_table, write_examples, write_model
from evaluate.aggregate import Aggregator

from stepkit import registry


@pytest.fixture(name="table")
def fixture_table():
    return make_table()


def replaced(table, column, values):
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values))


@pytest.mark.parametrize("kind", ["nan_label", "inf_label"])
def test_label_that_is_not_finite(failing, tmp_path, kind):
    message = failing(model=write_model(tmp_path / "m", kind=kind))
    expected = int(np.sum(np.array(make_table()["x"]) > 1.5))
    assert f"Label 'label' is NaN or infinite in {expected} of the 570 rows of split 'eval'" in message
    assert "--where" in message


def test_label_that_is_no_class(failing, tmp_path):
    message = failing(model=write_model(tmp_path / "m", kind="class_3"))
    assert "Label 'label' is 3 in some rows; binary classification needs 0 or 1" in message


def test_labels_of_one_class(failing, tmp_path, table):
    examples = write_examples(tmp_path / "examples", replaced(table, "target", np.zeros(len(table))))
    assert "Label 'label' is 0 in all 570 rows of split 'eval': a model can't be judged on one class" in failing(
        examples=examples
    )


def test_unknown_label(failing):
    message = failing(label_key="labl")
    assert "have no label 'labl' (--label-key). Did you mean 'label'? There are: 'label', 'x_scaled'." in message


def test_empty_split(failing, tmp_path, table):
    examples = write_examples(tmp_path / "examples", table.slice(0, 0))
    message = failing(examples=examples)
    assert f"Split 'eval' of '{examples}' has no rows: there is nothing to evaluate on" in message


def test_missing_split_and_missing_examples(failing, tmp_path):
    assert "no split 'evl'. Did you mean 'eval'?" in failing(eval_split="evl")
    assert "has no manifest.json" in failing(examples=tmp_path)


def test_schema_that_names_an_absent_column(failing, tmp_path, table):
    examples = write_examples(tmp_path / "examples", table.rename_columns(["x1", *table.column_names[1:]]))
    message = failing(examples=examples)
    assert "Column 'x' of the schema isn't in " in message
    assert "part-00000.parquet" in message
    assert "Did you mean 'x1'" in message or "'x1'" in message


def test_column_of_another_type_than_the_schema(failing, tmp_path, table):
    examples = write_examples(tmp_path / "examples", replaced(table, "x", ["much"] * len(table)))
    message = failing(examples=examples)
    assert "Column 'x' in " in message
    assert "isn't FLOAT as the schema says" in message


@pytest.mark.parametrize(
    ("text", "words"), [("", "has no features"), ("feature {", "has an error in line 1"), (None, "No schema at")]
)
def test_bad_schema(failing, tmp_path, text, words):
    path = tmp_path / "schema.pbtxt"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    message = failing(schema=path)
    assert words in message and repr(str(path)) in message
    assert "data_validation" in message or "Check the path" in message


def test_corrupt_parquet(failing, tmp_path, table):
    examples = write_examples(tmp_path / "examples", table)
    part = examples / "eval" / "part-00001.parquet"
    whole = part.read_bytes()
    part.write_bytes(b"PAR1 this is not Parquet")
    assert "part-00001.parquet' can't be read as Parquet" in failing(examples=examples)
    # The footer is whole and the pages are not.
    part.write_bytes(whole[:4] + b"\xff" * 2000 + whole[2004:])
    message = failing(examples=examples)
    assert "part-00001.parquet' can't be read as Parquet" in message
    assert "Run extract again" in message
    part.unlink()
    assert "named in the manifest but missing" in failing(examples=examples)


def test_folder_that_is_no_saved_model(failing, tmp_path):
    assert "isn't a SavedModel: it has no saved_model.pb. Give the output model of the train step." in failing(
        model=tmp_path
    )


def test_damaged_saved_model(failing, tmp_path):
    model = write_model(tmp_path / "m")
    (model / "variables" / "variables.index").unlink()
    assert f"The model '{model}' can't be loaded" in failing(model=model)
    (model / "saved_model.pb").write_bytes(b"\x00garbage")
    assert f"The model '{model}' can't be loaded" in failing(model=model)


def test_model_without_signature(failing, tmp_path):
    message = failing(model=write_model(tmp_path / "m", kind="no_transform"))
    assert "has no signature 'transform_features'. There are: 'serving_default'." in message
    message = failing(model=write_model(tmp_path / "n", kind="raw_only"))
    assert "must take serialized tf.Examples alone; it takes x" in message


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nan", "predicted NaN or infinity for"),
        ("logits", "which are no probabilities. End the model with a sigmoid"),
        ("wide", "must be one number a row; for 285 rows its shape is [285, 2]"),
    ],
)
def test_bad_predictions(failing, tmp_path, kind, words):
    assert words in failing(model=write_model(tmp_path / "m", kind=kind))


def test_slice_of_unknown_column(failing):
    assert "--slices names the column 'grup', which the data doesn't have. Did you mean 'group'?" in failing(
        slices=[["day", "grup"]]
    )


@pytest.mark.parametrize("slices", [[3], [[]], [{"a": 1}], [[""]]])
def test_malformed_slices(failing, slices):
    assert "--slices must hold column names or arrays of column names" in failing(slices=slices)


def test_slices_without_end(failing, monkeypatch):
    monkeypatch.setattr("evaluate.slicing.MAX_SLICES", 100)
    assert "--slices x makes more than 100 slices, the most that are possible" in failing(slices=["x"])


def test_unknown_metric(failing):
    message = failing(metrics_config=["AUCC"])
    assert "--metrics-config names 'AUCC', which is no metric of TFMA. Did you mean 'AUC'" in message
    assert "can't be used without parameters" in failing(metrics_config=["AUC", "SensitivityAtSpecificity"])
    assert "--metrics-config must hold metric class names" in failing(metrics_config=[{"name": "AUC"}])


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ({"AUCC": {"lower": 0.5}}, "the metric 'AUCC', which --metrics-config doesn't compute. Did you mean 'AUC'?"),
        ({"auc": {"lower": 0.5}}, "the metric 'auc'"),
        ({"AUC": {"lowr": 0.5}}, "unknown bound 'lowr'. Did you mean 'lower'?"),
        ({"AUC": {"lower": "0.5"}}, "'lower' must be a number, not '0.5'"),
        ({"AUC": {"lower": True}}, "'lower' must be a number, not True"),
        ({"AUC": 0.5}, "must be an object"),
        ({"AUC": {"lower": 0.9, "upper": 0.1}}, "'lower' (0.9) is above 'upper' (0.1)"),
        ({"AUC": {"lower": 0.9, "slices": 1}}, "'slices' must be true or false"),
        ({"AUC": {"lower": 0.9, "slices": True}}, "applies to every slice, but --slices is empty"),
    ],
)
def test_bad_thresholds(failing, thresholds, words):
    assert words in failing(thresholds=thresholds)


def test_threshold_on_a_plot(failing):
    message = failing(metrics_config=["CalibrationPlot"], thresholds={"CalibrationPlot": {"lower": 1}})
    assert "'CalibrationPlot', which is no single number" in message


def test_usage(failing):
    assert "is not JSON" in failing(code=2, thresholds="{")
    assert "is not a whole number" in failing(code=2, min_slice_size="many")
    assert "--registry-uri needs --model-name" in failing(code=2, registry_uri="sqlite:///none.db")


def test_unknown_runner(failing):
    assert "Beam has no runner 'FlinkRuner'. Did you mean" in failing(code=2, beam_args=["--runner=FlinkRuner"])


def test_baseline_that_is_not_there(failing, tmp_path):
    assert f"No baseline model at '{tmp_path}/none'" in failing(baseline_model_uri=f"{tmp_path}/none")


def test_champion_that_is_gone_or_wants_other_features(failing, tmp_path, new_registry):
    uri = new_registry

    def champion(version, model):
        registry.register(uri, registry.ModelVersion("taxi", version, str(model), "d", {}), registry.CHAMPION, {})

    champion(4, tmp_path / "gone")
    message = failing(registry_uri=uri, model_name="taxi")
    assert f"No champion version 4 at '{tmp_path}/gone'" in message
    assert "give the alias 'champion' to a version that works on this data, or remove it from version 4" in message

    champion(5, tmp_path)
    message = failing(registry_uri=uri, model_name="taxi")
    assert "Champion version 5 of 'taxi'" in message
    assert "isn't a SavedModel" in message
    assert "or remove it from version 5" in message

    champion(6, write_model(tmp_path / "other", feature="altitude"))
    message = failing(registry_uri=uri, model_name="taxi")
    assert "Champion version 6 of 'taxi'" in message
    assert "can't answer these rows through 'serving_default'" in message
    assert "Feature: altitude (data type: float) is required but could not be found." in message
    assert "or name a model by --baseline-model-uri" in message


def test_disk_that_is_full_for_results(failing, monkeypatch):
    """Lets no file grow beyond 20 kB, which writers notice as they would a full disk."""
    computed = Aggregator.extract
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def then_fill_the_disk(*args):
        found = computed(*args)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        return found

    monkeypatch.setattr(Aggregator, "extract", then_fill_the_disk)
    try:
        message = failing()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "plots-00000-of-00001.tfrecord" in message
    assert "Nothing was written" in message


# Has scored; metrics of slices, and the report, are still to come.
COMPUTES_FOR_EVER = """
import sys, time
from evaluate.aggregate import Aggregator
from evaluate.cli import main

Aggregator.extract = lambda *_: time.sleep(600)
sys.exit(main())
"""


def test_killed_process_leaves_no_outputs(tmp_path, step):
    signals = [signal.SIGKILL, signal.SIGTERM]
    steps = [Step(tmp_path / f"signal_{int(number)}", **step.paths) for number in signals]

    def kill(killed: Step, number: signal.Signals) -> int:
        command = [sys.executable, "-c", COMPUTES_FOR_EVER, *killed.argv(slices=["group", "day", ["group", "day"]])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert "scored" in process.stdout.readline()
            process.send_signal(number)
            return process.wait(timeout=60)

    with ThreadPoolExecutor() as both:  # each is killed as soon as it gets there
        codes = list(both.map(kill, steps, signals))
    assert codes == [-signal.SIGKILL, 128 + signal.SIGTERM]
    assert all(killed.nothing_written() for killed in steps)


def test_nothing_of_an_earlier_run_is_lost(step):
    assert step.run() == 0
    before = {path: path.read_bytes() for path in step.out.rglob("*") if path.is_file()}
    assert step.run(metrics_config=["AUCC"]) == 1
    assert {path: path.read_bytes() for path in step.out.rglob("*") if path.is_file()} == before
    assert json.loads(before[step.out / "metrics"])["AUC"]
