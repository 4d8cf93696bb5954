"""Every task's numbers are TFMA's own: what `tfma.run_model_analysis` said, with weights, slices and a baseline."""

import inspect

import many_tasks
import pytest
import stock_tfma
import tensorflow as tf
from evaluate import config, data, entries
from evaluate.problem import Problem
from many_tasks import LABELS, TAGS, TYPES, classes_of, step_of, write_all
from test_against_tfma import assert_close, protos_by_slice

from stepkit import examples, tasks

# Of each way of accumulating, and of each way of taking classes.
METRICS = {
    tasks.BINARY: ["AUC", "Precision", {"class_name": "PrecisionAtRecall", "config": {"recall": 0.8}}, "ExampleCount"],
    tasks.MULTICLASS: [
        "SparseCategoricalAccuracy",
        "SparseCategoricalCrossentropy",
        {"class_name": "SparseTopKCategoricalAccuracy", "config": {"k": 2}},
        {"class_name": "AUC", "aggregate": "macro", "per_class": True},
        {"class_name": "AUC", "aggregate": "weighted"},
        {"class_name": "F1Score", "aggregate": "micro"},
        {"class_name": "F1Score", "aggregate": "macro"},
        {"class_name": "Precision", "top_k": [1, 2]},
        {"class_name": "Recall", "aggregate": "micro", "top_k": 2},
        {"class_name": "Recall", "aggregate": "macro", "top_k": 2, "name": "RecallOfRanks"},
        {"class_name": "CalibrationPlot", "per_class": True},
        "MeanPrediction",
        "MultiClassConfusionMatrixAtThresholds",
        "ExampleCount",
    ],
    tasks.MULTILABEL: [
        {"class_name": "AUC", "aggregate": "macro", "per_class": True},
        {"class_name": "F1Score", "aggregate": "weighted"},
        {"class_name": "Precision", "aggregate": "micro"},
        "BinaryAccuracy",
        "BinaryCrossentropy",
        "ExampleCount",
    ],
    # The mean errors have their own test: TFMA counts the first rows that it merges twice.
    tasks.REGRESSION: [
        "RootMeanSquaredError",
        "LogCoshError",
        "SquaredPearsonCorrelation",
        "Calibration",
        "MeanLabel",
        "MeanPrediction",
        "WeightedExampleCount",
    ],
}
SLICES = (("group",),)


@pytest.fixture(scope="module", name="shared")
def fixture_shared(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("tasks"))


def stock(name, shared, eval_config, task, folder, patched=""):
    """Returns what plain TFMA answers with the same configuration, on the same rows and models."""
    files = examples.split_files(shared / "examples", "eval")
    paths = {"": task, "candidate": task, "baseline": f"{task}_worse"}
    for spec in eval_config.model_specs:
        spec.signature_name = "serving_default"
        spec.prediction_key = tasks.ANSWERS[task]
        spec.label_key = {"kind": "kind_id", "yes": "yes_id"}.get(LABELS[task], LABELS[task])
    models = {spec.name: shared / paths[spec.name] for spec in eval_config.model_specs}
    made_by = "\0".join([inspect.getsource(many_tasks), stock_tfma.digest_of_files(files), patched])
    return stock_tfma.answer(name, eval_config, _with_tags(files), models, made_by, folder)


def _with_tags(files):
    """Yields rows as plain TFMA needs them: the tags as one feature, too."""
    for batch in data.read_parts(files, TYPES, []):
        for record in batch.serialized:
            row = tf.train.Example.FromString(record)
            tags = [row.features.feature[name].float_list.value[0] for name in TAGS]
            row.features.feature["tags"].float_list.value.extend(tags)
            yield row.SerializeToString()


@pytest.mark.parametrize("task", tasks.TASKS)
def test_same_as_plain_tfma_with_weights_and_a_baseline(tmp_path, shared, monkeypatch, capsys, task):
    monkeypatch.setattr(data, "BATCH_ROWS", 40)
    step = step_of(tmp_path, shared, task, f"{task}_weighted")
    inputs = {"metrics_config": METRICS[task], "slices": [["group"]]}
    assert step.run(baseline_model_uri=shared / f"{task}_worse_reversed", **inputs) == 0
    assert "row by row" not in capsys.readouterr().out

    problem = Problem(LABELS[task], task, classes_of(task), "weight")
    computed = entries.expand(entries.parse(METRICS[task]), problem)
    plain = stock(task, shared, config.build(computed, [], SLICES, problem, True), task, tmp_path)
    for name in ("metrics", "plots"):
        expected = protos_by_slice(plain, name)
        assert len(expected) == 3
        assert_close(protos_by_slice(str(step.out / "evaluation"), name), expected, name)
