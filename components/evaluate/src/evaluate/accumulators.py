"""TFMA's accumulators of a slice, computed from arrays of rows.

Most of TFMA's combiners add terms of rows up, some by bucket. `terms` of many rows are made at once, the sums of all
slices are kept as arrays, and only in the end become the accumulator that TFMA's combiner extracts its result from.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_model_analysis import version
from tensorflow_model_analysis.contrib.aggregates import binary_confusion_matrices as matrices
from tensorflow_model_analysis.metrics import (
    aggregation,
    binary_confusion_matrices,
    calibration,
    calibration_histogram,
    example_count,
    mean_regression_error,
    metric_types,
    multi_class_confusion_matrix_metrics,
    squared_pearson_correlation,
    tf_metric_wrapper,
)
from tensorflow_model_analysis.utils.keras_lib import tf_keras

from evaluate import own_metrics, views
from evaluate.problem import Problem
from stepkit import tasks

# The release whose combiners' internals are known here.
TFMA_VERSION = "0.52.0"

# pylint: disable=protected-access  # combiners have no public face; the version is checked


Terms = Callable[[views.Rows], tuple[np.ndarray | int, np.ndarray]]


@dataclass(frozen=True)
class Additive:
    """How to compute a combiner's accumulator from sums.

    Attributes:
        cells: number of buckets that rows fall into.
        terms: from labels, predictions and weights to buckets (int64 [n], or 0 for all) and what is added there
            (float64 [n, terms]); n is the number of rows, or a multiple: then each row has as many in turn.
        accumulator: from the buckets that have rows (int64 [n], rising) and their sums (float64 [n, terms]) to TFMA's
            accumulator.
        weighted: False if all rows count as one.
    """

    cells: int
    terms: Terms
    accumulator: Callable[[np.ndarray, np.ndarray], Any]
    weighted: bool = False


def check_version(found: str = version.VERSION) -> None:
    """Raises RuntimeError if this isn't the TFMA whose accumulators are built here."""
    if found != TFMA_VERSION:
        raise RuntimeError(
            f"evaluate builds the accumulators of TFMA {TFMA_VERSION}; this is {found}. Compare its combiners "
            "with evaluate/accumulators.py, run the tests, and set TFMA_VERSION."
        )


def additive(computation: metric_types.MetricComputation, problem: Problem) -> Additive | None:
    """Returns how to accumulate rows of a problem.

    Returns:
        None if the combiner isn't known, or is used in a way (of several outputs, say) that isn't.
    """
    combiner = computation.combiner
    make = _MAKERS.get(type(combiner))
    # A subclass may prepare rows otherwise.
    standard = {type(item) for item in computation.preprocessors} <= {metric_types.StandardMetricInputsPreprocessor}
    if make is None or not standard or any(key.output_name for key in computation.keys):
        return None
    made = make(combiner, computation.keys[0], problem)
    return made and replace(made, weighted=bool(getattr(combiner, "_example_weighted", False)))


_Make = Callable[[Any, metric_types.MetricKey, Problem], Additive | None]
# From labels and predictions of pairs to a number each.
_Term = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _one_cell(pairs: Callable[[views.Rows], views.Pairs], accumulator: Callable[..., Any], *terms: _Term) -> Additive:
    """Sums over all pairs, each times its weight; `accumulator` takes one sum a term."""

    def weighted(rows: views.Rows) -> tuple[int, np.ndarray]:
        labels, predictions, weights = pairs(rows)
        return 0, np.stack([term(labels, predictions) * weights for term in terms], axis=1)

    return Additive(1, weighted, lambda _, sums: accumulator(*sums[0].tolist()))


def _labels(labels: np.ndarray, _: np.ndarray) -> np.ndarray:
    return labels


