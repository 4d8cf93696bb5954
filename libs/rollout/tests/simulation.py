"""Two versions that are only simulated: what each second shows of them, until it is decided."""

import functools
import math
import random
from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from rollout.decision import ADVANCE, HOLD, Decision, Evidence, judge
from rollout.observations import Histogram, Window
from rollout.policy import Policy

# Seconds, 10% apart as the model server has them.
BOUNDS = [0.001 * 1.1**number for number in range(14)]
# Shares of scores up to 0.05, 0.2, 0.6 and 1.
SCORES = (0.5, 0.25, 0.15, 0.1)
SCORE_BOUNDS = (0.05, 0.2, 0.6, 1.0)


@dataclass(frozen=True)
class Version:
    """How a version answers.

    Attributes:
        slower: its latencies are those of others times this.
        spread: of the logarithm of its latencies.
        shocks: what lengthens all latencies of a second alike, one by chance; each version has its own.
    """

    error_rate: float = 0.005
    slower: float = 1.0
    spread: float = 0.25
    scores: tuple[float, ...] = SCORES
    shocks: tuple[float, ...] = (1.0,)

    @functools.cached_property
    def at_times(self) -> list["Version"]:
        """It, with all latencies of a moment by one of its shocks longer."""
        return [replace(self, slower=self.slower * shock, shocks=(1.0,)) for shock in self.shocks]

    @functools.cached_property
    def latencies(self) -> tuple[float, ...]:
        """The share of each bucket."""
        edges = [math.log(bound / 0.0017 / self.slower) / self.spread for bound in BOUNDS]
        below = [0.0, *((1 + math.erf(edge / math.sqrt(2))) / 2 for edge in edges), 1.0]
        return tuple(high - low for low, high in pairwise(below))

    def window(self, source: random.Random, second: int, number: int, requests: int, weight: int) -> Window:
        """Returns a second of it."""
        now = source.choice(self.at_times)
        latency = _drawn(source, now.latencies, requests, (*BOUNDS, math.inf))
        scores = _drawn(source, self.scores, requests, (*SCORE_BOUNDS[:-1], math.inf))
        return Window(
            start=second,
            end=second + 1,
            version=number,
            requests=requests,
            errors=_binomial(source, requests, self.error_rate),
            latency=latency,
            scores={"probabilities": scores},
            weight=weight,
        )


def run(
    seed: int, stable: Version, candidate: Version, policy: Policy, *, rate: int = 400, weight: int | None = None
) -> tuple[Decision, int]:
    """Looks each second until it is decided; returns the decision and how many requests the candidate had by then."""
    source = random.Random(seed)
    evidence = Evidence(policy)
    weight = policy.steps[0] if weight is None else weight
    second = 0
    while True:
        share = weight or 100
        windows = (
            stable.window(source, second, 1, rate * (100 - weight) // 100, weight),
            candidate.window(source, second, 2, rate * share // 100, weight),
        )
        evidence.add(*windows)
        second += 1
        decision = judge(evidence, 0, second, weight)
        if decision.action not in (HOLD, ADVANCE):
            return decision, evidence.requests[1]
        weight = decision.weight


def _drawn(source: random.Random, shares: tuple[float, ...], count: int, bounds: tuple[float, ...]) -> Histogram:
    """Draws a histogram, bucket by bucket."""
    counts, rest = [], count
    for share in _of_the_rest(shares):
        drawn = _binomial(source, rest, share)
        counts.append(drawn)
        rest -= drawn
    return dict(zip(bounds, accumulate([*counts, rest]), strict=True))


@functools.cache
def _of_the_rest(shares: tuple[float, ...]) -> list[float]:
    """Each share, but of what the ones before it leave; without the last."""
    left = [1.0, *(1 - below for below in accumulate(shares))]
    parts = [share / rest if rest > 1e-9 else 0.0 for share, rest in zip(shares[:-1], left, strict=False)]
    return [round(min(1.0, max(0.0, part)), 9) for part in parts]


def _binomial(source: random.Random, count: int, share: float) -> int:
    return bisect_left(_table(count, share), source.random()) if count and share else 0


@functools.cache
def _table(count: int, share: float) -> list[float]:
    """The distribution function of a binomial distribution; its last value is left out, as it is 1."""
    if share >= 1:
        return [0.0] * count
    logs = (
        math.lgamma(count + 1)
        - math.lgamma(number + 1)
        - math.lgamma(count - number + 1)
        + number * math.log(share)
        + (count - number) * math.log1p(-share)
        for number in range(count)
    )
    return list(accumulate(map(math.exp, logs)))
