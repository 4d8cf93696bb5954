"""What the candidate's transform says of rows beside features: labels and weights, as numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from evaluate import models
from evaluate.problem import Problem
from stepkit import tasks
from stepkit.errors import StepError, near_misses


@dataclass(frozen=True)
class Targets:
    """Of some rows.

    Attributes:
        labels: float64 [rows]; a class is its position among the problem's classes, NaN where it isn't one. Multilabel:
            float64 [rows, classes].
        weights: float64 [rows]; None: each row counts as one.
        unknown: a class that isn't one of the problem's, if there is one.
    """

    labels: np.ndarray
    weights: np.ndarray | None = None
    unknown: str | None = None

    def take(self, rows: np.ndarray) -> "Targets":
        """Returns the same of some rows (positions)."""
        return Targets(self.labels[rows], None if self.weights is None else self.weights[rows], self.unknown)


def reader(model: models.Model, problem: Problem) -> Callable[[tf.Tensor], Targets]:
    """Returns a function from serialized tf.Examples (string [rows]) to their labels and weights.

    Raises:
        StepError: now, if the model has no such signature; when called, if it fails, lacks label or weight, or gives
            something else than the task has.
    """
    signature = model.signature(models.TRANSFORM)

    def read(serialized: tf.Tensor) -> Targets:
        outputs = signature(serialized)
        for name, flag in ((problem.label, "label {!r} (--label-key)"), (problem.weight, "weight {!r} (WEIGHT)")):
            if name and name not in outputs:
                raise StepError(
                    f"The transformed features of {model.what} have no {flag.format(name)}. "
                    f"{near_misses(name, outputs)}"
                )
        rows = len(serialized)
        weights = None
        if problem.weight:
            weights = models.one_per_row(outputs[problem.weight], rows, f"Weight {problem.weight!r}")
        return _labelled(outputs[problem.label], rows, problem, weights)

    return read


def _labelled(output: tf.Tensor, rows: int, problem: Problem, weights: np.ndarray | None) -> Targets:
    what = f"Label {problem.label!r}"
    if problem.task == tasks.MULTILABEL:
        if output.dtype == tf.string or output.shape != (rows, problem.outputs):
            raise StepError(
                f"{what} must be {problem.outputs} numbers of 0 or 1 a row, one for each class; for {rows:,} rows its "
                f"shape is {list(output.shape)} ({output.dtype.name}). Correct it in preprocessing_fn."
            )
        return Targets(output.numpy().astype(np.float64), weights)
    if problem.task == tasks.REGRESSION or not problem.classes:
        return Targets(models.one_per_row(output, rows, what), weights)
    values = output.numpy()
    if values.size != rows:
        raise StepError(f"{what} must be one class a row; for {rows:,} rows its shape is {list(values.shape)}.")
    codes, unknown = _positions(values.reshape(-1), problem.classes)
    return Targets(codes, weights, unknown)


def _positions(values: np.ndarray, classes: tuple[tasks.Class, ...]) -> tuple[np.ndarray, str | None]:
    """Returns each value's position among `classes`, and a value that isn't there; NaN isn't a value."""
    found, inverse = np.unique(values, return_inverse=True)
    plain = [value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value for value in found]
    places = {name: float(place) for place, name in enumerate(classes)}
    positions = np.array([places.get(value, np.nan) for value in plain], np.float64)
    strange = [value for value in plain if value not in places and not _is_nan(value)]
    return positions[inverse], (_shown(strange[0]) if strange else None)


def _is_nan(value: object) -> bool:
    return isinstance(value, float | np.floating) and np.isnan(value)


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else f"{value:g}"  # a number as it is in the data
