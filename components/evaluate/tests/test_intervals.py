"""Confidence intervals: TFMA's, of the same samples; and as far from the truth as a few samples have to be."""

from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from evaluate import config, data, entries, resampling
from evaluate.problem import Problem
from many_tasks import LABELS, TYPES, classes_of, make_table, step_of, write_all
from test_tasks_against_tfma import stock

from stepkit import examples, tasks

SLICES = (("group",),)
METRICS = ["MeanLabel", "MeanPrediction", "RootMeanSquaredError", "SquaredPearsonCorrelation", "ExampleCount"]


@pytest.fixture(scope="module", name="shared")
def fixture_shared(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("intervals"))


def intervals(folder):
    """Returns standard error and bounds by slice and metric."""
    found = {}
    for path in Path(folder).glob("metrics-*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            proto = tfma.MetricsForSlice.FromString(record)
            for item in proto.metric_keys_and_values:
                if item.HasField("confidence_interval"):
                    each = item.confidence_interval
                    parts = (each.standard_error, each.lower_bound, each.upper_bound)
                    key = str(proto.slice_key), item.key.name, item.key.model_name, item.key.is_diff
                    found[key] = [part.double_value.value for part in parts]
    return found


def buckets_by_label(shared, rounds):
    """Returns the bucket of each row, which its label tells, in the first round."""
    found = {}
    for batch in data.read_parts(examples.split_files(shared / "examples", "eval"), TYPES, ["y"]):
        labels = batch.columns["y"].to_numpy().astype(np.float64)
        samples = resampling.rows_of_samples(resampling.JACKKNIFE, labels)
        assert len(samples) == rounds * resampling.SAMPLES
        for bucket, rows in enumerate(samples[: resampling.SAMPLES]):
            found |= dict.fromkeys(labels[rows].tolist(), bucket)
    return found


def test_same_as_plain_tfma_by_slice_weight_and_of_the_change(tmp_path, shared, monkeypatch):
    monkeypatch.setattr(resampling, "ROUNDS", 1)
    task = tasks.REGRESSION
    step = step_of(tmp_path, shared, task, f"{task}_weighted")
    inputs = {"metrics_config": METRICS, "slices": [["group"]], "confidence_intervals": "jackknife"}
    assert step.run(baseline_model_uri=shared / f"{task}_worse", **inputs) == 0

    problem = Problem(LABELS[task], task, classes_of(task), "weight")
    computed = entries.expand(entries.parse(METRICS), problem)
    eval_config = config.build(computed, [], SLICES, problem, True, resampling.JACKKNIFE)
    buckets = buckets_by_label(shared, 1)
    partition = beam.Partition

    def label_of(extracts):
        labels = extracts["_default_combiner_input"][0]["labels"]
        return float(np.ravel(labels["candidate"] if isinstance(labels, dict) else labels)[0])

    def same_buckets(_, number):
        assert number == resampling.SAMPLES
        return partition(lambda item, _: buckets[label_of(item[1])], number)

    monkeypatch.setattr(beam, "Partition", same_buckets)
    expected = intervals(stock("jackknife", shared, eval_config, task, tmp_path, repr(sorted(buckets.items()))))
    found = intervals(str(step.out / "evaluation"))
    assert len(expected) > 3 * 4 * 3  # three slices, four metrics, of two models and their difference
    expected = {key: numbers for key, numbers in expected.items() if key[1] != "example_count"}  # a change of 0, +- 0
    assert found.keys() == expected.keys()
    for key, numbers in expected.items():
        assert found[key] == pytest.approx(numbers, rel=1e-4, abs=1e-7), key


@pytest.mark.parametrize("method", resampling.METHODS)
def test_a_standard_error_is_that_of_the_mean(tmp_path, shared, method):
    task = tasks.REGRESSION
    step = step_of(tmp_path, shared, task)
    assert step.run(metrics_config=METRICS, confidence_intervals=method) == 0
    metrics = step.json("metrics")
    labels = make_table()["y"].to_numpy()
    assert metrics["standard_error"]["MeanLabel"] == pytest.approx(labels.std(ddof=1) / len(labels) ** 0.5, rel=0.1)
    for name in METRICS[:-1]:
        assert metrics["lower"][name] < metrics[name] < metrics["upper"][name]
    assert "ExampleCount" not in metrics["standard_error"]  # a count isn't uncertain
    assert "95% interval" in step.text("report")


def test_asked_for_they_change_nothing_else(tmp_path, shared):
    asked, plain = (step_of(tmp_path / name, shared, tasks.MULTICLASS) for name in ("asked", "plain"))
    inputs = {
        "slices": [["group"]],
        "metrics_config": [
            "SparseCategoricalAccuracy",
            {"class_name": "F1Score", "aggregate": "macro"},
            "ExampleCount",
        ],
        "thresholds": {"F1Score_macro": {"lower": 0.99}},
        "baseline_model_uri": shared / f"{tasks.MULTICLASS}_worse_reversed",
    }
    assert asked.run(confidence_intervals="poisson_bootstrap", **inputs) == 0
    assert plain.run(**inputs) == 0
    found, expected = asked.json("metrics"), plain.json("metrics")
    analysis, plainly = found.pop("analysis"), expected.pop("analysis")
    assert all(
        each.pop("intervals").keys() == expected.keys() - {"baseline", "ExampleCount"} for each in analysis["slices"]
    )
    assert not any(each.pop("intervals") for each in plainly["slices"])
    assert analysis == plainly
    for part in ("standard_error", "lower", "upper"):
        for more in (part, f"change_{part}"):
            assert found.pop(more).keys() == expected.keys() - {"baseline", "ExampleCount"}, more
    assert found == expected
    assert asked.text("reason") == plain.text("reason")
    assert not intervals(str(plain.out / "evaluation"))


def test_a_slice_of_one_row_has_none(tmp_path, shared):
    step = step_of(tmp_path, shared, tasks.REGRESSION)
    assert step.run(slices=["y"], metrics_config=["MeanPrediction"], confidence_intervals="jackknife") == 0
    assert len({key for key, *_ in intervals(str(step.out / "evaluation"))}) == 1


def test_metrics_that_are_computed_row_by_row_have_them(tmp_path, shared, capsys):
    step = step_of(tmp_path, shared, tasks.BINARY)
    names = ["CoefficientOfDiscrimination", "MeanPrediction"]
    assert step.run(metrics_config=names, confidence_intervals="jackknife") == 0
    assert "row by row, which is slow: _tjur_discrimination" in capsys.readouterr().out
    metrics = step.json("metrics")
    for name in names:
        assert metrics["lower"][name] < metrics[name] < metrics["upper"][name]


def test_an_unknown_method_is_refused(failing):
    assert "jackknife" in failing(code=2, confidence_intervals="bootstrap")


def test_samples_are_the_same_in_equal_runs_and_as_even_as_can_be():
    rows = np.arange(50.0)
    first, second = (resampling.rows_of_samples(resampling.JACKKNIFE, rows) for _ in range(2))
    assert [part.tolist() for part in first] == [part.tolist() for part in second]
    for start in range(0, len(first), resampling.SAMPLES):
        sizes = [len(part) for part in first[start : start + resampling.SAMPLES]]
        assert sorted(sizes) == [2] * 10 + [3] * 10
    few = [resampling.rows_of_samples(resampling.JACKKNIFE, np.array([float(seed)])) for seed in range(40)]
    filled = {bucket for parts in few for bucket, part in enumerate(parts[: resampling.SAMPLES]) if len(part)}
    assert len(filled) > 10  # files of few rows fill all buckets together
    drawn = resampling.rows_of_samples(resampling.BOOTSTRAP, rows)
    assert np.mean([len(part) for part in drawn]) == pytest.approx(50, rel=0.1)
