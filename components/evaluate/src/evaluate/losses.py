"""The loss of each row: what permutation importance watches.

Cross entropy of classes, the squared error of numbers. A loss and not the metric of a threshold, because it is a mean
over rows, so that slices cost nothing and have one even where all labels are alike (an AUC hasn't), because it sees
scores move that no decision threshold notices, and because importance is defined by it: "the increase in loss when a
feature is permuted" (Fisher, Rudin, Dominici: All Models are Wrong, but Many are Useful, JMLR 20(177), 2019, model
reliance; after Breiman: Random Forests, 2001).
"""

import numpy as np

from evaluate.problem import Problem
from stepkit import tasks

# As Keras clips probabilities (`keras.backend.epsilon`): one that is 0 costs 16.1, and not everything.
_EPSILON = 1e-7
NAMES = {
    tasks.BINARY: "cross entropy",
    tasks.MULTICLASS: "cross entropy",
    tasks.MULTILABEL: "cross entropy, mean of the labels",
    tasks.REGRESSION: "root mean squared error",
}


def of_rows(labels: np.ndarray, predictions: np.ndarray, problem: Problem) -> np.ndarray:
    """Returns the loss of each row (float64 [rows]); the lower, the better.

    Args:
        labels, predictions: as `targets.Targets` and `models.predictor` have them.
    """
    if problem.task == tasks.REGRESSION:
        squared: np.ndarray = (predictions - labels) ** 2
        return squared
    scores = np.clip(predictions, _EPSILON, 1 - _EPSILON)
    if problem.task == tasks.MULTICLASS:
        right = np.take_along_axis(scores, labels.astype(np.int64)[:, None], 1)[:, 0]
        return -np.log(right)
    entropy = -(labels * np.log(scores) + (1 - labels) * np.log(1 - scores))
    found: np.ndarray = entropy.mean(axis=1) if entropy.ndim == 2 else entropy
    return found


def by_slice(losses: np.ndarray, weights: np.ndarray, members: np.ndarray, problem: Problem) -> np.ndarray:
    """Returns the weighted mean loss of each slice; of a regression its root, which is in the label's unit.

    Args:
        losses, weights: float64 [rows].
        members: float64 [slices, rows] of 0 and 1.

    Returns:
        float64 [slices]; NaN where the weights of a slice sum to 0.
    """
    totals = members @ weights
    means = np.divide(members @ (losses * weights), totals, out=np.full(len(totals), np.nan), where=totals > 0)
    return np.sqrt(means) if problem.task == tasks.REGRESSION else means
