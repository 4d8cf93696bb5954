"""Rows and models of every task: 300 rows, of which each model knows two numbers."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf
from conftest import Step, write_examples

from stepkit import model_description, tasks
from stepkit.model_description import ModelDescription

CLASSES = ("ant", "bee", "crow")
TAGS = ("red", "blue", "green")
TYPES = {"x": "FLOAT", "z": "FLOAT", "y": "FLOAT", "weight": "FLOAT", "group": "BYTES"}
TYPES |= {"kind": "BYTES", "yes": "BYTES", "kind_id": "INT", "yes_id": "INT"}  # numbers for plain TFMA
TYPES |= dict.fromkeys(TAGS, "FLOAT")
LABELS = {tasks.BINARY: "yes", tasks.MULTICLASS: "kind", tasks.MULTILABEL: "tags", tasks.REGRESSION: "y"}
SCHEMA = "".join(f'feature {{ name: "{name}" type: {kind} }}\n' for name, kind in TYPES.items())
# Of x, z and a constant, to the three classes or tags; a regression takes the first.
GOOD = np.array([[1.2, -0.3, 0.1], [-0.4, 1.0, 0.2], [-0.5, -0.8, -0.3]])
WORSE = np.array([[0.5, 0.2, 0.0], [0.1, 0.3, 0.1], [-0.2, -0.2, 0.2]])


def make_table() -> pa.Table:
    """Returns rows that a good model is right about in most cases; every group has all classes."""
    random = np.random.default_rng(11)
    rows = 300
    x, z = random.normal(size=(2, rows))
    logits = np.stack([x, z, np.ones(rows)], 1) @ GOOD.T
    noisy = logits + random.normal(scale=0.8, size=logits.shape)
    kind = noisy.argmax(1)
    tags = (noisy > 0.3).astype(np.float32)
    return pa.table(
        {
            "x": x.astype(np.float32),
            "z": z.astype(np.float32),
            "kind": [CLASSES[each] for each in kind],
            "kind_id": kind,
            **dict(zip(TAGS, tags.T, strict=True)),
            "y": (20 + 5 * noisy[:, 0]).astype(np.float32),
            "yes_id": (noisy[:, 0] > 0).astype(np.int64),
            "yes": np.where(noisy[:, 0] > 0, "yes", "no").tolist(),
            "weight": random.choice([0.0, 0.5, 1.0, 3.0], rows, p=[0.1, 0.3, 0.3, 0.3]).astype(np.float32),
            "group": random.choice(["north", "south"], rows).tolist(),
        }
    )


def predict(task: str, table: pa.Table, weights: np.ndarray = GOOD) -> np.ndarray:
    """Returns what a model of `write_model` answers: float64 [rows] or [rows, 3]."""
    x, z = (np.array(table[name], np.float64) for name in ("x", "z"))
    logits = np.stack([x, z, np.ones(len(x))], 1) @ weights.T
    if task == tasks.MULTICLASS:
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if task == tasks.MULTILABEL:
        return 1 / (1 + np.exp(-logits))
    return 20 + 5 * logits[:, 0] if task == tasks.REGRESSION else 1 / (1 + np.exp(-logits[:, 0]))


def classes_of(task: str) -> tuple[str, ...]:
    return {tasks.MULTICLASS: CLASSES, tasks.MULTILABEL: TAGS, tasks.BINARY: ("no", "yes")}.get(task, ())


def write_model(
    folder: Path, task: str, weights: np.ndarray = GOOD, order: tuple[str, ...] = (), weight: str = "", kind: str = ""
) -> Path:
    """Exports a model as train does.

    Args:
        order: its classes, if not those of the task in their order.
        weight: its WEIGHT.
        kind: what is wrong with it: `logits`, `narrow`, `nan`.
    """
    classes = order or classes_of(task)
    numbers = {tasks.MULTICLASS: 3, tasks.MULTILABEL: 3}.get(task, 1)
    places = [classes_of(task).index(name) for name in classes] if numbers > 1 else [0]
    parsed = {name: tf.io.FixedLenFeature([1], tf.float32) for name in ("x", "z", "y", "weight", *TAGS)}
    parsed |= {name: tf.io.FixedLenFeature([1], tf.string) for name in ("kind", "yes")}
    serving = {name: parsed[name] for name in ("x", "z")}

    class Exported(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(weights[places].T, dtype=tf.float32)
            self.functions = []

    exported = Exported()
    serialized = [tf.TensorSpec([None], tf.string, name="examples")]

    @tf.function(input_signature=serialized)
    def serve(examples):
        raw = tf.io.parse_example(examples, serving)
        logits = tf.concat([raw["x"], raw["z"], tf.ones_like(raw["x"])], 1) @ exported.weights
        if kind == "narrow":
            logits = logits[:, :2]
        if kind == "nan":
            logits = tf.math.log(logits)
        if task == tasks.REGRESSION:
            return {"predictions": 20 + 5 * logits}
        squash = tf.nn.softmax if task == tasks.MULTICLASS else tf.sigmoid
        scores = logits if kind == "logits" else tf.sigmoid(logits) if kind == "sigmoid" else squash(logits)
        if task == tasks.BINARY:
            return {"probabilities": 1 - scores if order and order != classes_of(task) else scores}
        return {"scores": scores, "classes": tf.tile(tf.constant([classes]), [tf.shape(scores)[0], 1])}

    @tf.function(input_signature=serialized)
    def transform(examples):
        raw = tf.io.parse_example(examples, parsed)
        raw["tags"] = tf.concat([raw[name] for name in TAGS], 1)
        return {LABELS[task]: raw[LABELS[task]], "weight": raw["weight"], "x_scaled": raw["x"] / 2}

    exported.functions = [serve, transform]
    tf.saved_model.save(exported, str(folder), {"serving_default": serve, "transform_features": transform})
    path = folder / model_description.FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(ModelDescription(LABELS[task], task, classes, weight).to_json(), encoding="utf-8")
    return folder


def write_all(folder: Path) -> Path:
    """Writes examples, schema, and of each task a model, one with a weight, and a worse one in both orders."""
    write_examples(folder / "examples", make_table(), shards=3)
    (folder / "schema").write_text(SCHEMA, encoding="utf-8")
    for task in tasks.TASKS:
        write_model(folder / task, task)
        write_model(folder / f"{task}_weighted", task, weight="weight")
        write_model(folder / f"{task}_worse", task, WORSE)
        write_model(folder / f"{task}_worse_reversed", task, WORSE, order=classes_of(task)[::-1])
    return folder


def step_of(folder: Path, shared: Path, task: str, model: str = "") -> Step:
    made = Step(folder, shared / "examples", shared / "schema", shared / (model or task))
    made.inputs |= {"label_key": LABELS[task]}
    return made
