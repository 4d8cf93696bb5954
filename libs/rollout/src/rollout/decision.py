"""Whether a candidate goes on, is promoted or rolled back: a pure function of what was seen and the policy.

Each check says one of three things of the candidate: bad, good, or open. One bad check rolls it back. It gets the next
share of the traffic when it has answered enough requests in its step and nothing looks bad; it is promoted after the
last step when all checks are good. What is open when the deadline comes is rolled back: inconclusive. The policy's
alpha is divided among the checks, so that a candidate that is like the stable version is rolled back as bad with at
most that probability, however often somebody looks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollout.bernoulli import TwoSample, lower_bound, upper_bound
from rollout.drift import Drift
from rollout.labels import Comparison
from rollout.latency import Slower, SlowerByBlock
from rollout.observations import Window
from rollout.policy import ALL, Policy

HOLD = "hold"
ADVANCE = "advance"
PROMOTE = "promote"
ROLL_BACK = "roll_back"
ACTIONS = (HOLD, ADVANCE, PROMOTE, ROLL_BACK)

BAD = "bad"
GOOD = "good"
OPEN = "open"

_CHECKS = 4  # errors, latency, scores, labels
# What the stable version's error rate is taken for before there is much of it: half an error in fifty requests.
_PRIOR_ERRORS, _PRIOR_REQUESTS = 0.5, 50


@dataclass(frozen=True)
class Decision:
    """What is to be done now.

    Attributes:
        action: `hold`, `advance`, `promote` or `roll_back`.
        weight: the candidate's percentage after it.
        reasons: for people.
        evidence: numbers that it was decided by, as JSON has them.
    """

    action: str
    weight: int
    reasons: list[str]
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What a check says.

    Attributes:
        state: bad, good or open.
        looks_bad: the point estimate is beyond the limit, proven or not.
    """

    state: str
    text: str
    looks_bad: bool
    numbers: Mapping[str, Any]


class Evidence:
    """What the windows of a rollout add up to; `add` takes them one after another, as they come."""

    def __init__(self, policy: Policy) -> None:
        """Args: policy: whose tolerance of latency the test is made for."""
        self.policy = policy
        self.windows = 0
        self.left_out = 0
        self.requests = [0, 0]
        self.errors = [0, 0]
        self.by_weight: dict[int, int] = {}
        self._errors = TwoSample()
        tolerance = math.sqrt(policy.latency_ratio or 1.0)
        self._latency, self._latency_blocks = Slower(tolerance), SlowerByBlock(tolerance)
        self._drift = Drift()

    def add(self, stable: Window, candidate: Window) -> None:
        """Takes what both did in a window. One in which one of them was down is no evidence."""
        self.windows += 1
        if not (stable.alive and candidate.alive):
            self.left_out += 1
            return
        guess = (self.errors[0] + _PRIOR_ERRORS) / (self.requests[0] + _PRIOR_REQUESTS)
        sides = ((stable.requests, stable.errors), (candidate.requests, candidate.errors))
        self._errors.add(*sides, guess)
        for number, (requests, errors) in enumerate(sides):
            self.requests[number] += requests
            self.errors[number] += errors
        self.by_weight[candidate.weight] = self.by_weight.get(candidate.weight, 0) + candidate.requests
        if self.policy.latency_ratio is not None:
            self._latency.add(stable.latency, candidate.latency)
            seconds = stable.end - stable.start
            self._latency_blocks.add(stable.latency, candidate.latency, seconds, candidate.weight)
        if self.policy.drift_limit is not None:
            self._drift.add(stable.scores, candidate.scores)

    def findings(self, comparisons: Sequence[Comparison] = ()) -> dict[str, Finding]:
        """Returns what each check says, of those that have something to look at."""
        alpha = alpha_of_check(self.policy)
        found = {
            "errors": self._of_errors(alpha),
            "latency": self._of_latency(alpha),
            "scores": self._of_scores(alpha),
            "labels": _of_labels(comparisons, self.policy),
        }
        return {name: finding for name, finding in found.items() if finding}

    def _of_errors(self, alpha: float) -> Finding | None:
        if not all(self.requests):
            return None
        margin = self.policy.error_margin
        rates = [errors / requests for errors, requests in zip(self.errors, self.requests, strict=True)]
        rise = rates[1] - rates[0]
        proven = self._errors.log_e >= math.log(1 / alpha)
        at_most = upper_bound(self.errors[1], self.requests[1], alpha / 2) - lower_bound(
            self.errors[0], self.requests[0], alpha / 2
        )
        state = BAD if proven and rise > margin else GOOD if at_most < margin else OPEN
        text = (
            f"errors: {rates[1]:.2%} of {self.requests[1]} requests of the candidate, {rates[0]:.2%} of "
            f"{self.requests[0]} of the stable version; the rise is at most {_points(at_most)}, {_points(margin)} are "
            "tolerated"
        )
        numbers = {"stable": rates[0], "candidate": rates[1], "rise_at_most": at_most, "log_e": self._errors.log_e}
        return Finding(state, text, rise > margin, numbers | {"rejects_at": math.log(1 / alpha)})

    def _of_latency(self, alpha: float) -> Finding | None:
        limit = self.policy.latency_ratio
        if limit is None or not self._latency.stable or not self._latency.candidate:
            return None
        ratio = self._latency_blocks.ratio()
        numbers = {"ratio": ratio, "log_e": min(self._latency.log_e, self._latency_blocks.log_e)}
        numbers["rejects_at"] = math.log(1 / alpha)
        if math.isnan(ratio):
            return Finding(OPEN, "latency: too few requests yet to compare", False, numbers)
        proven = numbers["log_e"] >= numbers["rejects_at"]
        state = GOOD if ratio <= limit else BAD if proven else OPEN
        text = f"latency: the candidate takes {ratio:.2f} times as long as the stable version, {limit:g} is tolerated"
        return Finding(state, text, ratio > limit, numbers)

    def _of_scores(self, alpha: float) -> Finding | None:
        limit, distance = self.policy.drift_limit, self._drift.distance()
        if limit is None or math.isnan(distance):
            return None
        at_least = self._drift.lower_bound(alpha)
        state = BAD if at_least > limit else OPEN if distance > limit else GOOD
        text = (
            f"scores: the distance of the versions' distributions is {distance:.2f}, at least {max(at_least, 0):.2f}; "
            f"{limit:g} is tolerated"
        )
        return Finding(state, text, distance > limit, {"distance": distance, "at_least": at_least})


