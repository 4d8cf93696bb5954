"""Whether two versions' scores are distributed otherwise."""

import math
from collections.abc import Mapping

from rollout.latency import add_to
from rollout.observations import Histogram, total


class Drift:
    """The Kolmogorov-Smirnov distance of the two versions' score distributions, at the bounds of their histograms.

    Its lower bound holds at all looks at once, with probability 1 - alpha: the observed distance, less how far an
    empirical distribution function of n values is ever from its own,

        0.85 sqrt((log log(e n) + 0.8 log(1612 / alpha)) / n),

    of S. R. Howard, A. Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
    identification", Bernoulli 28 (2022), corollary 2, for each of the two with half of alpha. Where a model has several
    outputs, alpha is divided among them.
    """

    def __init__(self) -> None:
        self._stable: dict[str, dict[float, int]] = {}
        self._candidate: dict[str, dict[float, int]] = {}

    def add(self, stable: Mapping[str, Histogram], candidate: Mapping[str, Histogram]) -> None:
        """Takes the histograms of a window, by output."""
        for into, given in ((self._stable, stable), (self._candidate, candidate)):
            for output, histogram in given.items():
                add_to(into.setdefault(output, {}), histogram)

    def distance(self) -> float:
        """Returns the largest distance of an output; NaN before there are scores of both."""
        return max((each for each, _ in self._distances()), default=math.nan)

    def lower_bound(self, alpha: float) -> float:
        """Returns what the distance of some output is above; 0 or less says nothing."""
        found = self._distances()
        return max(
            (each - sum(_deviation(n, alpha / 2 / len(found)) for n in sizes) for each, sizes in found), default=0.0
        )

    def _distances(self) -> list[tuple[float, tuple[int, int]]]:
        found = []
        for output, candidate in self._candidate.items():
            stable = self._stable.get(output, {})
            sizes = total(stable), total(candidate)
            if all(sizes):
                bounds = candidate.keys() & stable.keys()
                apart = (abs(stable[each] / sizes[0] - candidate[each] / sizes[1]) for each in bounds)
                distance = max(apart, default=0.0)
                found.append((distance, sizes))
        return found


def _deviation(n: int, alpha: float) -> float:
    return 0.85 * math.sqrt((math.log(math.log(math.e * n)) + 0.8 * math.log(1612 / alpha)) / n)
