"""ROC curve, calibration and confusion matrix out of TFMA's plots."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow_model_analysis.proto import metrics_for_slice_pb2

from evaluate.aggregate import Aggregates
from evaluate.config import BASELINE
from evaluate.slicing import OVERALL

# More would not be seen, and KFP keeps the curve in its metadata.
ROC_POINTS = 200
CALIBRATION_BINS = 10
DECISION = 0.5


@dataclass(frozen=True)
class Curves:
    """How one model does on the whole split.

    Attributes:
        roc: (threshold, recall, false positive rate) by falling threshold.
        calibration: (mean prediction, share of positives, examples) of each bin that has examples.
        confusion: [[true negatives, false positives], [false negatives, true positives]] at DECISION.
    """

    roc: list[tuple[float, float, float]]
    calibration: list[tuple[float, float, int]]
    confusion: list[list[int]]


def curves(aggregates: Aggregates) -> dict[str, Curves]:
    """Returns the curves of each model over the whole split, under `candidate` and, if there is one, `baseline`."""
    overall = next(proto for proto in aggregates.plots if len(proto.slice_key.single_slice_keys) == len(OVERALL))
    found = {}
    for item in overall.plot_keys_and_values:
        plot = item.value
        found["baseline" if item.key.model_name == BASELINE else "candidate"] = Curves(
            _roc(plot), _calibration(plot), _confusion(plot)
        )
    return found


def kfp_classification_metrics(model: Curves) -> dict[str, Any]:
    """Returns KFP's ClassificationMetrics metadata."""
    return {
        "confidenceMetrics": [
            {"confidenceThreshold": threshold, "recall": recall, "falsePositiveRate": rate}
            for threshold, recall, rate in model.roc
        ],
        "confusionMatrix": {
            "annotationSpecs": [{"displayName": "0"}, {"displayName": "1"}],
            "rows": [{"row": row} for row in model.confusion],
        },
    }


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
    # Thresholds are evenly spaced but points are not: those that are kept have equal distances along the curve.
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(points[:, 1:], axis=0)).sum(axis=1))])
    kept = np.unique(np.searchsorted(along, np.linspace(0.0, along[-1], ROC_POINTS)))
    return [(float(a), float(b), float(c)) for a, b, c in points[np.minimum(kept, len(points) - 1)]]


def _calibration(plot: metrics_for_slice_pb2.PlotData) -> list[tuple[float, float, int]]:
    bins = np.zeros((CALIBRATION_BINS, 3))
    for bucket in plot.calibration_histogram_buckets.buckets:
        examples = bucket.num_weighted_examples.value
        if examples:
            prediction = bucket.total_weighted_refined_prediction.value
            index = min(int(prediction / examples * CALIBRATION_BINS), CALIBRATION_BINS - 1)
            bins[index] += prediction, bucket.total_weighted_label.value, examples
    return [(total / count, labels / count, int(count)) for total, labels, count in bins.tolist() if count]


def _confusion(plot: metrics_for_slice_pb2.PlotData) -> list[list[int]]:
    matrix = min(plot.confusion_matrix_at_thresholds.matrices, key=lambda item: abs(item.threshold - DECISION))
    return [
        [round(matrix.true_negatives), round(matrix.false_positives)],
        [round(matrix.false_negatives), round(matrix.true_positives)],
    ]
