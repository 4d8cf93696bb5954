"""Metrics that TFMA lacks, as TFMA's own: its specs name them, its results hold them.

Each is a function of sums over rows (`Summed`). As the sums are made on arrays, none can add a row itself: TFMA's Beam
pipeline doesn't compute them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

from evaluate.entries import OF_CLASSES

MODULE = __name__
MACRO, MICRO, WEIGHTED = "macro", "micro", "weighted"

Terms = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Summed:
    """How a metric follows from sums.

    Attributes:
        terms: from labels and predictions (float64 [rows] each) to what each row adds (float64 [rows, terms]) for each
            unit of its weight; None: the metric is of the confusion matrix of classes instead.
        result: from the sums (float64 [terms]; of the matrix [actual, predicted]) to the metric.
    """

    terms: Terms | None
    result: Callable[[np.ndarray], float]


class SummedCombiner(beam.CombineFn):
    """Takes sums for its accumulator."""

    # pylint: disable=abstract-method,arguments-differ  # rows are added elsewhere

    def __init__(self, key: metric_types.MetricKey, summed: Summed, example_weighted: bool) -> None:
        self.key = key
        self.summed = summed
        self._example_weighted = example_weighted

    def extract_output(self, accumulator: np.ndarray) -> dict[metric_types.MetricKey, float]:
        return {self.key: float(self.summed.result(accumulator))}


def _metric(name: str, summed: Summed) -> dict[str, Any]:
    """Returns the arguments of TFMA's Metric."""

    def computations(
        name: str,
        model_name: str = "",
        output_name: str = "",
        example_weighted: bool = False,
        sub_key: metric_types.SubKey | None = None,
    ) -> metric_types.MetricComputations:
        key = metric_types.MetricKey(name, model_name, output_name, sub_key, example_weighted=example_weighted)
        return [metric_types.MetricComputation([key], None, SummedCombiner(key, summed, example_weighted))]

    return {"create_computations_fn": metric_util.merge_per_key_computations(computations), "name": name}


class R2Score(metric_types.Metric):
    """1 less the squared error as a share of the labels' variance: scikit-learn's `r2_score`."""

    def __init__(self, name: str = "r2_score") -> None:
        super().__init__(**_metric(name, Summed(_r2_terms, _r2)))


def _r2_terms(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.stack([np.ones(len(labels)), labels, labels**2, (labels - predictions) ** 2], axis=1)


def _r2(sums: np.ndarray) -> float:
    weight, labels, squares, errors = sums.tolist()
    spread = squares - labels**2 / weight if weight else 0.0
    return 1 - errors / spread if spread > 0 else float("nan")


class QuantileLoss(metric_types.Metric):
    """The mean pinball loss: scikit-learn's `mean_pinball_loss` with `alpha` for the quantile."""

    def __init__(self, quantile: float = 0.5, name: str = "quantile_loss") -> None:
        if not isinstance(quantile, int | float) or not 0 < quantile < 1:
            raise ValueError(f"quantile must be between 0 and 1, not {quantile!r}")

        def terms(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
            short = labels - predictions
            return np.stack([np.ones(len(labels)), np.maximum(quantile * short, (quantile - 1) * short)], axis=1)

        super().__init__(**_metric(name, Summed(terms, lambda sums: sums[1] / sums[0] if sums[0] else float("nan"))))
        self._quantile = quantile

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the same metric again."""
        return {"name": self.name, "quantile": self._quantile}


class _OfConfusionMatrix(metric_types.Metric):
    """Of the class with the highest score, as scikit-learn's metrics are of predicted classes.

    A class that neither labels nor predictions have is left out of averages, and a ratio of nothing is 0.
    """

    _name = ""

    def __init__(self, average: str = MACRO, class_id: int | None = None, name: str = "") -> None:
        if average not in (MACRO, MICRO, WEIGHTED):
            raise ValueError(f"average must be one of {MACRO}, {MICRO}, {WEIGHTED}, not {average!r}")
        self._average = average
        self._class_id = class_id
        super().__init__(**_metric(name or self._name, Summed(None, self._result)))

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the same metric again."""
        return {"name": self.name, "average": self._average, "class_id": self._class_id}

    def _result(self, matrix: np.ndarray) -> float:
        right, actual, predicted = np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
        if self._class_id is None and self._average == MICRO:
            return self._score(right.sum(keepdims=True), actual.sum(keepdims=True), predicted.sum(keepdims=True)).item()
        scores = self._score(right, actual, predicted)
        if self._class_id is not None:
            return float(scores[self._class_id])
        weights = actual if self._average == WEIGHTED else (actual + predicted > 0).astype(float)
        return float(np.average(scores, weights=weights)) if weights.sum() else float("nan")

    def _score(self, right: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


class MulticlassPrecision(_OfConfusionMatrix):
    """Of the rows that are predicted to be of a class, the share that is."""

    _name = "multiclass_precision"

    def _score(self, right: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return _ratio(right, predicted)


class MulticlassRecall(_OfConfusionMatrix):
    """Of the rows of a class, the share that is predicted to be; its macro average is the balanced accuracy."""

    _name = "multiclass_recall"

    def _score(self, right: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return _ratio(right, actual)


class MulticlassF1Score(_OfConfusionMatrix):
    """The harmonic mean of precision and recall."""

    _name = "multiclass_f1_score"

    def _score(self, right: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return _ratio(2 * right, actual + predicted)


OF_NUMBERS = ("QuantileLoss", "R2Score")
NAMES = (*OF_CLASSES, *OF_NUMBERS)
