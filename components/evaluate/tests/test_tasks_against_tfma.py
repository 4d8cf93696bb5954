"""Every task's numbers are TFMA's own: against `tfma.run_model_analysis`, with weights, slices and a baseline."""

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
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


def stock(shared, eval_config, task, folder):
    """Runs plain TFMA with the same configuration, on the same rows and models."""
    with tf.io.TFRecordWriter(str(folder / "rows.tfrecord")) as writer:
        for batch in data.read_parts(examples.split_files(shared / "examples", "eval"), TYPES, []):
            for record in batch.serialized:
                row = tf.train.Example.FromString(record)
                tags = [row.features.feature[name].float_list.value[0] for name in TAGS]
                row.features.feature["tags"].float_list.value.extend(tags)
                writer.write(row.SerializeToString())
    paths = {"": task, "candidate": task, "baseline": f"{task}_worse"}
    for spec in eval_config.model_specs:
        spec.signature_name = "serving_default"
        spec.prediction_key = tasks.ANSWERS[task]
        spec.label_key = {"kind": "kind_id", "yes": "yes_id"}.get(LABELS[task], LABELS[task])
    models = [
        tfma.default_eval_shared_model(str(shared / paths[spec.name]), eval_config=eval_config, model_name=spec.name)
        for spec in eval_config.model_specs
    ]
    tfma.run_model_analysis(
        eval_shared_model=models if len(models) > 1 else models[0],
        eval_config=eval_config,
        data_location=str(folder / "rows.tfrecord"),
        output_path=str(folder / "stock"),
        pipeline_options=PipelineOptions(["--runner=FnApiRunner"]),
    )
    return str(folder / "stock")


@pytest.mark.parametrize("task", tasks.TASKS)
def test_same_as_plain_tfma_with_weights_and_a_baseline(tmp_path, shared, monkeypatch, capsys, task):
    monkeypatch.setattr(data, "BATCH_ROWS", 40)
    step = step_of(tmp_path, shared, task, f"{task}_weighted")
    inputs = {"metrics_config": METRICS[task], "slices": [["group"]]}
    assert step.run(baseline_model_uri=shared / f"{task}_worse_reversed", **inputs) == 0
    assert "row by row" not in capsys.readouterr().out

    problem = Problem(LABELS[task], task, classes_of(task), "weight")
    computed = entries.expand(entries.parse(METRICS[task]), problem)
    plain = stock(shared, config.build(computed, [], SLICES, problem, True), task, tmp_path)
    for name in ("metrics", "plots"):
        expected = protos_by_slice(plain, name)
        assert len(expected) == 3
        assert_close(protos_by_slice(str(step.out / "evaluation"), name), expected, name)
