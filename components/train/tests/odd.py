"""A transform output of every kind of label, whose columns have names that TensorFlow and Python don't take."""

import math
from pathlib import Path

import numpy as np
import tensorflow as tf
from conftest import Step, dense, write_examples

SPECIES = ["Adélie", "Chinstrap", "Gentoo"]
# Raw columns in serving, all optional numbers of one value a row.
RAW = ["hours per week", "1st", "Fare (EUR).per km", "a-b", "a_b", "A_B", "facts/id[0]", '"q" 100%:é', "_x"]
# Transformed feature to the raw one that it is, filled.
MADE = {
    "Fare (€) per km": RAW[2],
    "1st": RAW[1],
    "a b": RAW[3],
    "A B": RAW[4],
    "[x]: 'q' %": RAW[7],
    "hours.per-week": RAW[0],
}
LABELS = {"species": "BYTES", "code": "INT", "price": "FLOAT", "yes": "BYTES", "counts": "FLOAT", "leak": "FLOAT"}
WIDE = "tags"

_RAW_FEATURE = (
    "feature {{ name: {name} type: {kind} value_count {{ min: 1 max: 1 }} presence {{ min_count: 1 }} {more} }}"
)
_LABEL = 'not_in_environment: "SERVING"'
RAW_SCHEMA = "\n".join(
    [
        *(_RAW_FEATURE.format(name=repr(name), kind="FLOAT", more="") for name in RAW),
        _RAW_FEATURE.format(name="'kind of bird'", kind="BYTES", more=_LABEL),
        _RAW_FEATURE.format(name="'how many'", kind="FLOAT", more=""),
        'default_environment: "TRAINING" default_environment: "SERVING"',
    ]
)
_DENSE = "feature {{ name: {name} type: {kind} presence {{ min_fraction: 1 }} shape {{ dim {{ size: {size} }} }} }}"
TRANSFORMED_SCHEMA = "\n".join(
    [
        *(_DENSE.format(name=f'"{name}"', kind="FLOAT", size=1) for name in MADE),
        *(_DENSE.format(name=repr(name), kind=kind, size=1) for name, kind in LABELS.items()),
        _DENSE.format(name=repr(WIDE), kind="INT", size=3),
    ]
)

MODULE = """
import keras

TASK = {task!r}
{more}

def build_model(transform, hyperparameters):
    assert transform.task == TASK
    names = [name for name in transform.feature_spec if name not in {labels!r}]
    inputs = {{name: keras.Input((1,), name=name) for name in names}}
    hidden = keras.layers.Dense(8, "relu")(keras.layers.Concatenate()(list(inputs.values())))
    model = keras.Model(inputs, keras.layers.{last}(hidden))
    model.compile(keras.optimizers.Adam(0.05), {loss!r}, weighted_metrics=[keras.metrics.MeanSquaredError(name="mse")])
    return model
"""
_ENDS = {
    "binary": ('Dense(1, "sigmoid")', "binary_crossentropy"),
    "multiclass": ('Dense(len(transform.classes), "softmax")', "sparse_categorical_crossentropy"),
    "multilabel": ('Dense(len(transform.classes), "sigmoid")', "binary_crossentropy"),
    "regression": ("Dense(1)", "mse"),
}


def module(task: str, more: str = "", last: str = "", loss: str = "") -> str:
    made = _ENDS.get(task, _ENDS["binary"])
    # A metric of the answer against the label needs both of one width.
    text = MODULE.format(task=task, more=more, labels=[*LABELS, WIDE], last=last or made[0], loss=loss or made[1])
    return (
        text.replace(', weighted_metrics=[keras.metrics.MeanSquaredError(name="mse")]', "")
        if task == "multiclass"
        else text
    )


class Graph(tf.Module):
    """Fills every column with 0."""

    @tf.function(
        input_signature=[
            {
                **{name: tf.SparseTensorSpec([None, None], tf.float32) for name in [*RAW, "how many"]},
                "kind of bird": tf.SparseTensorSpec([None, None], tf.string),
            }
        ]
    )
    def transform_fn(self, raw):
        filled = {name: dense(raw[name], 0.0) for name in [*RAW, "how many"]}
        species = dense(raw["kind of bird"], "")
        is_gentoo = tf.cast(tf.equal(species, SPECIES[2].encode()), tf.float32)
        return {
            **{name: filled[source] for name, source in MADE.items()},
            "species": species,
            "code": tf.cast(is_gentoo, tf.int64) * 5 + 2,
            "price": is_gentoo * 3.5,
            "yes": tf.where(is_gentoo > 0, "yes", "no"),
            "counts": filled["how many"],
            "leak": is_gentoo + filled["_x"],
            WIDE: tf.tile(tf.cast(is_gentoo, tf.int64), [1, 3]),
        }


def rows(count: int, seed: int) -> list[dict]:
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        kind = int(random.integers(0, 3))
        values = {name: float(random.normal(kind, 0.3)) for name in MADE}
        made.append(
            {
                **values,
                "species": SPECIES[kind],
                "code": [2, 7, 9][kind],
                "price": math.pi * kind + float(random.normal()),
                "yes": ["no", "no", "yes"][kind],
                "counts": float(random.integers(0, 3)),
                "leak": 0.0,
                WIDE: [int(kind == 0), int(kind > 0), int(random.integers(0, 2))],
            }
        )
    return made


def splits() -> dict[str, list[dict]]:
    return {"train": rows(240, 1), "eval": rows(120, 2)}


def write_graph(folder: Path) -> Path:
    tf.saved_model.save(Graph(), str(folder / "transform_fn"))
    for name, text in {"metadata": RAW_SCHEMA, "transformed_metadata": TRANSFORMED_SCHEMA}.items():
        (folder / name).mkdir()
        (folder / name / "schema.pbtxt").write_text(text, encoding="utf-8")
    return folder


def make(folder: Path) -> Step:
    """Returns a step whose inputs are these, with nothing run."""
    return Step(write_examples(folder / "examples", splits(), "none"), write_graph(folder / "graph"), folder / "out")
