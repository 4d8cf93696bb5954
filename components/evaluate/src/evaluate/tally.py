"""What labels, weights and predictions are checked for, counted while they stream by."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from evaluate.problem import Problem
from evaluate.targets import Targets
from stepkit import tasks
from stepkit.errors import StepError

# How far the scores of a row may be from 1 in sum: float32 adds a thousand of them to within 1e-4.
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Range:
    """Values of many rows.

    Attributes:
        rows: how many.
        not_finite: how many have NaN or infinity.
        low: the smallest of the others' values; infinity if there are none.
        high: the greatest of the others' values; minus infinity if there are none.
        odd: a value that is finite and neither 0 nor 1, if there is one.
    """

    rows: int = 0
    not_finite: int = 0
    low: float = math.inf
    high: float = -math.inf
    odd: float | None = None

    @classmethod
    def of(cls, values: np.ndarray) -> "Range":
        """Looks at `values` (float64 [rows] or [rows, classes])."""
        sound = np.isfinite(values)
        finite = values[sound]
        odd = finite[(finite != 0) & (finite != 1)]
        return cls(
            len(values),
            len(values) - int(np.count_nonzero(sound if sound.ndim == 1 else sound.all(axis=1))),
            float(finite.min(initial=math.inf)),
            float(finite.max(initial=-math.inf)),
            float(odd[0]) if len(odd) else None,
        )

    def __or__(self, other: "Range") -> "Range":
        return Range(
            self.rows + other.rows,
            self.not_finite + other.not_finite,
            min(self.low, other.low),
            max(self.high, other.high),
            other.odd if self.odd is None else self.odd,
        )


@dataclass(frozen=True)
class Tally:
    """Labels and weights, and the predictions of each model.

    Attributes:
        unknown: a label that is no class of the model, if there is one.
        sums: of each model that gives many numbers a row, their sums.
    """

    labels: Range = Range()
    predictions: Mapping[str, Range] = field(default_factory=dict)
    weights: Range = Range()
    unknown: str | None = None
    sums: Mapping[str, Range] = field(default_factory=dict)

    @classmethod
    def of(cls, targets: Targets, predictions: Mapping[str, np.ndarray]) -> "Tally":
        """Looks at rows (float64 [rows] or [rows, classes] for each model)."""
        return cls(
            Range.of(targets.labels),
            {name: Range.of(values) for name, values in predictions.items()},
            Range() if targets.weights is None else Range.of(targets.weights),
            targets.unknown,
            {name: Range.of(values.sum(axis=1)) for name, values in predictions.items() if values.ndim == 2},
        )

    def __or__(self, other: "Tally") -> "Tally":
        return Tally(
            self.labels | other.labels,
            _merged(self.predictions, other.predictions),
            self.weights | other.weights,
            other.unknown if self.unknown is None else self.unknown,
            _merged(self.sums, other.sums),
        )

    def is_sound(self, problem: Problem) -> bool:
        """True if all labels, weights and predictions are what the task has: else nothing can be aggregated."""
        finite = not any(item.not_finite for item in (self.labels, self.weights, *self.predictions.values()))
        zeros_and_ones = problem.task == tasks.MULTILABEL or not problem.classes
        return (
            finite
            and self.unknown is None
            and self.weights.low >= 0
            and (problem.task == tasks.REGRESSION or not zeros_and_ones or self.labels.odd is None)
            and (
                problem.task == tasks.REGRESSION
                or all(item.low >= 0 and item.high <= 1 for item in self.predictions.values())
            )
        )


def _merged(one: Mapping[str, Range], other: Mapping[str, Range]) -> dict[str, Range]:
    return {name: one.get(name, Range()) | other.get(name, Range()) for name in {**one, **other}}


def check(tally: Tally, models: Mapping[str, str], problem: Problem, split: str) -> None:
    """Checks a whole split.

    Args:
        models: name of a model to how errors call it.

    Raises:
        StepError: labels aren't what the task has, or are all the same (no metric could tell a good model from a bad
            one), weights are negative or all zero, or an answer of a model isn't what the task asks for.
    """
    _check_labels(tally, problem, split)
    if problem.weight:
        _check_weights(tally.weights, problem.weight, split)
    for name, what in models.items():
        _check_predictions(tally.predictions[name], tally.sums.get(name, Range()), what, problem)


def _check_predictions(found: Range, sums: Range, what: str, problem: Problem) -> None:
    if found.not_finite:
        raise StepError(
            f"{what} predicted NaN or infinity for {found.not_finite:,} of {found.rows:,} rows. Its training has "
            "diverged, or a feature is NaN: lower the learning rate, or treat missing values in preprocessing_fn."
        )
    if problem.task == tasks.REGRESSION:
        return
    remedy = "End the model with a softmax." if problem.task == tasks.MULTICLASS else "End the model with a sigmoid."
    if found.low < 0 or found.high > 1:
        raise StepError(f"{what} predicted {found.low:.4g} to {found.high:.4g}, which are no probabilities. {remedy}")
    if problem.task == tasks.MULTICLASS and max(1 - sums.low, sums.high - 1) > SUM_TOLERANCE:
        raise StepError(
            f"{what} gives scores that sum to {sums.low:.4g} to {sums.high:.4g} a row; those of {problem.outputs} "
            f"classes of which one is right sum to 1. {remedy} For labels of which several can be right declare "
            f"TASK = {tasks.MULTILABEL!r}."
        )


def _check_labels(tally: Tally, problem: Problem, split: str) -> None:
    found, label = tally.labels, f"Label {problem.label!r}"
    if tally.unknown is not None:
        known = ", ".join(map(repr, problem.classes[:20])) + (" and more" if len(problem.classes) > 20 else "")
        raise StepError(
            f"{label} is {tally.unknown} in some rows of split {split!r}, a class that the model doesn't know "
            f"({known}). Train on rows that have it, name it in the module's CLASSES, or filter such rows with "
            "extract's --where."
        )
    if found.not_finite:
        raise StepError(
            f"{label} is NaN or infinite in {found.not_finite:,} of the {found.rows:,} rows of split "
            f"{split!r}. Filter such rows with extract's --where, or treat missing values in preprocessing_fn."
        )
    if problem.task == tasks.MULTILABEL and found.odd is not None:
        raise StepError(
            f"{label} is {found.odd:g} in some rows; multilabel needs 0 or 1. Correct it in preprocessing_fn."
        )
    if problem.task == tasks.BINARY and not problem.classes and found.odd is not None:
        raise StepError(
            f"{label} is {found.odd:g} in some rows; binary classification needs 0 or 1. "
            "Correct it in preprocessing_fn, or declare what the model is for by TASK in the pipeline's module."
        )
    if found.low == found.high:
        _refuse_constant(found, label, problem, split)


def _refuse_constant(found: Range, label: str, problem: Problem, split: str) -> None:
    value, on = f"{found.low:g}", "on one class"
    if problem.task == tasks.REGRESSION:
        on = "on a target that doesn't vary"
    elif problem.classes and problem.task != tasks.MULTILABEL:
        value = str(problem.classes[int(found.low)])
    raise StepError(
        f"{label} is {value} in all {found.rows:,} rows of split {split!r}: a model can't be judged {on}. "
        "Give the split more rows, or check how preprocessing_fn makes the label."
    )


def _check_weights(found: Range, weight: str, split: str) -> None:
    remedy = "Correct it in preprocessing_fn, or filter such rows with extract's --where."
    if found.not_finite:
        raise StepError(
            f"Weight {weight!r} is NaN or infinite in {found.not_finite:,} of the {found.rows:,} rows of split "
            f"{split!r}. {remedy}"
        )
    if found.low < 0:
        raise StepError(
            f"Weight {weight!r} is {found.low:g} in some rows of split {split!r}; none may be negative. {remedy}"
        )
    if found.high == 0:
        raise StepError(
            f"Weight {weight!r} is 0 in all {found.rows:,} rows of split {split!r}: none of them counts. {remedy}"
        )
