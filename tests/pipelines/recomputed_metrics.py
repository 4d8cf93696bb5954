"""Computes a pushed model's metrics anew, with scikit-learn, from what it answers; run in train's environment.

Usage: python recomputed_metrics.py SAVED_MODEL EXAMPLES SPLIT SCHEMA LABEL_COLUMN -> JSON on stdout: metric to value

Labels are those of the data's column, and not what the model's own transform makes of it.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn import metrics

from stepkit import examples, model_description, schemas, served

# Keras's: what keeps logarithms finite; to scores of two classes it is added as well.
EPSILON = 1e-7


def main(model_uri: str, examples_uri: str, split: str, schema_uri: str, label: str) -> None:
    description = model_description.read(Path(model_uri))
    types = schemas.read_types(schema_uri, schemas.SERVING)
    columns = types | schemas.read_types(schema_uri, schemas.TRAINING)
    batches = examples.read_batches(examples.split_files(Path(examples_uri), split), columns, 100_000)
    rows = [row for batch in batches for row in batch.to_pylist()]
    model = tf.saved_model.load(model_uri)
    serialized = tf.constant([_example(row, types).SerializeToString() for row in rows])
    answers = {name: value.numpy() for name, value in model.signatures["serving_default"](examples=serialized).items()}
    labels = [row[label][0] for row in rows]
    labels = np.array([value.decode() if isinstance(value, bytes) else value for value in labels])
    compute = {"regression": of_regression, "multiclass": of_classes, "binary": of_two_classes}[description.task]
    found = {"ExampleCount": len(rows)} | compute(labels, answers, description.classes)
    point = Path(model_uri, served.OPERATING_POINT)
    if point.is_file():
        threshold = json.loads(point.read_text(encoding="utf-8"))["threshold"]
        yes = answers["probabilities"][:, 0] > threshold
        found |= at_operating_point(labels == description.classes[1], yes)
    print(json.dumps(found))


def of_regression(labels: np.ndarray, answers: dict, _: tuple) -> dict[str, float]:
    predicted = answers["predictions"][:, 0].astype(np.float64)
    return {
        "RootMeanSquaredError": metrics.root_mean_squared_error(labels, predicted),
        "MeanAbsoluteError": metrics.mean_absolute_error(labels, predicted),
        "R2Score": metrics.r2_score(labels, predicted),
        "MeanPrediction": predicted.mean(),
    }


def of_classes(labels: np.ndarray, answers: dict, classes: tuple) -> dict[str, float]:
    scores = answers["scores"].astype(np.float64)
    scores /= scores.sum(axis=1, keepdims=True)  # float32's sums aren't 1 to the last digit
    named = answers["classes"].astype(str)[0]
    assert named.tolist() == list(classes) == sorted(set(labels))
    predicted = named[scores.argmax(axis=1)]
    return {
        "SparseCategoricalAccuracy": metrics.accuracy_score(labels, predicted),
        "SparseCategoricalCrossentropy": metrics.log_loss(labels, np.clip(scores, EPSILON, 1 - EPSILON)),
        "MulticlassF1Score_macro": metrics.f1_score(labels, predicted, average="macro"),
        "AUC_macro": metrics.roc_auc_score(labels, scores, multi_class="ovr"),
    }


def of_two_classes(labels: np.ndarray, answers: dict, classes: tuple) -> dict[str, float]:
    scores = answers["probabilities"][:, 0].astype(np.float64)
    positive = labels == classes[1]
    kept = np.clip(scores, EPSILON, 1 - EPSILON)
    return {
        "AUC": metrics.roc_auc_score(positive, scores),
        "BinaryAccuracy": metrics.accuracy_score(positive, scores > 0.5),
        "BinaryCrossentropy": metrics.log_loss(positive, np.stack([1 - kept + EPSILON, kept + EPSILON], 1)),
        "Precision": metrics.precision_score(positive, scores > 0.5),
        "Recall": metrics.recall_score(positive, scores > 0.5),
    }


def at_operating_point(positive: np.ndarray, yes: np.ndarray) -> dict[str, float]:
    found = {
        "Precision": metrics.precision_score(positive, yes),
        "Recall": metrics.recall_score(positive, yes),
        "Specificity": metrics.recall_score(~positive, ~yes),
        "F1Score": metrics.f1_score(positive, yes),
        "BinaryAccuracy": metrics.accuracy_score(positive, yes),
    }
    return {f"{name}_at_operating_point": value for name, value in found.items()}


def _example(row: dict, types: dict[str, str]) -> tf.train.Example:
    made = tf.train.Example()
    lists = {"BYTES": "bytes_list", "INT": "int64_list", "FLOAT": "float_list"}
    for name, kind in types.items():
        getattr(made.features.feature[name], lists[kind]).value.extend(row[name] or [])
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
