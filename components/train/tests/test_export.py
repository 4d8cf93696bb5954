import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import FARE_SCALE, MODULE, TRANSFORMED_SCHEMA, VOCABULARY, example, splits

MISSING_INT = -(2**63)


@pytest.fixture(scope="module")
def signatures(trained):
    return tf.saved_model.load(str(trained.out / "model")).signatures


def raw_rows() -> list[dict]:
    return [
        {"fare": 12.5, "company": "Taxi B", "area": 3, "speed": 2.0, "stops": [1, 2]},
        {"fare": 30.0, "company": None, "area": None, "speed": None, "stops": None},
        {"fare": 5.0, "company": "Taxi C", "area": 99, "speed": None, "stops": 4},
    ]


def columns(rows: list[dict]) -> dict[str, tf.Tensor]:
    """Returns rows as a JSON client would send them, missing values as sentinels."""
    missing = {"company": "", "area": MISSING_INT, "speed": float("nan")}
    sent = {
        name: tf.constant([[missing.get(name) if row[name] is None else row[name]] for row in rows])
        for name in ("fare", "company", "area", "speed")
    }
    stops = [row["stops"] if isinstance(row["stops"], list) else [row["stops"]] for row in rows]
    padded = [[MISSING_INT if value is None else value for value in [*values, None][:2]] for values in stops]
    return {**sent, "area": tf.cast(sent["area"], tf.int64), "stops": tf.constant(padded, tf.int64)}


def test_signatures_take_what_the_contract_says(signatures):
    shapes = {name: function.structured_input_signature[1] for name, function in signatures.items()}
    assert set(shapes) == {"serving_default", "serve_raw", "transform_features"}
    assert shapes["serving_default"]["examples"] == tf.TensorSpec([None], tf.string, "examples")
    raw = {name: (spec.shape.as_list(), spec.dtype) for name, spec in shapes["serve_raw"].items()}
    assert raw == {
        "fare": ([None, 1], tf.float32),
        "company": ([None, 1], tf.string),
        "area": ([None, 1], tf.int64),
        "speed": ([None, 1], tf.float32),
        "stops": ([None, None], tf.int64),
    }


def test_examples_and_raw_columns_give_equal_probabilities(signatures):
    rows = raw_rows()
    examples = signatures["serving_default"](examples=tf.constant([example(**row) for row in rows]))
    raw = signatures["serve_raw"](**columns(rows))
    assert list(examples) == list(raw) == ["probabilities"]
    assert examples["probabilities"].shape == (3, 1)
    np.testing.assert_array_equal(examples["probabilities"], raw["probabilities"])
    assert len(set(examples["probabilities"].numpy().ravel())) == 3


def test_who_restores_it_into_a_session_gets_the_same(trained, signatures):
    """TF Serving restores what the restore operation names, and knows nothing of objects."""
    rows = [example(**row) for row in raw_rows()]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        found = tf.compat.v1.saved_model.load(session, ["serve"], str(trained.out / "model"))
        signature = found.signature_def["serving_default"]
        answered = session.run(signature.outputs["probabilities"].name, {signature.inputs["examples"].name: rows})
    np.testing.assert_array_equal(answered, signatures["serving_default"](examples=tf.constant(rows))["probabilities"])


def test_missing_values_reach_the_transform_as_missing(signatures):
    with_label = [example(**row, tips=1.0) for row in raw_rows()]
    transformed = signatures["transform_features"](examples=tf.constant(with_label))
    assert transformed["speed"].numpy().ravel().tolist() == [2.0, -1.0, -1.0]
    assert transformed["stops"].numpy().ravel().tolist() == [3, 0, 4]


def test_transform_features_gives_features_and_label(signatures):
    examples = [example(fare=20.0, company="Taxi A", area=7, tips=4.5), example(fare=20.0, company="Taxi C", tips=3.5)]
    transformed = signatures["transform_features"](examples=tf.constant(examples))
    assert {name: value.numpy().ravel().tolist() for name, value in transformed.items()} == {
        "fare": [2.0, 2.0],
        "company": [0, 2],
        "area": [7, 0],
        "speed": [-1.0, -1.0],
        "stops": [0, 0],
        "big_tip": [1, 0],
    }


def test_served_model_has_the_weights_of_the_best_epoch_and_the_transform_of_training(step):
    eager = MODULE.replace('"learning_rate": 0.02', '"learning_rate": 0.3')
    assert step.run(eager, epochs=30, early_stopping_patience=2) == 0
    metrics = step.metrics()
    assert metrics["stopped_early"] and metrics["epochs"] == metrics["best_epoch"] + 2 < 30
    rows = splits()["eval"]
    raw = [example(fare=row["fare"] * FARE_SCALE, company=VOCABULARY[row["company"]], area=row["area"]) for row in rows]
    served = tf.saved_model.load(str(step.out / "model")).signatures["serving_default"]
    probabilities = served(examples=tf.constant(raw))["probabilities"].numpy().ravel()
    labels = np.array([row["big_tip"] for row in rows])
    loss = -np.mean(np.log(np.where(labels, probabilities, 1 - probabilities)))
    assert loss == pytest.approx(metrics["best"]["val_loss"], abs=1e-5)
    assert loss != pytest.approx(metrics["last"]["val_loss"], abs=1e-5)


def test_graph_and_model_that_do_not_fit_together(fails, tmp_path, graph):
    other = tmp_path / "graph"
    for part in ("metadata", "transformed_metadata"):
        (other / part).mkdir(parents=True)
    (other / "transform_fn").symlink_to(graph / "transform_fn")
    (other / "transformed_metadata" / "schema.pbtxt").write_text(TRANSFORMED_SCHEMA)
    (other / "metadata" / "schema.pbtxt").write_text(
        'feature { name: "fare" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }'
    )
    message = fails(transform_graph=other, epochs=1)
    assert "can't be joined to the transform graph" in message
    assert "Give the graph that the examples were transformed with" in message


def test_model_with_two_outputs(fails):
    module = """
import keras

def build_model(transform, hyperparameters):
    fare = keras.Input((1,), name="fare")
    outputs = [keras.layers.Dense(1, "sigmoid")(fare), keras.layers.Dense(1, "sigmoid")(fare)]
    model = keras.Model({"fare": fare}, outputs)
    model.compile("sgd", ["binary_crossentropy", None])
    return model
"""
    assert "model has 2 outputs. Return a model with one" in fails(module, epochs=1)


def test_json_hyperparameters_are_what_the_model_was_built_with(trained):
    assert json.loads((trained.out / "best_hyperparameters").read_text())["units"] == 8


def test_the_served_model_has_the_models_weights_and_not_the_optimizers(trained):
    saved = tf.train.list_variables(str(trained.out / "model" / "variables" / "variables"))
    weights = [tuple(shape) for name, shape in saved if name.endswith("/.ATTRIBUTES/VARIABLE_VALUE")]
    assert weights
    assert not [name for name, _ in saved if "optimizer" in name or "momentum" in name or "velocity" in name]