def alpha_of_check(policy: Policy) -> float:
    """Returns the probability of a false alarm that each check has."""
    return policy.alpha / _CHECKS


def decide(
    history: Sequence[tuple[Window, Window]],
    policy: Policy,
    staged_at: float,
    now: float,
    weight: int,
    comparisons: Sequence[Comparison] = (),
) -> Decision:
    """Decides on a candidate.

    Args:
        history: windows of the stable version and the candidate since it was staged, the earliest first.
        staged_at, now: seconds since the epoch.
        weight: the candidate's percentage now; 0: shadow mode.
        comparisons: of labelled metrics, one a look (see `rollout.labels`).
    """
    evidence = Evidence(policy)
    for stable, candidate in history:
        evidence.add(stable, candidate)
    return judge(evidence, staged_at, now, weight, comparisons)


def judge(
    evidence: Evidence, staged_at: float, now: float, weight: int, comparisons: Sequence[Comparison] = ()
) -> Decision:
    """Decides by evidence that was added up before; see `decide`, whose result is the same."""
    policy = evidence.policy
    findings = evidence.findings(comparisons)
    answered = evidence.by_weight.get(weight, 0)
    numbers = _numbers(evidence, findings, answered)
    bad = [each.text for each in findings.values() if each.state == BAD]
    if bad:
        return Decision(ROLL_BACK, 0, bad, numbers)
    missing = _missing(evidence, findings, answered)
    following = policy.next_step(weight) if weight else ALL
    if not missing and following < ALL and not any(each.looks_bad for each in findings.values()):
        reasons = [f"{answered} requests answered at {weight}%, {policy.min_requests} are needed"]
        return Decision(ADVANCE, following, reasons + [each.text for each in findings.values()], numbers)
    still_open = missing + [each.text for each in findings.values() if each.state == OPEN]
    if not still_open and following == ALL:
        return Decision(PROMOTE, ALL, [each.text for each in findings.values()], numbers)
    if now - staged_at >= policy.deadline_seconds:
        first = f"inconclusive: rolled back, as it isn't decided after {policy.deadline_seconds:g} s"
        return Decision(ROLL_BACK, 0, [first, *still_open], numbers)
    return Decision(HOLD, weight, still_open, numbers)


def _missing(evidence: Evidence, findings: Mapping[str, Finding], answered: int) -> list[str]:
    least = evidence.policy.min_requests
    found = []
    if answered < least:
        found.append(f"{answered} of {least} requests answered in this step")
    if "errors" not in findings and answered >= least:
        found.append("the stable version has answered nothing meanwhile, so there is nothing to compare with")
    if found and evidence.left_out:
        found.append(f"in {evidence.left_out} of {evidence.windows} windows a version was down: they are no evidence")
    return found


def _of_labels(comparisons: Sequence[Comparison], policy: Policy) -> Finding | None:
    if not comparisons:
        text = f"labels: none have been compared, {policy.min_labels} of each version are needed"
        return Finding(OPEN, text, False, {"requests": 0}) if policy.min_labels else None
    last = comparisons[-1]
    worse = [each for each in comparisons if each.high < -policy.metric_margin]
    shown = worse[0] if worse else last
    looks_bad = last.difference < -policy.metric_margin
    text = (
        f"labels: the metric is {shown.candidate:.4g} for the candidate and {shown.stable:.4g} for the stable version; "
        f"the difference is between {shown.low:.3g} and {shown.high:.3g}, a drop of {policy.metric_margin:g} is "
        "tolerated"
    )
    few = last.requests < policy.min_labels
    if few:
        text += f"; {last.requests} labels of each version are compared, {policy.min_labels} are needed"
    numbers = {"difference": shown.difference, "low": shown.low, "high": shown.high, "requests": shown.requests}
    state = BAD if worse else OPEN if looks_bad or few else GOOD
    return Finding(state, text, looks_bad, numbers | {"look": shown.look})


def _numbers(evidence: Evidence, findings: Mapping[str, Finding], answered: int) -> dict[str, Any]:
    return {
        "windows": evidence.windows,
        "left_out": evidence.left_out,
        "requests": {"stable": evidence.requests[0], "candidate": evidence.requests[1], "step": answered},
        "checks": {
            name: {"state": each.state, **{key: _finite(value) for key, value in each.numbers.items()}}
            for name, each in findings.items()
        },
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _points(share: float) -> str:
    return f"{100 * share:.2f} percentage points"
