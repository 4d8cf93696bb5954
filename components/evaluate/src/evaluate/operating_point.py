"""The operating point: the score above which a binary model says yes, chosen to meet a target."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluate.entries import Metric
from evaluate.problem import Problem
from evaluate.sums import Sums
from stepkit import tasks
from stepkit.errors import StepError, near_misses

# Metrics of a target: of true and false positives and negatives, all float64 [thresholds]; NaN where undefined.
_METRICS: dict[str, Callable[..., np.ndarray]] = {
    "precision": lambda tp, fp, fn, tn: tp / (tp + fp),
    "recall": lambda tp, fp, fn, tn: tp / (tp + fn),
    "specificity": lambda tp, fp, fn, tn: tn / (tn + fp),
    "f1": lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn),
    "accuracy": lambda tp, fp, fn, tn: (tp + tn) / (tp + fp + fn + tn),
}
_KEYS = ("metric", "at_least", "maximise")
# What is computed at the point: TFMA's class, and its parameter for the threshold.
_AT_POINT = {
    "Precision": "thresholds",
    "Recall": "thresholds",
    "Specificity": "thresholds",
    "F1Score": "thresholds",
    "BinaryAccuracy": "threshold",
}
SUFFIX = "_at_operating_point"
NAMES = tuple(f"{name}{SUFFIX}" for name in _AT_POINT)


@dataclass(frozen=True)
class Target:
    """What is asked for: of all thresholds with at least so much of a metric, the one with the most of another."""

    metric: str
    at_least: float
    maximise: str

    def __str__(self) -> str:
        return f"{self.metric} of at least {self.at_least:g}"


def parse(spec: Mapping[str, Any], problem: Problem) -> Target | None:
    """Reads `--operating-point-target`; None if it is empty.

    Raises:
        StepError: it isn't a target, or the model isn't binary.
    """
    if not spec:
        return None
    example = '{"metric": "precision", "at_least": 0.9, "maximise": "recall"}'
    if problem.task != tasks.BINARY:
        raise StepError(
            f"--operating-point-target is for binary models; this one is {problem.task}. Leave it out, or judge a "
            "class by PrecisionAtRecall and the like."
        )
    for key in spec:
        if key not in _KEYS:
            raise StepError(f"--operating-point-target has an unknown key {key!r}. {near_misses(key, _KEYS)}")
    metric = str(spec.get("metric"))
    for key, name in (("metric", metric), ("maximise", spec.get("maximise", "recall"))):
        if name not in _METRICS:
            raise StepError(
                f"--operating-point-target: {key} is {name!r}. {near_misses(str(name), _METRICS)} E.g. {example}."
            )
    maximise = spec.get("maximise", "precision" if metric == "recall" else "recall")
    at_least = spec.get("at_least")
    if isinstance(at_least, bool) or not isinstance(at_least, int | float) or not 0 <= at_least <= 1:
        raise StepError(f"--operating-point-target: at_least is {at_least!r}; it must be from 0 to 1. E.g. {example}.")
    return Target(metric, float(at_least), maximise)


class ScoreCounts:
    """Weights of positives and negatives by score: the exact ones, as models give float32.

    Memory grows with distinct scores, by 24 bytes each.
    """

    def __init__(self) -> None:
        self.sums = Sums(2)

    def add(self, labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None) -> None:
        """Adds rows (float64 [rows] each; scores from 0 to 1)."""
        counted = np.stack([labels, 1 - labels], axis=1) * (1.0 if weights is None else weights[:, None])
        # The bits of floats that aren't negative are in the order of the floats.
        self.sums.add((scores + 0.0).astype(np.float32).view(np.int32).astype(np.int64), counted)

    def choose(self, target: Target, split: str) -> float:
        """Returns the threshold, which scores have to be above: halfway between the scores on both sides of it.

        Raises:
            StepError: no threshold meets the target.
        """
        keys, totals = self.sums.totals()
        scores = keys[::-1].astype(np.int32).view(np.float32).astype(np.float64)
        tp, fp = np.cumsum(totals[::-1], axis=0).T
        counts = tp, fp, tp[-1] - tp, fp[-1] - fp
        with np.errstate(invalid="ignore", divide="ignore"):
            reached = np.nan_to_num(_METRICS[target.metric](*counts), nan=-1.0)
            wanted = np.nan_to_num(_METRICS[target.maximise](*counts), nan=-1.0)
        if not (reached >= target.at_least).any():
            best = int(reached.argmax())
            raise StepError(
                f"The operating point can't be met: no threshold gives a {target} on split {split!r}; the most is "
                f"{reached[best]:.4g}, at {scores[best]:.4g}. Lower at_least of --operating-point-target, or train a "
                "better model."
            )
        # Of equal ones the highest threshold, which is first.
        chosen = int(np.where(reached >= target.at_least, wanted, -2.0).argmax())
        below = scores[chosen + 1] if chosen + 1 < len(scores) else 0.0
        return float((scores[chosen] + below) / 2) if scores[chosen] > below else -1e-7

    def reached(self, threshold: float) -> dict[str, float]:
        """Returns what scores above a threshold give, under NAMES."""
        keys, totals = self.sums.totals()
        above = keys.astype(np.int32).view(np.float32).astype(np.float64) > threshold
        (tp, fp), (fn, tn) = totals[above].sum(axis=0), totals[~above].sum(axis=0)
        counts = tuple(np.array([each]) for each in (tp, fp, fn, tn))
        with np.errstate(invalid="ignore", divide="ignore"):
            found = [float(function(*counts)[0]) for function in _METRICS.values()]
        return dict(zip(NAMES, found, strict=True))


def metrics_at(threshold: float) -> list[Metric]:
    """Returns what is computed at a threshold, under NAMES."""
    return [
        Metric(
            f"{name}{SUFFIX}",
            name,
            json.dumps({key: [threshold] if key == "thresholds" else threshold}),
            is_plain=False,
        )
        for name, key in _AT_POINT.items()
    ]


def described(target: Target, threshold: float, splits: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Returns the output: the threshold, the target, and what is reached on each split."""
    reached = {
        split: {
            name.removesuffix(SUFFIX): (value if np.isfinite(value) else None)
            for name, value in found.items()
            if name in NAMES
        }
        for split, found in splits.items()
    }
    wanted = {"metric": target.metric, "at_least": target.at_least, "maximise": target.maximise}
    return {"threshold": threshold, "target": wanted, "splits": reached}
