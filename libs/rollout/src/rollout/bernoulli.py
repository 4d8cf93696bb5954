"""Always-valid inference on streams of yes or no: failed or not, slower than a bound or not.

Valid under optional stopping: the probability that a test ever rejects a true hypothesis, at any of its looks, is at
most alpha.
"""

import math
from collections.abc import Sequence

# Alternatives that are averaged, as odds ratios of candidate and stable version.
ODDS = (1.3, 1.7, 2.5, 4.0, 10.0)


class TwoSample:
    """Evidence that "yes" is more frequent in a second stream than in a first.

    An e-process for H0: p2 <= p1, where the p may differ from block to block. A block is n1 and n2 outcomes, of which
    k1 and k2 are yes. For guesses q1 < q2 made before the block, with their mean q0 = (n1 q1 + n2 q2) / (n1 + n2), the
    block's factor is

        (q1/q0)^k1 ((1-q1)/(1-q0))^(n1-k1) (q2/q0)^k2 ((1-q2)/(1-q0))^(n2-k2),

    the E-variable of R. J. Turner, A. Ly, P. D. Grünwald, "Generic E-variables for exact sequential k-sample tests that
    allow for optional stopping", Journal of Statistical Planning and Inference 230 (2024), arXiv:2106.02693. Its
    expectation is at most 1: with f(q) = p q/q0 + (1-p)(1-q)/(1-q0) it is f(q1)^n1 f(q2)^n2, and the weighted mean of
    f(q1), f(q2) is f(q0) = 1. It falls when p2 does, as q2 > q0, and where the streams are positively dependent (in
    shadow mode they answer the same requests), as its two parts run against each other. So the product over blocks,
    and the mean of such products over several q2, is a nonnegative supermartingale, which by Ville's inequality
    reaches 1/alpha with probability at most alpha.
    """

    def __init__(self, odds: Sequence[float] = ODDS) -> None:
        """Args: odds: odds ratios of the alternatives that are averaged."""
        self._odds = odds
        self._logs = [0.0] * len(odds)

    def add(self, first: tuple[int, int], second: tuple[int, int], guess: float) -> None:
        """Takes a block.

        Args:
            first, second: outcomes and yes among them.
            guess: of p1, from what was seen before the block; inside (0, 1).
        """
        (n1, k1), (n2, k2) = first, second
        if not n1 or not n2:
            return  # nothing to compare with: the factor is 1
        share = n2 / (n1 + n2)
        log = math.log
        for number, odds in enumerate(self._odds):
            other = odds * guess / (1 - guess + odds * guess)
            mean = guess + share * (other - guess)
            self._logs[number] += (
                k1 * log(guess / mean)
                + (n1 - k1) * log((1 - guess) / (1 - mean))
                + k2 * log(other / mean)
                + (n2 - k2) * log((1 - other) / (1 - mean))
            )

    @property
    def log_e(self) -> float:
        """The logarithm of the evidence: at log(1/alpha) H0 is rejected at level alpha."""
        return log_mean(self._logs)


def log_mean(logs: Sequence[float]) -> float:
    """Returns the logarithm of the mean of what has these logarithms."""
    highest = max(logs)
    return highest + math.log(sum(math.exp(each - highest) for each in logs) / len(logs))


# Of the mixture: error rates are small. Any choice is valid, this one is narrow where p is up to a few percent.
PRIOR = (0.5, 20.0)


def upper_bound(count: int, outcomes: int, alpha: float) -> float:
    """Returns what p is below, at every look at once, with probability 1 - alpha.

    The confidence sequence of a mixture martingale (H. Robbins, "Statistical methods related to the law of the iterated
    logarithm", Annals of Mathematical Statistics 41 (1970)): p where, with (a, b) = PRIOR,

        B(k + a, n - k + b) / B(a, b) >= p^k (1-p)^(n-k) / alpha

    is excluded, as the left side over p^k (1-p)^(n-k) is a martingale if p is true. Here p has to be the same in all of
    the stream.
    """
    return _bound(count, outcomes, alpha, count / outcomes if outcomes else 1.0, 1.0)


def lower_bound(count: int, outcomes: int, alpha: float) -> float:
    """Returns what p is above, at every look at once, with probability 1 - alpha; see `upper_bound`."""
    return _bound(count, outcomes, alpha, count / outcomes if outcomes else 0.0, 0.0)


def _bound(count: int, outcomes: int, alpha: float, inside: float, outside: float) -> float:
    """Bisects between the observed share, which isn't excluded, and an end that may be."""
    a, b = PRIOR
    excluded = _log_beta(count + a, outcomes - count + b) - _log_beta(a, b) + math.log(alpha)
    if _log_likelihood(count, outcomes, outside) > excluded:
        return outside
    for _ in range(24):  # to a ten-millionth; what is returned is outside
        middle = (inside + outside) / 2
        if _log_likelihood(count, outcomes, middle) > excluded:
            inside = middle
        else:
            outside = middle
    return outside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_likelihood(count: int, outcomes: int, p: float) -> float:
    rest = outcomes - count
    if (count and p <= 0) or (rest and p >= 1):
        return -math.inf
    return (count * math.log(p) if count else 0.0) + (rest * math.log1p(-p) if rest else 0.0)
