"""Whether a version is slower than another, from histograms of both."""

import math
from bisect import bisect_left
from collections.abc import Sequence

from rollout.bernoulli import TwoSample, log_mean
from rollout.observations import Histogram, quantile, total

# Of the stable version's latencies: a request is "slow" above one of them.
QUANTILES = (0.5, 0.75, 0.9, 0.97)
_ROUNDING = 1 - 1e-6  # bounds are multiples of each other only up to their last digits


class Slower:
    """Evidence that a candidate takes more than `tolerance` times as long as the stable version.

    An e-process for H0: P(candidate > tolerance * x) <= P(stable > x) for all x. Before each window bounds x are chosen
    at quantiles of what the stable version took in earlier windows; a request of the stable version is slow above x,
    one of the candidate above the first bound of its histogram that isn't below tolerance * x. The counts of slow ones
    are compared by `bernoulli.TwoSample`, for each quantile; the mean of e-processes is one. No distribution is
    assumed, and latencies may change from window to window as long as those of both versions do; waiting that hits
    requests in bursts makes them dependent, which the tolerance is also for.
    """

    def __init__(self, tolerance: float) -> None:
        """Args: tolerance: at least 1."""
        self._tolerance = tolerance
        self._tests = [TwoSample() for _ in QUANTILES]
        self.stable: dict[float, int] = {}
        self.candidate: dict[float, int] = {}

    def add(self, stable: Histogram, candidate: Histogram) -> None:
        """Takes the histograms of a window."""
        seen = total(self.stable)
        if seen and total(stable) and total(candidate):
            bounds = sorted(self.stable)
            counts = [self.stable[bound] for bound in bounds]
            others = sorted(candidate)
            for test, share in zip(self._tests, QUANTILES, strict=True):
                place = bisect_left(counts, share * seen)
                at = bisect_left(others, bounds[place] * self._tolerance * _ROUNDING)
                if at < len(others) and math.isfinite(bounds[place]):
                    slow = seen - counts[place]
                    test.add(_slow(stable, bounds[place]), _slow(candidate, others[at]), (slow + 0.5) / (seen + 1))
        add_to(self.stable, stable)
        add_to(self.candidate, candidate)

    @property
    def log_e(self) -> float:
        """The logarithm of the evidence: at log(1/alpha) H0 is rejected at level alpha."""
        return log_mean([test.log_e for test in self._tests])

    def ratios(self, shares: Sequence[float]) -> list[float]:
        """Returns how many times as long the candidate took, at each of some quantiles.

        Nothing before there is something of both.
        """
        if not total(self.stable) or not total(self.candidate):
            return []
        return [quantile(self.candidate, share) / quantile(self.stable, share) for share in shares]


def add_to(histogram: dict[float, int], more: Histogram) -> None:
    """Adds a histogram to another with the same bounds."""
    for bound, count in more.items():
        histogram[bound] = histogram.get(bound, 0) + count


def _slow(histogram: Histogram, bound: float) -> tuple[int, int]:
    counted = total(histogram)
    return counted, counted - histogram.get(bound, 0)
