"""What was seen of a version in a stretch of time.

A histogram is Prometheus' (https://prometheus.io/docs/concepts/metric_types/#histogram): upper bound to how many were
at most that, the bound `inf` to how many there were. In JSON bounds are strings, `inf` is `+Inf`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from rollout.errors import RolloutError

Histogram = Mapping[float, int]
_NONE: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Counters:
    """What a version's process has counted since it started.

    Attributes:
        at: when that was read, in seconds since the epoch.
        started: what tells one process from the next, e.g. when it started.
        requests: how many it answered, or failed to.
        errors: those with a status of 400 or more, and those that it didn't answer. A candidate that refuses what the
            stable version takes is as bad as one that fails; clients' own mistakes come to both alike.
        latency: seconds.
        scores: by output.
    """

    at: float
    started: float
    requests: int = 0
    errors: int = 0
    latency: Histogram = field(default_factory=dict)
    scores: Mapping[str, Histogram] = field(default_factory=dict)


@dataclass(frozen=True)
class Window:
    """What one version did from `start` to `end`, in seconds since the epoch.

    Attributes:
        alive: False if it didn't serve all the time: then the window is no evidence.
        weight: percent of traffic that the candidate was given meanwhile; 0 in shadow mode.
        requests, errors, latency, scores: see `Counters`; within the window.
    """

    start: float
    end: float
    version: int
    alive: bool = True
    requests: int = 0
    errors: int = 0
    latency: Histogram = field(default_factory=dict)
    scores: Mapping[str, Histogram] = field(default_factory=dict)
    weight: int = 0

    def to_json(self) -> dict[str, Any]:
        """Returns the window as JSON's values."""
        return {
            "start": self.start,
            "end": self.end,
            "version": self.version,
            "alive": self.alive,
            "requests": self.requests,
            "errors": self.errors,
            "latency": histogram_to_json(self.latency),
            "scores": {output: histogram_to_json(each) for output, each in self.scores.items()},
            "weight": self.weight,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Window":
        """Reads what `to_json` gave.

        Raises:
            RolloutError: it isn't a window.
        """
        try:
            return cls(
                start=float(value["start"]),
                end=float(value["end"]),
                version=int(value["version"]),
                alive=bool(value["alive"]),
                requests=int(value["requests"]),
                errors=int(value["errors"]),
                latency=histogram_from_json(value["latency"]),
                scores={output: histogram_from_json(each) for output, each in value["scores"].items()},
                weight=int(value["weight"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RolloutError(
                f"A window of observations isn't whole ({error!r}). Was it written by rollout?"
            ) from error


def between(
    before: Counters | None, after: Counters | None, *, version: int, weight: int, start: float, end: float
) -> Window:
    """Returns the window between two readings of a version's counters.

    Args:
        before: None if it couldn't be read then, as `after`. That, or a process that started anew, is a version that
            was down.
        start: used where there is no reading, as `end`.
    """
    if before is None or after is None or before.started != after.started or after.requests < before.requests:
        return Window(start, end, version, alive=False, weight=weight)
    outputs = {output: _less(before.scores.get(output, _NONE), histogram) for output, histogram in after.scores.items()}
    return Window(
        start=before.at,
        end=after.at,
        version=version,
        requests=after.requests - before.requests,
        errors=after.errors - before.errors,
        latency=_less(before.latency, after.latency),
        scores=outputs,
        weight=weight,
    )


def total(histogram: Histogram) -> int:
    """Returns how many a histogram has counted."""
    counted = histogram.get(math.inf)
    return max(histogram.values(), default=0) if counted is None else counted


def quantile(histogram: Histogram, share: float) -> float:
    """Returns a quantile, geometrically interpolated within its bucket; NaN of an empty histogram.

    What lies above the last finite bound is taken for that bound.
    """
    counted = total(histogram)
    if not counted:
        return math.nan
    wanted, lower, below = share * counted, 0.0, 0
    for bound in sorted(histogram):
        count = histogram[bound]
        if count >= wanted and count > below:
            if not math.isfinite(bound):
                return lower
            part = (wanted - below) / (count - below)
            return lower * (bound / lower) ** part if lower > 0 else bound * part
        lower, below = bound, count
    return lower


def histogram_to_json(histogram: Histogram) -> dict[str, int]:
    """Returns a histogram with bounds as strings."""
    return {_bound_to_text(bound): count for bound, count in histogram.items()}


def histogram_from_json(value: Mapping[str, int]) -> dict[float, int]:
    """Reads what `histogram_to_json` gave."""
    return {float(bound): int(count) for bound, count in value.items()}


def _bound_to_text(bound: float) -> str:
    return repr(float(bound)) if math.isfinite(bound) else "+Inf"


def _less(before: Histogram, after: Histogram) -> dict[float, int]:
    return {bound: count - before.get(bound, 0) for bound, count in after.items()}
