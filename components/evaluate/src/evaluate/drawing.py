"""What pictures of the whole split are drawn from, beside TFMA's plots: small, whatever the number of rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from evaluate import views
from evaluate.problem import Problem
from evaluate.sums import Sums
from evaluate.targets import Targets
from stepkit import tasks

# Scores are counted in so many buckets.
BUCKETS = 1000
# More dots would not be seen, and pages have to stay small.
DOTS = 1000
# The splitmix64 generator's constants: http://prng.di.unimi.it/splitmix64.c
_STEP, _MIX_1, _MIX_2 = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


@dataclass
class Drawn:
    """Of some rows; pickles.

    Attributes:
        histograms: of a model with many classes: weights, and labels and scores times them, by class and bucket.
        dots: of regression: label and each model's prediction (float64 [rows, 1 + models]) of at most DOTS rows. Which
            ones depends on these numbers alone, and not on the order of rows.
    """

    histograms: dict[str, Sums] = field(default_factory=dict)
    dots: np.ndarray | None = None

    def add(self, targets: Targets, predictions: Mapping[str, np.ndarray], problem: Problem) -> None:
        """Adds rows, as `Aggregator.add` takes them."""
        if problem.task == tasks.REGRESSION:
            self._keep(np.stack([targets.labels, *predictions.values()], axis=1))
        if not problem.has_many_outputs:
            return
        labels = views.one_hot(targets.labels, problem)
        weights = np.ones(len(labels)) if targets.weights is None else targets.weights
        repeated = np.repeat(weights, problem.outputs)
        offsets = np.tile(np.arange(problem.outputs) * BUCKETS, len(labels))
        for name, scores in predictions.items():
            flat = scores.reshape(-1)
            buckets = np.minimum((flat * BUCKETS).astype(np.int64), BUCKETS - 1)
            terms = np.stack([repeated, labels.reshape(-1) * repeated, flat * repeated], axis=1)
            self.histograms.setdefault(name, Sums(3)).add(offsets + buckets, terms)

    def merge(self, other: "Drawn") -> "Drawn":
        """Adds another's rows, and returns itself."""
        for name, sums in other.histograms.items():
            self.histograms.setdefault(name, Sums(3)).add(*sums.totals())
        if other.dots is not None:
            self._keep(other.dots)
        return self

    def of_classes(self, name: str, outputs: int) -> np.ndarray:
        """Returns a model's histograms (float64 [classes, BUCKETS, 3])."""
        made = np.zeros((outputs * BUCKETS, 3))
        keys, totals = self.histograms[name].totals()
        made[keys] = totals
        return made.reshape((outputs, BUCKETS, 3))

    def _keep(self, rows: np.ndarray) -> None:
        every = rows if self.dots is None else np.concatenate([self.dots, rows])
        keys = (*every.T[::-1], _mixed(every))
        self.dots = every[np.lexsort(keys)[:DOTS]]


def _mixed(rows: np.ndarray) -> np.ndarray:
    """Returns a number of each row (uint64 [rows]) that looks like chance."""
    mixed = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        mixed = (mixed ^ np.ascontiguousarray(column).view(np.uint64)) + _STEP
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
        mixed ^= mixed >> np.uint64(31)
    return mixed
