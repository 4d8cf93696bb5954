"""What a rollout may do, and what it takes for bad."""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollout.errors import RolloutError, near_misses

ALL = 100  # percent

DIRECT = "direct"
CANARY = "canary"
SHADOW = "shadow"
STRATEGIES = (DIRECT, CANARY, SHADOW)


@dataclass(frozen=True)
class Policy:
    """The rules of one rollout.

    Attributes:
        steps: percent of traffic that the candidate gets, one step after another; the last is 100: promoted.
        min_requests: what the candidate must have answered in a step before the next.
        error_margin: rise of the error rate, in absolute terms, that is tolerated: 0.01 is a percentage point.
            Promoted is a candidate whose rise is shown to be smaller; about 700 of its requests show a percentage
            point where none fails, 4,000 to 6,000 where 1% do.
        latency_ratio: how many times as slow as the stable version it may be; None: latency isn't looked at.
        drift_limit: the largest distance of the two versions' score distributions (Kolmogorov-Smirnov, 0 to 1); None:
            scores aren't looked at.
        metric_margin: drop of the labelled metric that is tolerated, where labels are joined.
        min_labels: labelled answers of each version that must have been compared before it is promoted; 0: it isn't
            waited for labels.
        alpha: the probability of a false alarm in the whole rollout, however often it is looked at.
        deadline_seconds: after that a rollout that isn't decided is rolled back.
    """

    steps: tuple[int, ...] = (10, 20, 50, ALL)
    min_requests: int = 300
    error_margin: float = 0.01
    latency_ratio: float | None = 1.2
    drift_limit: float | None = 0.2
    metric_margin: float = 0.01
    min_labels: int = 0
    alpha: float = 0.05
    deadline_seconds: float = 3600.0

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            RolloutError: one can't be.
        """
        _check_steps(self.steps)
        _check("min_requests", self.min_requests, 1, math.inf, whole=True)
        _check("error_margin", self.error_margin, 0, 1, open_below=True)
        if self.latency_ratio is not None:
            _check("latency_ratio", self.latency_ratio, 1, math.inf, open_below=True)
        if self.drift_limit is not None:
            _check("drift_limit", self.drift_limit, 0, 1, open_below=True)
        _check("metric_margin", self.metric_margin, 0, math.inf)
        _check("min_labels", self.min_labels, 0, math.inf, whole=True)
        _check("alpha", self.alpha, 0, 0.5, open_below=True)
        _check("deadline_seconds", self.deadline_seconds, 0, math.inf, open_below=True)

    def first_weight(self, strategy: str) -> int:
        """Returns the percentage that a candidate starts with."""
        return self.steps[0] if strategy == CANARY else 0

    def next_step(self, weight: int) -> int:
        """Returns the first step above a weight."""
        return next((step for step in self.steps if step > weight), ALL)

    def to_json(self) -> dict[str, Any]:
        """Returns the policy as JSON's values."""
        return dataclasses.asdict(self) | {"steps": list(self.steps)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Policy":
        """Reads a policy; what isn't given has its default.

        Raises:
            RolloutError: a key is unknown, or a value can't be.
        """
        if not isinstance(value, Mapping):
            raise RolloutError(f"A rollout policy is a JSON object; {value!r} isn't one.")
        known = [field.name for field in dataclasses.fields(cls)]
        for key in value:
            if key not in known:
                raise RolloutError(f"A rollout policy has no {key!r}. {near_misses(str(key), known)}")
        given = dict(value)
        if "steps" in given:
            if not isinstance(given["steps"], (list, tuple)):
                raise RolloutError(f"The policy's steps are {given['steps']!r}; give a list such as [10, 20, 50, 100].")
            given["steps"] = tuple(_whole(step) for step in given["steps"])
        return cls(**given)


def check_strategy(strategy: str) -> None:
    """Raises RolloutError, with near misses, for a strategy that there isn't."""
    if strategy not in STRATEGIES:
        raise RolloutError(f"There is no strategy {strategy!r}. {near_misses(strategy, STRATEGIES)}")


def _whole(value: Any) -> Any:
    """3.0 is 3: protobuf's Value has only doubles."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_steps(steps: tuple[int, ...]) -> None:
    numbers = all(isinstance(step, int) and not isinstance(step, bool) for step in steps)
    rising = numbers and all(before < after for before, after in itertools.pairwise(steps))
    if len(steps) < 2 or not rising or steps[0] < 1 or steps[-1] != ALL:
        raise RolloutError(
            f"The policy's steps are {list(steps)!r}; give whole percentages that rise and end with 100, such as "
            "[10, 20, 50, 100]: at 100 alone there is nothing to compare with."
        )


def _check(name: str, value: Any, low: float, high: float, *, whole: bool = False, open_below: bool = False) -> None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    good = good and low <= value <= high and not (open_below and value == low) and (not whole or value == int(value))
    if not good:
        above = "above" if open_below else "at least"
        upper = f" and at most {high:g}" if math.isfinite(high) else ""
        kind = "whole number" if whole else "number"
        raise RolloutError(f"The policy's {name} is {value!r}; give a {kind} {above} {low:g}{upper}.")