def _predictions(_: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return predictions


def _ones(labels: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.ones(len(labels))


def _example_count(_: Any, __: metric_types.MetricKey, ___: Problem) -> Additive:
    return Additive(1, lambda rows: (0, rows[2][:, None]), lambda _, sums: float(sums[0, 0]))


def _totals(combiner: Any, key: metric_types.MetricKey, problem: Problem) -> Additive | None:
    if key.sub_key and key.sub_key.top_k is not None:
        return None

    def accumulator(labels: float, predictions: float, examples: float) -> Any:
        made = combiner.create_accumulator()
        made.total_weighted_labels = labels
        made.total_weighted_predictions = predictions
        made.total_weighted_examples = examples
        return made

    return _one_cell(views.pairs(combiner, key, problem), accumulator, _labels, _predictions, _ones)


def _mean_error(error: _Term) -> _Make:
    """Means of errors, of the rows that have one; TFMA leaves out those where it is NaN."""

    def defined(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        return (~np.isnan(error(labels, predictions))).astype(np.float64)

    def make(combiner: Any, key: metric_types.MetricKey, problem: Problem) -> Additive:
        def accumulator(total: float, examples: float) -> Any:
            made = combiner.create_accumulator()
            made.total_regression_error, made.total_example_weights = total, examples
            return made

        pairs = views.pairs(combiner, key, problem)
        return _one_cell(pairs, accumulator, lambda *pair: np.nan_to_num(error(*pair), posinf=np.inf), defined)

    return make


def _absolute(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.abs(labels - predictions)


def _squared(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.abs(labels - predictions) ** 2


def _percentage(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    shares = np.full(len(labels), np.nan)
    np.divide(labels - predictions, labels, out=shares, where=labels != 0)
    return 100 * np.abs(shares)


def _squared_logarithmic(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.log(labels + 1) - np.log(predictions + 1)) ** 2


def _correlation(combiner: Any, key: metric_types.MetricKey, problem: Problem) -> Additive | None:
    if key.sub_key:
        return None

    def accumulator(*sums: float) -> Any:
        made = combiner.create_accumulator()
        (
            made.total_weighted_labels,
            made.total_weighted_predictions,
            made.total_weighted_squared_labels,
            made.total_weighted_squared_predictions,
            made.total_weighted_labels_times_predictions,
            made.total_weighted_examples,
        ) = sums
        return made

    return _one_cell(
        views.pairs(combiner, key, problem),
        accumulator,
        _labels,
        _predictions,
        lambda labels, _: labels**2,
        lambda _, predictions: predictions**2,
        lambda labels, predictions: labels * predictions,
        _ones,
    )


def _histogram(combiner: Any, key: metric_types.MetricKey, problem: Problem) -> Additive:
    last = combiner._num_buckets + 1
    pairs = views.pairs(combiner, key, problem)

    def terms(rows: views.Rows) -> tuple[np.ndarray, np.ndarray]:
        labels, predictions, weights = pairs(rows)
        bucketed = predictions if combiner._prediction_based_bucketing else labels
        position = (bucketed - combiner._left) / combiner._range * combiner._num_buckets + 1
        cells = np.clip(position, 0, last).astype(np.int64)
        return cells, np.stack([labels * weights, predictions * weights, weights], 1)

    def accumulator(cells: np.ndarray, sums: np.ndarray) -> Any:
        rows = zip(cells.tolist(), sums.tolist(), strict=True)
        return {cell: calibration_histogram.Bucket(cell, *total) for cell, total in rows}

    return Additive(last + 1, terms, accumulator)


def _confusion(combiner: Any, key: metric_types.MetricKey, problem: Problem) -> Additive | None:
    if combiner._example_id_key or not combiner._enable_fractional_labels:
        return None
    thresholds = combiner._binary_confusion_matrices._thresholds
    ordered = np.unique(thresholds)
    places = np.searchsorted(ordered, thresholds)
    pairs = views.pairs(combiner, key, problem)

    def terms(rows: views.Rows) -> tuple[np.ndarray, np.ndarray]:
        labels, predictions, weights = pairs(rows)
        # The cell is the number of thresholds that the prediction is above.
        return np.searchsorted(ordered, predictions), np.stack([labels * weights, (1 - labels) * weights], 1)

    def accumulator(cells: np.ndarray, sums: np.ndarray) -> Any:
        by_cell = np.zeros((len(ordered) + 1, 2))
        by_cell[cells] = sums
        not_above = np.cumsum(by_cell, axis=0)
        above = not_above[-1] - not_above
        pairs_of_cells = zip(above[places].tolist(), not_above[places].tolist(), strict=True)
        return {
            threshold: matrices._ThresholdEntry(matrices.Matrix(tp=tp, tn=tn, fp=fp, fn=fn), [], [], [], [])
            for threshold, ((tp, fp), (fn, tn)) in zip(thresholds, pairs_of_cells, strict=True)
        }

    return Additive(len(ordered) + 1, terms, accumulator)


def _class_shares(combiner: Any, _: metric_types.MetricKey, problem: Problem) -> Additive:
    return Additive(
        1,
        lambda rows: (0, views.one_hot(rows[0], problem) * rows[2][:, None]),
        lambda _, sums: {number: float(sums[0, number]) for number in combiner._class_ids},
    )


def _class_cells(rows: views.Rows, problem: Problem) -> np.ndarray:
    """Returns the cell of each row in a matrix [actual, predicted] of classes; the first of equal scores counts."""
    return rows[0].astype(np.int64) * problem.outputs + rows[1].argmax(axis=1)


def _matrix(cells: np.ndarray, sums: np.ndarray, size: int) -> np.ndarray:
    made = np.zeros(size * size)
    made[cells] = sums[:, 0]
    return made.reshape(size, size)


def _class_confusion(combiner: Any, _: metric_types.MetricKey, problem: Problem) -> Additive | None:
    """The matrix of classes at one threshold, which the highest score has to be above."""
    if len(combiner._thresholds) != 1 or problem.task != tasks.MULTICLASS:
        return None
    threshold, size = combiner._thresholds[0], problem.outputs

    def terms(rows: views.Rows) -> tuple[np.ndarray, np.ndarray]:
        above = rows[1].max(axis=1) > threshold
        predicted = np.where(above, rows[1].argmax(axis=1), size)
        return rows[0].astype(np.int64) * (size + 1) + predicted, rows[2][:, None]

    def accumulator(cells: np.ndarray, sums: np.ndarray) -> Any:
        entries = {}
        for cell, total in zip(cells.tolist(), sums[:, 0].tolist(), strict=True):
            actual, predicted = divmod(cell, size + 1)
            none = multi_class_confusion_matrix_metrics.NO_PREDICTED_CLASS_ID
            key = multi_class_confusion_matrix_metrics.MatrixEntryKey(actual, none if predicted == size else predicted)
            entries[key] = total
        return multi_class_confusion_matrix_metrics.Matrices({threshold: entries})

    return Additive(size * (size + 1), terms, accumulator)


def _own(combiner: own_metrics.SummedCombiner, key: metric_types.MetricKey, problem: Problem) -> Additive:
    terms = combiner.summed.terms
    if terms is None:
        size = problem.outputs
        return Additive(
            size * size,
            lambda rows: (_class_cells(rows, problem), rows[2][:, None]),
            lambda cells, sums: _matrix(cells, sums, size),
        )
    pairs = views.pairs(combiner, key, problem)

    def weighted(rows: views.Rows) -> tuple[int, np.ndarray]:
        labels, predictions, weights = pairs(rows)
        return 0, terms(labels, predictions) * weights[:, None]

    return Additive(1, weighted, lambda _, sums: sums[0])


def _keras_means(combiner: Any, key: metric_types.MetricKey, problem: Problem) -> Additive | None:
    """Keras metrics that are means of a function of a row: their weights are its sum and that of the rows' weights."""
    if key.sub_key or key.aggregation_type:
        return None
    combiner.setup()
    metrics = combiner._metrics.get("", [])
    padded = combiner.create_accumulator()._pad
    functions = [found for metric in metrics if (found := _keras_function(metric))]
    if not functions or padded or len(functions) < len(metrics):
        return None

    def shaped(values: np.ndarray, metric: Any) -> tf.Tensor:
        return tf.constant(values if problem.has_many_outputs else values[:, None], metric.dtype)

    def terms(rows: views.Rows) -> tuple[int, np.ndarray]:
        labels, predictions, weights = rows
        columns = [weights]
        for metric, function in zip(metrics, functions, strict=True):
            found = function(shaped(labels, metric), shaped(predictions, metric))
            columns.append(np.asarray(found, np.float64).reshape(-1) * weights)
        return 0, np.stack(columns, axis=1)

    def accumulator(_: np.ndarray, sums: np.ndarray) -> Any:
        made = combiner.create_accumulator()
        rows, *totals = sums[0].astype(np.float32)
        for index, total in enumerate(totals):
            made.add_weights(0, index, [total, rows])
        return made

    return Additive(1, terms, accumulator)


def _keras_function(metric: Any) -> Callable[[tf.Tensor, tf.Tensor], Any] | None:
    """Returns what a Keras metric takes the mean of, as a function of labels and predictions; None: it takes none."""
    if isinstance(metric, tf_keras.metrics.MeanMetricWrapper):
        return lambda labels, predictions: metric._fn(labels, predictions, **metric._fn_kwargs)
    if isinstance(metric, tf_keras.metrics.RootMeanSquaredError):
        return lambda labels, predictions: tf.reduce_mean(tf.math.squared_difference(predictions, labels), axis=-1)
    return None


_MAKERS: dict[type, _Make] = {
    aggregation._ClassWeightsFromLabelsCombiner: _class_shares,
    binary_confusion_matrices._BinaryConfusionMatrixCombiner: _confusion,
    calibration._WeightedLabelsPredictionsExamplesCombiner: _totals,
    calibration_histogram._CalibrationHistogramCombiner: _histogram,
    example_count._ExampleCountCombiner: _example_count,
    mean_regression_error._MeanAbsoluteErrorCombiner: _mean_error(_absolute),
    mean_regression_error._MeanAbsolutePercentageErrorCombiner: _mean_error(_percentage),
    mean_regression_error._MeanSquaredErrorCombiner: _mean_error(_squared),
    mean_regression_error._MeanSquaredLogarithmicErrorCombiner: _mean_error(_squared_logarithmic),
    multi_class_confusion_matrix_metrics._MultiClassConfusionMatrixCombiner: _class_confusion,
    own_metrics.SummedCombiner: _own,
    squared_pearson_correlation._SquaredPearsonCorrelationCombiner: _correlation,
    tf_metric_wrapper._CompilableMetricsCombiner: _keras_means,
}
