"""TFMA's accumulators of a slice, computed from arrays of rows.

Most of TFMA's combiners add terms of rows up, some by bucket. `terms` of many rows are made at once, the sums of all
slices are kept as arrays, and only in the end become the accumulator that TFMA's combiner extracts its result from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_model_analysis import version
from tensorflow_model_analysis.contrib.aggregates import binary_confusion_matrices as matrices
from tensorflow_model_analysis.metrics import (
    binary_confusion_matrices,
    calibration,
    calibration_histogram,
    example_count,
    mean_regression_error,
    metric_types,
    tf_metric_wrapper,
)
from tensorflow_model_analysis.utils.keras_lib import tf_keras

# The release whose combiners' internals are known here.
TFMA_VERSION = "0.52.0"

# pylint: disable=protected-access  # combiners have no public face; the version is checked


@dataclass(frozen=True)
class Additive:
    """How to compute a combiner's accumulator from sums.

    Attributes:
        cells: number of buckets that rows fall into.
        terms: from labels and predictions (float64 [rows]) to each row's bucket (int64 [rows], or 0 for all) and what
            it adds there (float64 [rows, terms]).
        accumulator: from the buckets that have rows (int64 [n], rising) and their sums (float64 [n, terms]) to TFMA's
            accumulator.
    """

    cells: int
    terms: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray | int, np.ndarray]]
    accumulator: Callable[[np.ndarray, np.ndarray], Any]


def check_version(found: str = version.VERSION) -> None:
    """Raises RuntimeError if this isn't the TFMA whose accumulators are built here."""
    if found != TFMA_VERSION:
        raise RuntimeError(
            f"evaluate builds the accumulators of TFMA {TFMA_VERSION}; this is {found}. Compare its combiners "
            "with evaluate/accumulators.py, run the tests, and set TFMA_VERSION."
        )


def additive(computation: metric_types.MetricComputation) -> Additive | None:
    """Returns how to accumulate rows with one label and one prediction each.

    Returns:
        None if the combiner isn't known, or is used in a way (top-k, class weights, ...) that isn't.
    """
    combiner = computation.combiner
    make = _MAKERS.get(type(combiner))
    # A subclass may prepare rows otherwise.
    standard = {type(item) for item in computation.preprocessors} <= {metric_types.StandardMetricInputsPreprocessor}
    keys = computation.keys
    if make is None or not standard or any(key.sub_key or key.output_name or key.aggregation_type for key in keys):
        return None
    if any(getattr(combiner, name, None) for name in ("_example_weighted", "_class_weights", "_aggregation_type")):
        return None
    return make(combiner)


def _one_cell(accumulator: Callable[..., Any], *terms: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Additive:
    """Sums over all rows; `accumulator` takes one sum a term."""
    return Additive(
        1,
        lambda labels, predictions: (0, np.stack([term(labels, predictions) for term in terms], axis=1)),
        lambda _, sums: accumulator(*sums[0].tolist()),
    )


def _labels(labels: np.ndarray, _: np.ndarray) -> np.ndarray:
    return labels


def _predictions(_: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return predictions


def _ones(labels: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.ones(len(labels))


# Of each slice, whatever the metrics: rows, and rows whose label is 1.
COUNTS = _one_cell(lambda rows, positives: (round(rows), round(positives)), _ones, _labels)


def _example_count(_: Any) -> Additive:
    return _one_cell(float, _ones)


def _totals(combiner: Any) -> Additive:
    def accumulator(labels: float, predictions: float, examples: float) -> Any:
        made = combiner.create_accumulator()
        made.total_weighted_labels = labels
        made.total_weighted_predictions = predictions
        made.total_weighted_examples = examples
        return made

    return _one_cell(accumulator, _labels, _predictions, _ones)


def _mean_error(power: int) -> Callable[[Any], Additive]:
    def make(combiner: Any) -> Additive:
        def accumulator(error: float, examples: float) -> Any:
            made = combiner.create_accumulator()
            made.total_regression_error, made.total_example_weights = error, examples
            return made

        return _one_cell(accumulator, lambda labels, predictions: np.abs(labels - predictions) ** power, _ones)

    return make


def _histogram(combiner: Any) -> Additive:
    last = combiner._num_buckets + 1

    def terms(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bucketed = predictions if combiner._prediction_based_bucketing else labels
        position = (bucketed - combiner._left) / combiner._range * combiner._num_buckets + 1
        return np.clip(position, 0, last).astype(np.int64), np.stack([labels, predictions, np.ones(len(labels))], 1)

    def accumulator(cells: np.ndarray, sums: np.ndarray) -> Any:
        rows = zip(cells.tolist(), sums.tolist(), strict=True)
        return {cell: calibration_histogram.Bucket(cell, *total) for cell, total in rows}

    return Additive(last + 1, terms, accumulator)


def _confusion(combiner: Any) -> Additive | None:
    if combiner._example_id_key or not combiner._enable_fractional_labels:
        return None
    thresholds = combiner._binary_confusion_matrices._thresholds
    ordered = np.unique(thresholds)

    def terms(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # The cell is the number of thresholds that the prediction is above.
        return np.searchsorted(ordered, predictions), np.stack([labels, 1 - labels], 1)

    def accumulator(cells: np.ndarray, sums: np.ndarray) -> Any:
        by_cell = np.zeros((len(ordered) + 1, 2))
        by_cell[cells] = sums
        not_above = np.cumsum(by_cell, axis=0)
        above = not_above[-1] - not_above
        made = {}
        for threshold in thresholds:
            cell = np.searchsorted(ordered, threshold)
            (tp, fp), (fn, tn) = above[cell].tolist(), not_above[cell].tolist()
            made[threshold] = matrices._ThresholdEntry(matrices.Matrix(tp=tp, tn=tn, fp=fp, fn=fn), [], [], [], [])
        return made

    return Additive(len(ordered) + 1, terms, accumulator)


def _keras_means(combiner: Any) -> Additive | None:
    """Keras metrics that are means of a function of a row: their weights are its sum and the number of rows."""
    combiner.setup()
    metrics = combiner._metrics.get("", [])
    padded = combiner.create_accumulator()._pad
    if not metrics or padded or not all(isinstance(metric, tf_keras.metrics.MeanMetricWrapper) for metric in metrics):
        return None

    def terms(labels: np.ndarray, predictions: np.ndarray) -> tuple[int, np.ndarray]:
        columns = [np.ones(len(labels))]
        for metric in metrics:
            y_true, y_pred = (tf.constant(values[:, None], metric.dtype) for values in (labels, predictions))
            columns.append(np.asarray(metric._fn(y_true, y_pred, **metric._fn_kwargs), np.float64).reshape(-1))
        return 0, np.stack(columns, axis=1)

    def accumulator(_: np.ndarray, sums: np.ndarray) -> Any:
        made = combiner.create_accumulator()
        rows, *totals = sums[0].astype(np.float32)
        for index, total in enumerate(totals):
            made.add_weights(0, index, [total, rows])
        return made

    return Additive(1, terms, accumulator)


_MAKERS: dict[type, Callable[[Any], Additive | None]] = {
    binary_confusion_matrices._BinaryConfusionMatrixCombiner: _confusion,
    calibration._WeightedLabelsPredictionsExamplesCombiner: _totals,
    calibration_histogram._CalibrationHistogramCombiner: _histogram,
    example_count._ExampleCountCombiner: _example_count,
    mean_regression_error._MeanAbsoluteErrorCombiner: _mean_error(1),
    mean_regression_error._MeanSquaredErrorCombiner: _mean_error(2),
    tf_metric_wrapper._CompilableMetricsCombiner: _keras_means,
}
