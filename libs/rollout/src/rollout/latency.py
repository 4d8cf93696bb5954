"""Whether a version is slower than another, from histograms of both."""

import math
import statistics
from bisect import bisect_left

from rollout.bernoulli import TwoSample, log_mean
from rollout.observations import Histogram, quantile, total

# Of the stable version's latencies: a request is "slow" above one of them.
QUANTILES = (0.5, 0.75, 0.9)
BLOCK_QUANTILES = (0.5, 0.9)
BLOCK_SECONDS = 3.0
BLOCK_REQUESTS = 30
_BETS = (0.6, 0.95)
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


class SlowerByBlock:
    """The same evidence with stretches of time as observations, not requests.

    Requests of one process and one second depend on each other: all wait for the same processor, the same collection of
    garbage. So windows are put together to blocks of some seconds, and of each block only is told whether a quantile of
    the candidate's latencies is more than `tolerance` times the stable version's. Of versions that are alike that is
    so in at most half of the blocks, however their requests depend on each other within one. An e-process for H0: it
    is so with a probability of at most 1/2, given what was before: the product of 1 + b (2 x - 1), where x is 1 for a
    slower block, averaged over several b in (0, 1): the betting martingale of I. Waudby-Smith, A. Ramdas, "Estimating
    means of bounded random variables by betting", Journal of the Royal Statistical Society B 86 (2024). Eight slower
    blocks of eight are the fewest that reject at 1.25%.
    """

    def __init__(self, tolerance: float) -> None:
        """Args: tolerance: at least 1."""
        self._tolerance = tolerance
        self._logs = {share: [0.0] * len(_BETS) for share in BLOCK_QUANTILES}
        self._ratios: dict[float, list[float]] = {share: [] for share in BLOCK_QUANTILES}
        self._begin(0)

    def _begin(self, weight: int) -> None:
        self._weight, self._seconds = weight, 0.0
        self._stable: dict[float, int] = {}
        self._candidate: dict[float, int] = {}

    def add(self, stable: Histogram, candidate: Histogram, seconds: float, weight: int) -> None:
        """Takes a window; a block ends where the candidate's share changes, as both then have other requests of it."""
        if weight != self._weight:
            self._begin(weight)
        add_to(self._stable, stable)
        add_to(self._candidate, candidate)
        self._seconds += seconds
        if self._seconds < BLOCK_SECONDS or min(total(self._stable), total(self._candidate)) < BLOCK_REQUESTS:
            return
        for share in BLOCK_QUANTILES:
            ratio = quantile(self._candidate, share) / quantile(self._stable, share)
            self._ratios[share].append(ratio)
            sign = 1 if ratio > self._tolerance else -1
            self._logs[share] = [
                log + math.log1p(bet * sign) for log, bet in zip(self._logs[share], _BETS, strict=True)
            ]
        self._begin(weight)

    @property
    def log_e(self) -> float:
        """The logarithm of the evidence: at log(1/alpha) H0 is rejected at level alpha."""
        return log_mean([each for logs in self._logs.values() for each in logs])

    def ratio(self) -> float:
        """Returns how many times as long the candidate takes in the block in the middle; NaN before there is a block.

        Of quantiles the one where it is most. What all requests together say would depend on when each version had
        most of them.
        """
        found = [statistics.median(ratios) for ratios in self._ratios.values() if ratios]
        return max(found, default=math.nan)


def add_to(histogram: dict[float, int], more: Histogram) -> None:
    """Adds a histogram to another with the same bounds."""
    for bound, count in more.items():
        histogram[bound] = histogram.get(bound, 0) + count


def _slow(histogram: Histogram, bound: float) -> tuple[int, int]:
    counted = total(histogram)
    return counted, counted - histogram.get(bound, 0)
