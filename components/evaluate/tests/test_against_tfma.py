"""The numbers are TFMA's own: on real taxi rides, against what `tfma.run_model_analysis` said, here and on Beam."""

import inspect
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import stock_tfma
import tensorflow as tf
import tensorflow_model_analysis as tfma
from conftest import Step, write_examples
from evaluate import accumulators, config, data, entries, models, scoring, thresholds
from evaluate.aggregate import Aggregator
from evaluate.problem import Problem
from google.protobuf import json_format
from tensorflow_model_analysis.view import util as viewer

from stepkit import examples

# 300 rides of pipelines/chicago_taxi/data, which says where they are from; a third have no company.
TAXI = Path(__file__).parent / "data" / "taxi.parquet"
TYPES = {
    "trip_miles": "FLOAT",
    "fare": "FLOAT",
    "trip_start_hour": "INT",
    "payment_type": "BYTES",
    "company": "BYTES",
    "big_tip": "INT",
}
# Fitted to the same rides; the other has no feature but the constant and the fare.
WEIGHTS = (-5.64, 0.083, -0.327, 6.763)
PLAIN_WEIGHTS = (-0.9, 0.0, -0.25, 0.0)
# CoefficientOfDiscrimination has no fast way; every other way of accumulating occurs. The mean errors have their own
# test: TFMA counts the first rows that it merges twice.
METRICS = [
    "AUC",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "Precision",
    "Recall",
    "ExampleCount",
    "Calibration",
    "MeanPrediction",
    "F1Score",
    "CoefficientOfDiscrimination",
]
SLICES = [["company"], ["payment_type"]]
PROBLEM = Problem("big_tip")


def computed(spec):
    return entries.expand(entries.parse(spec), PROBLEM)


