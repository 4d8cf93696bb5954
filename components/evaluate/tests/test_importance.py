"""What the model looks at: planted columns are found, whole, by weight and slice, at a bounded cost."""

import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from conftest import Step, write_examples
from evaluate import gaps, importance, losses
from evaluate.cli import main
from evaluate.problem import Problem
from evaluate.results import SliceMetrics

from stepkit import model_description, tasks
from stepkit.model_description import ModelDescription

ROWS = 1200
NOISE = [f"noise_{number}" for number in range(4)]
TYPES = {"strong": "FLOAT", "weak": "FLOAT", "word": "BYTES", "sometimes": "FLOAT", "label": "FLOAT", "weight": "FLOAT"}
TYPES |= {"group": "BYTES"} | dict.fromkeys(NOISE, "FLOAT")
NOT_SERVED = 'not_in_environment: "SERVING"'
SCHEMA = (
    "".join(
        f'feature {{ name: "{name}" type: {kind} {NOT_SERVED if name == "label" else ""} }}\n'
        for name, kind in TYPES.items()
    )
    + 'default_environment: "TRAINING"\ndefault_environment: "SERVING"\n'
)


def _table() -> pa.Table:
    """Returns rows whose label follows `strong` and `word`, a little `weak`, and whether `sometimes` is missing."""
    random = np.random.default_rng(5)
    strong, weak = random.normal(size=(2, ROWS))
    word = random.choice(["yes", "no"], ROWS)
    missing = random.random(ROWS) < 0.5
    group = random.choice(["reads", "ignores"], ROWS)
    table = {
        "strong": strong,
        "weak": weak,
        "word": word.tolist(),
        "sometimes": [None if none else 1.0 for none in missing],
        "weight": np.where(group == "reads", 1.0, 3.0),
        "group": group.tolist(),
    }
    logit = _logit(strong, weak, word == "yes", missing, group == "reads")
    label = (random.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(np.float64)
    return pa.table(table | {"label": label} | {name: random.normal(size=ROWS) for name in NOISE})


def _logit(strong, weak, word, missing, reads):
    """The model's: `strong` counts in one group alone, and no noise does."""
    return 3.0 * strong * reads + 0.3 * weak + 1.5 * (2.0 * word - 1) + 1.0 * (2.0 * missing - 1)


def _write_model(folder, weight=""):
    raw = {name: tf.io.VarLenFeature(tf.string if TYPES[name] == "BYTES" else tf.float32) for name in TYPES}
    serving = {name: kind for name, kind in raw.items() if name != "label"}
    module = tf.Module()

    def dense(parsed, name, default):
        return tf.sparse.to_dense(parsed[name], default)[:, :1]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(examples):
        parsed = tf.io.parse_example(examples, serving)
        given = tf.sparse.reset_shape(parsed["sometimes"], [tf.size(examples, tf.int64), 1])
        missing = tf.cast(tf.sparse.to_dense(given) == 0, tf.float32)
        word = tf.cast(dense(parsed, "word", "") == "yes", tf.float32)
        group = tf.cast(dense(parsed, "group", "") == "reads", tf.float32)
        logit = _logit(dense(parsed, "strong", 0.0), dense(parsed, "weak", 0.0), word, missing, group)
        return {"probabilities": tf.sigmoid(logit)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform(examples):
        parsed = tf.io.parse_example(examples, raw)
        return {"label": dense(parsed, "label", 0.0), "weight": dense(parsed, "weight", 1.0)}

    module.functions = [serve, transform]
    tf.saved_model.save(module, str(folder), {"serving_default": serve, "transform_features": transform})
    path = folder / model_description.FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(ModelDescription("label", tasks.BINARY, (), weight).to_json(), encoding="utf-8")
    return folder


@pytest.fixture(name="planted", scope="module")
def fixture_planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    write_examples(folder / "examples", _table(), shards=3)
    (folder / "schema").write_text(SCHEMA, encoding="utf-8")
    _write_model(folder / "model")
    return folder


def _step(tmp_path, folder, model=None) -> Step:
    return Step(tmp_path, folder / "examples", folder / "schema", model or folder / "model")


def test_planted_columns_are_found(tmp_path, planted):
    step = _step(tmp_path, planted)
    assert step.run(importance_rows=10_000, slices=["group"], gap_metrics=["AUC"]) == 0
    found = step.json("metrics")["analysis"]["importance"]
    columns = {each["column"]: each for each in found["columns"]}
    assert list(columns)[:2] == ["strong", "word"] and set(list(columns)[2:5]) == {"group", "sometimes", "weak"}
    # What isn't read changes no answer: exactly nothing, in every permutation.
    assert {columns[name]["mean"] for name in NOISE} == {columns[name]["spread"] for name in NOISE} == {0.0}
    assert "label" not in columns and found["columns_tried"] == len(TYPES) - 1
    for name in ("strong", "word", "sometimes"):
        assert columns[name]["mean"] > 5 * columns[name]["spread"] > 0
    assert found["rows"] == ROWS and found["repeats"] == 5 and found["loss"] == "cross entropy"
    # The loss of the rows as they are is the one that TFMA computes.
    assert found["value"] == pytest.approx(step.json("metrics")["BinaryCrossentropy"], rel=1e-5)

    slices = [each["slice"] for each in found["slices"]]
    strong = dict(zip(slices, columns["strong"]["by_slice"], strict=True))
    assert strong["group=reads"] > 0.5 and strong["group=ignores"] == 0
    (gap,) = step.json("metrics")["analysis"]["gaps"]
    assert (gap["metric"], gap["highest"]["slice"]) == ("AUC", "group=reads")
    assert gap["gap"] == pytest.approx(gap["highest"]["value"] - gap["lowest"]["value"])
    page = step.text("report")
    assert "What the model looks at" in page and "Gaps between slices" in page


def test_weights_count(tmp_path, planted):
    step = _step(tmp_path, planted, _write_model(tmp_path / "weighted", "weight"))
    assert step.run(importance_rows=10_000, slices=["group"]) == 0
    found = step.json("metrics")["analysis"]["importance"]
    assert found["value"] == pytest.approx(step.json("metrics")["BinaryCrossentropy"], rel=1e-5)
    (strong,) = (each for each in found["columns"] if each["column"] == "strong")
    sizes = {each["slice"]: each["rows"] for each in found["slices"]}
    of_slices = dict(zip(sizes, strong["by_slice"], strict=True))
    weights = {"group=reads": sizes["group=reads"], "group=ignores": 3 * sizes["group=ignores"]}
    expected = sum(weights[name] * of_slices[name] for name in weights) / sum(weights.values())
    assert strong["mean"] == pytest.approx(expected)


def test_without_it_nothing_is_permuted(tmp_path, planted, monkeypatch):
    monkeypatch.setattr(importance, "measure", lambda *_: pytest.fail("permuted"))
    step = _step(tmp_path, planted)
    assert step.run() == 0
    analysis = json.loads(step.text("metrics"), parse_constant=pytest.fail)["analysis"]
    assert "importance" not in analysis and analysis["slices"][0]["slice"] == "overall"
    assert "What the model looks at" not in step.text("report")


def test_of_many_columns_the_best_are_chosen_by_fewer_rows(tmp_path, planted, monkeypatch):
    monkeypatch.setattr(importance, "TOP", 3)
    monkeypatch.setattr(importance, "BUDGET", 10 * 11 * 300)
    step = _step(tmp_path, planted)
    assert step.run(importance_rows=10_000) == 0
    found = step.json("metrics")["analysis"]["importance"]
    assert {each["column"] for each in found["columns"]} >= {"strong", "word"} and len(found["columns"]) == 3
    assert found["rows_of_screening"] == 300 and found["rows"] == 10 * 11 * 300 // (3 * 5 * 11)
    page = step.text("report")
    assert "Of 10 columns these were chosen by one permutation of 300 rows." in page and "7 more columns" in page


def test_losses_of_the_tasks():
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    many = losses.of_rows(np.array([0.0, 2.0]), scores, Problem("y", tasks.MULTICLASS, ("a", "b", "c")))
    assert many == pytest.approx(-np.log([0.7, 0.8]))
    labels = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    several = losses.of_rows(labels, scores, Problem("y", tasks.MULTILABEL, ("a", "b", "c")))
    assert several == pytest.approx(-np.log([[0.7, 0.8, 0.9], [0.9, 0.9, 0.8]]).mean(axis=1))
    regression = Problem("y", tasks.REGRESSION)
    squared = losses.of_rows(np.array([1.0, 2.0]), np.array([4.0, 2.0]), regression)
    of_slices = losses.by_slice(squared, np.array([1.0, 2.0]), np.array([[1.0, 1.0], [0.0, 0.0]]), regression)
    assert of_slices[0] == pytest.approx(3**0.5) and np.isnan(of_slices[1])
    certain = losses.of_rows(np.array([1.0]), np.array([0.0]), Problem("y"))
    assert certain == pytest.approx(16.118, abs=1e-3)


def test_gaps_leave_out_small_slices_and_undefined_metrics():
    def item(key, examples, value):
        return SliceMetrics((("g", key),), examples, (examples // 2,), {"AUC": value}, {})

    items = [SliceMetrics((), 900, (450,), {"AUC": 0.7}, {}), item("a", 400, 0.9), item("b", 300, 0.6)]
    items += [item("c", 20, 0.1), item("d", 180, float("nan"))]
    (gap,) = gaps.between(items, ["AUC"], 100)
    assert gap.to_json() == {
        "metric": "AUC",
        "features": "g",
        "gap": pytest.approx(0.3),
        "lowest": {"slice": "g=b", "value": 0.6, "examples": 300},
        "highest": {"slice": "g=a", "value": 0.9, "examples": 400},
        "slices": 2,
        "left_out": 2,
    }
    assert not gaps.between(items[:2], ["AUC"], 100)


@pytest.mark.parametrize(
    ("inputs", "code", "words"),
    [
        ({"importance_rows": 10_001}, 2, "--importance-rows is 10001; give up to 10,000 rows"),
        ({"importance_rows": -1}, 2, "--importance-rows is -1"),
        ({"gap_metrics": ["AUCC"]}, 1, "--gap-metrics names 'AUCC', which --metrics-config doesn't compute. Did you"),
    ],
)
def test_bad_parameters_are_known_before_a_run(step, capsys, inputs, code, words):
    for argv in (step.argv(**inputs), ["--check", *step.argv(**inputs)]):
        try:
            assert main(argv) == code
        except SystemExit as error:
            assert error.code == code
        assert words in capsys.readouterr().err
    assert step.nothing_written()
