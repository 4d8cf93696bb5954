"""ROC and precision-recall curves, calibration and confusion matrix, out of TFMA's plots and what is drawn beside."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tensorflow_model_analysis.proto import metrics_for_slice_pb2

from evaluate.aggregate import Aggregates
from evaluate.config import BASELINE
from evaluate.drawing import Drawn
from evaluate.problem import Problem
from evaluate.slicing import OVERALL
from stepkit import tasks

# More would not be seen, and KFP keeps the curve in its metadata.
ROC_POINTS = 200
CALIBRATION_BINS = 10
DECISION = 0.5


@dataclass(frozen=True)
class Curve:
    """How well scores tell a class from the rest.

    Attributes:
        roc: (threshold, recall, false positive rate) by falling threshold.
        precision: (recall, precision) by falling threshold.
        calibration: (mean prediction, share of positives, weight of examples) of each bin that has examples.
    """

    roc: list[tuple[float, float, float]] = field(default_factory=list)
    precision: list[tuple[float, float]] = field(default_factory=list)
    calibration: list[tuple[float, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Curves:
    """How one model does on the whole split.

    Attributes:
        by_class: class to its curve; of a binary model of the class that is predicted; none of regression.
        confusion: rows by actual and predicted class (a binary model's at DECISION); empty if there is no such matrix.
        dots: (label, prediction) of some rows of regression.
    """

    by_class: dict[str, Curve] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    dots: list[tuple[float, float]] = field(default_factory=list)

    def never_predicted(self, problem: Problem) -> list[str]:
        """Returns the classes that no row is predicted to be of, where there is a confusion matrix."""
        if not self.confusion:
            return []
        totals = np.array(self.confusion).sum(axis=0).tolist()
        return [name for name, total in zip(problem.class_names, totals, strict=True) if not total]


def curves(aggregates: Aggregates, drawn: Drawn, problem: Problem, models: Sequence[str]) -> dict[str, Curves]:
    """Returns the curves of each model over the whole split, under `candidate` and, if there is one, `baseline`.

    Args:
        models: names in the configuration, in the order of the dots' columns.
    """
    overall = next(proto for proto in aggregates.plots if len(proto.slice_key.single_slice_keys) == len(OVERALL))
    found = {}
    for index, name in enumerate(models):
        plots = [item.value for item in overall.plot_keys_and_values if item.key.model_name == name and _is_whole(item)]
        shown = "baseline" if name == BASELINE else "candidate"
        if problem.task == tasks.BINARY:
            found[shown] = _binary(plots, problem)
        elif problem.task == tasks.REGRESSION:
            dots = np.empty((0, 2)) if drawn.dots is None else drawn.dots[:, [0, 1 + index]]
            found[shown] = Curves(dots=list(map(tuple, dots.tolist())))
        else:
            by_class = zip(problem.class_names, drawn.of_classes(name, problem.outputs), strict=True)
            found[shown] = Curves({each: _of_histogram(sums) for each, sums in by_class}, _of_classes(plots, problem))
    return found


def _is_whole(item: Any) -> bool:
    return not item.key.HasField("sub_key") and not item.key.name.startswith("_")


def _binary(plots: Sequence[metrics_for_slice_pb2.PlotData], problem: Problem) -> Curves:
    plot = metrics_for_slice_pb2.PlotData()
    for each in plots:
        plot.MergeFrom(each)
    matrices = plot.confusion_matrix_at_thresholds.matrices
    precision = [(matrix.recall, matrix.precision) for matrix in reversed(matrices)]
    return Curves(
        {problem.class_names[1]: Curve(_roc(plot), _thinned(precision), _calibration(plot))}, _confusion(plot)
    )


def _of_classes(plots: Sequence[metrics_for_slice_pb2.PlotData], problem: Problem) -> list[list[int]]:
    matrix = np.zeros((problem.outputs, problem.outputs))
    found = [each for plot in plots for each in plot.multi_class_confusion_matrix_at_thresholds.matrices]
    if not found:
        return []
    for entry in found[0].entries:
        if entry.predicted_class_id >= 0:
            matrix[entry.actual_class_id, entry.predicted_class_id] += entry.num_weighted_examples
    return [[round(each) for each in row] for row in matrix.tolist()]


def _of_histogram(sums: np.ndarray) -> Curve:
    """Returns the curve of a class from its weights, labels and scores by bucket (float64 [buckets, 3])."""
    weights, labels, scores = sums.T
    positives, negatives = labels.sum(), weights.sum() - labels.sum()
    if positives <= 0 or negatives <= 0:
        return Curve(calibration=_binned(weights, labels, scores))
    above = np.concatenate([[0.0], np.cumsum(labels[::-1])])
    wrong = np.concatenate([[0.0], np.cumsum((weights - labels)[::-1])])
    thresholds = np.linspace(1, 0, len(weights) + 1)
    points = np.stack([thresholds, above / positives, wrong / negatives], axis=1)
    predicted = above + wrong
    precision = np.divide(above, predicted, out=np.ones(len(above)), where=predicted > 0)
    roc = [(float(a), float(b), float(c)) for a, b, c in points[_kept(points[:, 1:])]]
    pairs = list(zip((above / positives).tolist(), precision.tolist(), strict=True))
    return Curve(roc, _thinned(pairs), _binned(weights, labels, scores))


def _binned(weights: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> list[tuple[float, float, float]]:
    parts = [
        np.add.reduceat(each, np.arange(0, len(each), len(each) // CALIBRATION_BINS))
        for each in (scores, labels, weights)
    ]
    return [(score / weight, label / weight, weight) for score, label, weight in np.stack(parts, 1).tolist() if weight]


def kfp_classification_metrics(model: Curves, problem: Problem) -> dict[str, Any]:
    """Returns KFP's ClassificationMetrics metadata: nothing for regression, and a ROC curve for binary models alone."""
    found: dict[str, Any] = {}
    if problem.task == tasks.BINARY:
        found["confidenceMetrics"] = [
            {"confidenceThreshold": threshold, "recall": recall, "falsePositiveRate": rate}
            for curve in model.by_class.values()
            for threshold, recall, rate in curve.roc
        ]
    if model.confusion:
        found["confusionMatrix"] = {
            "annotationSpecs": [{"displayName": name} for name in problem.class_names],
            "rows": [{"row": row} for row in model.confusion],
        }
    return found


def _roc(plot: metrics_for_slice_pb2.PlotData) -> list[tuple[float, float, float]]:
    points = np.array(
        [
            (
                matrix.threshold,
                matrix.true_positives / (matrix.true_positives + matrix.false_negatives),
                matrix.false_positives / (matrix.false_positives + matrix.true_negatives),
            )
            for matrix in reversed(plot.confusion_matrix_at_thresholds.matrices)
        ]
    )
    return [(float(a), float(b), float(c)) for a, b, c in points[_kept(points[:, 1:])]]


def _kept(points: np.ndarray) -> np.ndarray:
    """Returns which points of a curve (float64 [n, 2]) to keep.

    Thresholds are evenly spaced but points are not: those that are kept have equal distances along the curve.
    """
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(points, axis=0)).sum(axis=1))])
    kept = np.unique(np.searchsorted(along, np.linspace(0.0, along[-1], ROC_POINTS)))
    return np.minimum(kept, len(points) - 1)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [points[index] for index in _kept(np.array(points)).tolist()]


def _calibration(plot: metrics_for_slice_pb2.PlotData) -> list[tuple[float, float, float]]:
    bins = np.zeros((CALIBRATION_BINS, 3))
    for bucket in plot.calibration_histogram_buckets.buckets:
        examples = bucket.num_weighted_examples.value
        if examples:
            prediction = bucket.total_weighted_refined_prediction.value
            index = min(int(prediction / examples * CALIBRATION_BINS), CALIBRATION_BINS - 1)
            bins[index] += prediction, bucket.total_weighted_label.value, examples
    return [(total / count, labels / count, count) for total, labels, count in bins.tolist() if count]


def _confusion(plot: metrics_for_slice_pb2.PlotData) -> list[list[int]]:
    matrix = min(plot.confusion_matrix_at_thresholds.matrices, key=lambda item: abs(item.threshold - DECISION))
    return [
        [round(matrix.true_negatives), round(matrix.false_positives)],
        [round(matrix.false_negatives), round(matrix.true_positives)],
    ]