def write_taxi_model(folder: Path, weights: tuple[float, ...]) -> Path:
    kinds = {"FLOAT": tf.float32, "INT": tf.int64, "BYTES": tf.string}
    inputs = {name: tf.io.FixedLenFeature([1], kinds[kind]) for name, kind in TYPES.items() if name != "company"}

    class Exported(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(weights)
            self.functions = []

    exported = Exported()
    serialized = [tf.TensorSpec([None], tf.string, name="examples")]

    @tf.function(input_signature=serialized)
    def serve(examples):
        raw = tf.io.parse_example(examples, inputs)
        card = tf.cast(raw["payment_type"] == "Credit Card", tf.float32)
        columns = [tf.ones_like(card), tf.math.log1p(raw["trip_miles"]), raw["fare"] / 10, card]
        return {"probabilities": tf.sigmoid(tf.concat(columns, 1) @ exported.weights[:, None])}

    @tf.function(input_signature=serialized)
    def transform(examples):
        return {"big_tip": tf.io.parse_example(examples, inputs)["big_tip"]}

    exported.functions = [serve, transform]
    signatures = {"serving_default": serve, "transform_features": transform}
    tf.saved_model.save(exported, str(folder), signatures=signatures)
    return folder


@pytest.fixture(scope="module", name="taxi")
def fixture_taxi(tmp_path_factory) -> Path:
    """Examples in which most companies and hours appear in late files only, a schema, and two models."""
    folder = tmp_path_factory.mktemp("taxi")
    rows = pq.read_table(TAXI).sort_by([("company", "ascending"), ("trip_start_hour", "ascending")])
    write_examples(folder / "examples", rows, shards=3)
    features = "".join(f'feature {{ name: "{name}" type: {kind} }}\n' for name, kind in TYPES.items())
    (folder / "schema").write_text(features, encoding="utf-8")
    write_taxi_model(folder / "model", WEIGHTS)
    write_taxi_model(folder / "plain", PLAIN_WEIGHTS)
    return folder


def taxi_step(folder: Path, taxi: Path) -> Step:
    made = Step(folder, taxi / "examples", taxi / "schema", taxi / "model")
    made.inputs |= {
        "label_key": "big_tip",
        "metrics_config": METRICS,
        "slices": SLICES,
        "thresholds": {"AUC": {"lower": 0.7, "slices": True}},
    }
    return made


def stock(name: str, taxi: Path, eval_config, folder: Path) -> str:
    """Returns what plain TFMA answers with the same configuration, on the same rows and models."""
    files = examples.split_files(taxi / "examples", "eval")
    paths = {"": "model", "candidate": "model", "baseline": "plain"}
    for spec in eval_config.model_specs:
        spec.signature_name = "serving_default"
        spec.prediction_key = "probabilities"
    rows = (record for batch in data.read_parts(files, TYPES, []) for record in batch.serialized)
    models = {spec.name: taxi / paths[spec.name] for spec in eval_config.model_specs}
    parts = [inspect.getsource(write_taxi_model), repr((WEIGHTS, PLAIN_WEIGHTS, TYPES))]
    made_by = "\0".join([*parts, stock_tfma.digest_of_files(files)])
    return stock_tfma.answer(name, eval_config, rows, models, made_by, folder)


def assert_close(ours, theirs, where=""):
    """Compares nested results: numbers (also those that are text, as in JSON) within 1e-4, all else exactly."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key, value in theirs.items():
            assert_close(ours[key], value, f"{where}/{key}")
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), where
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_close(one, other, f"{where}[{index}]")
    else:
        try:
            one, other = float(ours), float(theirs)
        except (TypeError, ValueError):
            assert ours == theirs, where
        else:
            assert one == pytest.approx(other, rel=1e-4, abs=1e-4, nan_ok=True), where


def protos_by_slice(folder: str, name: str) -> dict:
    kinds = {"metrics": tfma.MetricsForSlice, "plots": tfma.PlotsForSlice}
    found = {}
    for path in Path(folder).glob(f"{name}-*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            proto = json_format.MessageToDict(kinds[name].FromString(record))
            entries = proto.get(f"{name[:-1] if name == 'plots' else 'metric'}KeysAndValues", [])
            by_key = {json.dumps(entry["key"], sort_keys=True): entry["value"] for entry in entries}
            found[json.dumps(proto["sliceKey"], sort_keys=True)] = by_key
    return found


@pytest.mark.parametrize("model_name", [None, "candidate"], ids=["alone", "with a baseline"])
def test_same_as_plain_tfma(tmp_path, taxi, monkeypatch, capsys, model_name):
    monkeypatch.setattr(data, "BATCH_ROWS", 40)
    step = taxi_step(tmp_path, taxi)
    baseline = {"baseline_model_uri": taxi / "plain"} if model_name else {}
    assert step.run(**baseline) == 0
    assert "computed row by row, which is slow: _tjur_discrimination" in capsys.readouterr().out

    limits = thresholds.parse_thresholds(step.inputs["thresholds"], METRICS, slices := thresholds.parse_slices(SLICES))
    asked = config.build(computed(METRICS), limits, slices, PROBLEM, bool(model_name))
    plain = stock("taxi_and_baseline" if model_name else "taxi", taxi, asked, tmp_path)
    ours = str(step.out / "evaluation")
    for name in ("metrics", "plots"):
        expected = protos_by_slice(plain, name)
        assert len(expected) == 13
        assert_close(protos_by_slice(ours, name), expected, name)

    # TFMA's loaders and its viewer's functions.
    read = [tfma.load_eval_result(folder, model_name=model_name) for folder in (ours, plain)]
    assert_close(*(dict(result.slicing_metrics) for result in read))
    shown = [
        {row["slice"]: row["metrics"] for row in viewer.get_slicing_metrics(result.slicing_metrics, "payment_type")}
        for result in read
    ]
    assert len(shown[1]) == 3
    assert_close(*shown)
    spec = tfma.slicer.SingleSliceSpec(features=[("payment_type", "Cash")])
    assert_close(*(viewer.get_plot_data_and_config(result.plots, spec) for result in read))
    assert len(list(tfma.load_plots(ours))) == len(list(tfma.load_plots(plain))) == 13
    assert tfma.load_validation_result(plain).validation_ok is False  # small slices count there, here they can't fail
    assert tfma.load_validation_result(ours).validation_ok is True


@pytest.fixture(scope="module", name="scored")
def fixture_scored(taxi):
    """A task with every way of accumulating, a scorer, and the files."""
    metrics = [*METRICS, "MeanSquaredError", "MeanAbsoluteError"]
    slices = tuple(tuple(names) for names in SLICES)
    task = scoring.Task(config.build(computed(metrics), [], slices, PROBLEM, False), PROBLEM, TYPES, slices)
    aggregator = Aggregator(task.config, PROBLEM)
    loaded = {"": models.load(taxi / "model", "The model", "")}
    return task, aggregator, scoring.Scorer(task, aggregator, loaded), examples.split_files(taxi / "examples", "eval")


def as_dicts(aggregates):
    protos = [*aggregates.metrics, *aggregates.plots]
    return [json_format.MessageToDict(proto) for proto in protos], aggregates.counts


def test_parts_in_any_order_are_the_whole(scored, monkeypatch):
    _, aggregator, scorer, files = scored
    whole = aggregator.extract(scorer.score(files).partial)
    monkeypatch.setattr(data, "BATCH_ROWS", 30)
    parts = [pickle.loads(pickle.dumps(scorer.score([file]))) for file in reversed(files)]
    known = [set(part.partial.slices) for part in parts]
    assert known[1] - known[2] and known[2] - known[1]  # slices of early and of late files only
    nested = scoring.merge(aggregator, [scoring.merge(aggregator, parts[:2]), parts[2], scoring.Scores()])
    assert nested.tally.labels.rows == 300
    assert_close(as_dicts(aggregator.extract(nested.partial)), as_dicts(whole))


def test_slices_of_one_row_and_of_missing_values(scored):
    _, aggregator, scorer, files = scored
    counts = aggregator.extract(scorer.score(files).partial).counts
    table = pq.read_table(TAXI)
    by_company = {key: rows for key, (rows, *_) in counts.items() if len(key) == 1 and key[0][0] == "company"}
    expected = table.filter(pc.is_valid(table["company"])).group_by("company").aggregate([([], "count_all")])
    assert by_company == {(("company", row["company"]),): row["count_all"] for row in expected.to_pylist()}
    assert 1 in by_company.values()
    assert sum(by_company.values()) == 300 - table["company"].null_count < 300
    assert counts[()] == (300, pc.sum(table["big_tip"]).as_py())


def test_mean_errors_are_right(scored):
    _, aggregator, scorer, files = scored
    overall = aggregator.extract(scorer.score(files).partial).metrics[0]
    found = {item.key.name: item.value.double_value.value for item in overall.metric_keys_and_values}
    table = {name: np.array(column) for name, column in pq.read_table(TAXI).to_pydict().items()}
    card = table["payment_type"] == "Credit Card"
    logits = WEIGHTS[0] + WEIGHTS[1] * np.log1p(table["trip_miles"]) + WEIGHTS[2] * table["fare"] / 10 + 6.763 * card
    errors = 1 / (1 + np.exp(-logits)) - table["big_tip"]
    assert found["mean_squared_error"] == pytest.approx(np.mean(errors**2), rel=1e-5)
    assert found["mean_absolute_error"] == pytest.approx(np.mean(np.abs(errors)), rel=1e-5)


@pytest.mark.parametrize(
    "beam_args",
    [
        ["--runner=FnApiRunner"],
        ["--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2"],
        [
            "--runner=PortableRunner",
            "--job_endpoint=embed",
            "--environment_type=beam:env:harness_subprocess_python:v1",
            f"--environment_config={sys.executable} -m apache_beam.runners.worker.sdk_worker_main",
            "--temp_location=exchanged",
        ],
    ],
    ids=["in process", "in processes", "as if elsewhere"],
)
def test_beam_gives_the_same(tmp_path, taxi, monkeypatch, beam_args):
    monkeypatch.chdir(tmp_path)
    here, there = (taxi_step(tmp_path / name, taxi) for name in ("here", "there"))
    inputs = {"baseline_model_uri": taxi / "plain"}
    assert here.run(**inputs) == 0
    assert there.run(beam_args=beam_args, **inputs) == 0
    for name in ("metrics", "plots"):
        assert_close(*(protos_by_slice(str(step.out / "evaluation"), name) for step in (there, here)))
    assert_close(there.json("metrics"), here.json("metrics"))
    assert there.text("reason") == here.text("reason")
    exchanged = tmp_path / "exchanged"
    assert exchanged.is_dir() == ("--temp_location=exchanged" in beam_args)
    assert not list(tmp_path.glob("exchanged/evaluate-*"))


def test_beam_tells_what_a_worker_met(failing, tmp_path, taxi):
    folder = write_examples(tmp_path / "examples", pq.read_table(TAXI))
    part = folder / "eval" / "part-00001.parquet"
    part.write_bytes(b"PAR1 this is not Parquet")
    inputs = {"schema": taxi / "schema", "model": taxi / "model", "label_key": "big_tip"}
    message = failing(examples=folder, beam_args=["--runner=FnApiRunner"], **inputs)
    assert "part-00001.parquet' can't be read as Parquet" in message
    assert "Run extract again." in message


def test_workers_elsewhere_need_a_shared_folder(failing):
    message = failing(code=2, beam_args=["--runner=PortableRunner", "--job_endpoint=localhost:1"])
    assert "PortableRunner has workers elsewhere; add --temp_location=URI" in message


def test_another_tfma_is_refused():
    with pytest.raises(RuntimeError, match=r"builds the accumulators of TFMA 0\.52\.0; this is 0\.53\.0"):
        accumulators.check_version("0.53.0")
