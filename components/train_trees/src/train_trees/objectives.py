"""What trees are trained for, and how their sums become the answer to the task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stepkit import tasks


def _same(values: np.ndarray) -> np.ndarray:
    return values


def _logit(values: np.ndarray) -> np.ndarray:
    return np.log(values / (1 - values))


def _squared(value: float) -> float:
    return value * value


def _share_of_right(value: float) -> float:
    return 1 - value


def _itself(value: float) -> float:
    return value


IDENTITY, SIGMOID, SOFTMAX, EXPONENTIAL = "identity", "sigmoid", "softmax", "exponential"


@dataclass(frozen=True)
class Metric:
    """A number of a learning curve.

    Attributes:
        name: ours, which Keras' models of the demos have, too.
        evaluated: XGBoost's metric.
        converted: from that to ours.
    """

    name: str
    evaluated: str
    converted: Callable[[float], float] = _itself


@dataclass(frozen=True)
class Objective:
    """One of XGBoost's objectives.

    Attributes:
        margin: from `base_score`, which is in the space of the answer, to sums of trees.
        activation: from sums of trees to the answer.
        metrics: `loss` first, by which training stops.
    """

    name: str
    margin: Callable[[np.ndarray], np.ndarray]
    activation: str
    metrics: Sequence[Metric]


_ERRORS = (Metric("mae", "mae"), Metric("rmse", "rmse"))
_LOGISTIC = (Metric("loss", "logloss"), Metric("accuracy", "error", _share_of_right))

# The first of a task is the default.
OF_TASK: dict[str, tuple[Objective, ...]] = {
    tasks.BINARY: (Objective("binary:logistic", _logit, SIGMOID, (*_LOGISTIC, Metric("auc", "auc"))),),
    tasks.MULTICLASS: (
        Objective(
            "multi:softprob",
            _same,
            SOFTMAX,
            (Metric("loss", "mlogloss"), Metric("accuracy", "merror", _share_of_right)),
        ),
    ),
    tasks.MULTILABEL: (Objective("binary:logistic", _logit, SIGMOID, _LOGISTIC),),
    tasks.REGRESSION: (
        Objective("reg:squarederror", _same, IDENTITY, (Metric("loss", "rmse", _squared), *_ERRORS)),
        Objective("reg:absoluteerror", _same, IDENTITY, (Metric("loss", "mae"), *_ERRORS)),
        Objective("count:poisson", np.log, EXPONENTIAL, (Metric("loss", "poisson-nloglik"), *_ERRORS)),
        Objective("reg:gamma", np.log, EXPONENTIAL, (Metric("loss", "gamma-nloglik"), *_ERRORS)),
    ),
}
