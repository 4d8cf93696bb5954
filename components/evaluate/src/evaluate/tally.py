"""What labels and predictions are checked for, counted while they stream by."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from stepkit.errors import StepError


@dataclass(frozen=True)
class Range:
    """Values of many rows.

    Attributes:
        rows: how many.
        not_finite: how many are NaN or infinite.
        low: the smallest of the others; infinity if there are none.
        high: the greatest of the others; minus infinity if there are none.
        odd: one that is finite and neither 0 nor 1, if there is one.
    """

    rows: int = 0
    not_finite: int = 0
    low: float = math.inf
    high: float = -math.inf
    odd: float | None = None

    @classmethod
    def of(cls, values: np.ndarray) -> "Range":
        """Looks at `values` (float64 [rows])."""
        finite = values[np.isfinite(values)]
        odd = finite[(finite != 0) & (finite != 1)]
        return cls(
            len(values),
            len(values) - len(finite),
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
    """Labels, and the predictions of each model."""

    labels: Range = Range()
    predictions: Mapping[str, Range] = field(default_factory=dict)

    @classmethod
    def of(cls, labels: np.ndarray, predictions: Mapping[str, np.ndarray]) -> "Tally":
        """Looks at rows (float64 [rows] each)."""
        return cls(Range.of(labels), {name: Range.of(values) for name, values in predictions.items()})

    def __or__(self, other: "Tally") -> "Tally":
        names = {**self.predictions, **other.predictions}
        return Tally(
            self.labels | other.labels,
            {name: self.predictions.get(name, Range()) | other.predictions.get(name, Range()) for name in names},
        )

    @property
    def sound(self) -> bool:
        """True if all labels are 0 or 1, and all predictions probabilities: else nothing can be aggregated."""
        return (
            not self.labels.not_finite
            and self.labels.odd is None
            and all(not item.not_finite and item.low >= 0 and item.high <= 1 for item in self.predictions.values())
        )


def check(tally: Tally, models: Mapping[str, str], label_key: str, split: str) -> None:
    """Checks a whole split.

    Args:
        models: name of a model to how errors call it.

    Raises:
        StepError: labels aren't 0 and 1, both of them (no metric could tell a good model from a bad one), or an answer
            of a model is no probability.
    """
    _check_labels(tally.labels, label_key, split)
    for name, what in models.items():
        _check_probabilities(tally.predictions[name], what)


def _check_probabilities(found: Range, what: str) -> None:
    if found.not_finite:
        raise StepError(
            f"{what} predicted NaN or infinity for {found.not_finite:,} of {found.rows:,} rows. Its training has "
            "diverged, or a feature is NaN: lower the learning rate, or treat missing values in preprocessing_fn."
        )
    if found.low < 0 or found.high > 1:
        raise StepError(
            f"{what} predicted {found.low:.4g} to {found.high:.4g}, which are no probabilities. "
            "End the model with a sigmoid."
        )


def _check_labels(found: Range, label_key: str, split: str) -> None:
    if found.not_finite:
        raise StepError(
            f"Label {label_key!r} is NaN or infinite in {found.not_finite:,} of the {found.rows:,} rows of split "
            f"{split!r}. Filter such rows with extract's --where, or treat missing values in preprocessing_fn."
        )
    if found.odd is not None:
        raise StepError(
            f"Label {label_key!r} is {found.odd:g} in some rows; binary classification needs 0 or 1. "
            "Correct it in preprocessing_fn."
        )
    if found.low == found.high:
        raise StepError(
            f"Label {label_key!r} is {found.low:g} in all {found.rows:,} rows of split {split!r}: a model can't be "
            "judged on one class. Give the split more rows, or check how preprocessing_fn makes the label."
        )
