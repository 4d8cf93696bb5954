"""Rows as TFMA's combiners of pairs see them: one label and one prediction at a time.

What `metric_util.to_label_prediction_example_weight` does with a row (by class, rank, top k, or all classes one after
the other) is done here with arrays of them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import metric_types

from evaluate.problem import Problem
from stepkit import tasks

# Labels, predictions and weights as they come: float64 [rows] or [rows, classes]; weights float64 [rows].
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
# Each as float64 [rows * n], the n pairs of a row one after the other.
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def pairs(combiner: Any, key: metric_types.MetricKey, problem: Problem) -> Callable[[Rows], Pairs]:
    """Returns what makes the pairs that a combiner of TFMA takes from rows."""
    if not problem.has_many_outputs:
        return lambda rows: rows
    sub_key = key.sub_key
    class_weights = getattr(combiner, "_class_weights", None)
    if sub_key is None:
        return lambda rows: _flat(one_hot(rows[0], problem), rows[1], rows[2], class_weights)
    if sub_key.class_id is not None:
        number = sub_key.class_id

        def of_class(rows: Rows) -> Pairs:
            labels, predictions, weights = rows
            chosen = labels[:, number] if labels.ndim == 2 else (labels == number).astype(np.float64)
            return chosen, predictions[:, number], weights

        return of_class
    if sub_key.k is not None:
        rank = sub_key.k
        return lambda rows: _flat(*_best(rows, problem, rank, slice(rank - 1, rank)), rows[2], None)
    top_k = sub_key.top_k
    if getattr(combiner, "_aggregation_type", None):
        return lambda rows: _flat(*_best(rows, problem, top_k, slice(None)), rows[2], None)

    def of_best(rows: Rows) -> Pairs:
        labels, predictions, weights = rows
        best = np.argsort(-predictions, axis=1, kind="stable")[:, :top_k]
        shown = np.full(predictions.shape, -np.inf)
        np.put_along_axis(shown, best, np.take_along_axis(predictions, best, 1), 1)
        return _flat(one_hot(labels, problem), shown, weights, None)

    return of_best


def one_hot(labels: np.ndarray, problem: Problem) -> np.ndarray:
    """Returns float64 [rows, classes] of 0 and 1."""
    if problem.task != tasks.MULTICLASS:
        return labels
    made = np.zeros((len(labels), problem.outputs))
    made[np.arange(len(labels)), labels.astype(np.int64)] = 1
    return made


def _best(rows: Rows, problem: Problem, number: int, ranks: slice) -> tuple[np.ndarray, np.ndarray]:
    best = np.argsort(-rows[1], axis=1, kind="stable")[:, :number][:, ranks]
    return np.take_along_axis(one_hot(rows[0], problem), best, 1), np.take_along_axis(rows[1], best, 1)


def _flat(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray, by_class: dict[int, float] | None) -> Pairs:
    width = predictions.shape[1]
    repeated = np.repeat(weights, width)
    if by_class:
        repeated = repeated * np.tile([by_class.get(number, 0.0) for number in range(width)], len(weights))
    return labels.reshape(-1), predictions.reshape(-1), repeated
