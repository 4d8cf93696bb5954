"""Whether new data has drifted away from what the last training run read, and whether a served model got worse."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.settings import DriftTrigger, QualityTrigger
from pipeyard.system import jsons
from pipeyard.triggers import remote_artifacts, statistics
from pipeyard.triggers.domain import Event, EventKind, digest
from pipeyard.triggers.statistics import Feature
from stepkit import served

_ALL = "All Examples"
_BASELINE = "baseline"
# Of the record of a served version.
_METRICS = "metrics"


@dataclass(frozen=True)
class Measured:
    """Something that was compared with its bound.

    Attributes:
        name: feature and split, or metric.
        measure: what the value is: a distance, a metric, how much a metric dropped.
        past: whether it is past the bound.
    """

    name: str
    measure: str
    value: float
    bound: float
    past: bool

    def __str__(self) -> str:
        undefined = math.isnan(self.value)
        sign = "within" if not self.past else "past" if undefined else ">" if self.value > self.bound else "<"
        return f"{self.name}: {self.measure} {self.value:.4g} {sign} {self.bound:g}"


@dataclass(frozen=True)
class Assessment:
    """All that was measured, farthest past its bound first, and the event that it is; None if all is well."""

    measured: list[Measured]
    event: Event | None


def drift(trigger: DriftTrigger, baseline: str, now: datetime) -> Assessment:
    """Compares the statistics of new data with those of the last training run.

    Args:
        baseline: URI of a statistics artifact.

    Raises:
        PipeyardError: either can't be read, they have no split in common, or a feature with a bound isn't there.
    """
    contents = [remote_artifacts.read(uri, statistics.FILE, "statistics") for uri in (trigger.statistics, baseline)]
    ours = statistics.parse(contents[0], trigger.statistics)
    theirs = statistics.parse(contents[1], baseline)
    known = {feature for split in ours.values() for feature in split}
    for feature in trigger.features:
        if feature not in known:
            raise PipeyardError(
                f"The trigger {trigger.name!r} has a distance for {feature!r}, which the data at {trigger.statistics} "
                f"hasn't. {near_misses(feature, known)}"
            )
    pairs = list(_pairs(ours, theirs))
    if not pairs:
        raise PipeyardError(
            f"{trigger.statistics} has the splits {', '.join(ours)}, {baseline} has {', '.join(theirs)}: none can be "
            "compared. Name splits alike, or compute statistics of one split."
        )
    measured = []
    for split, mine, other in pairs:
        for feature in sorted(mine.keys() & other.keys()):
            found = statistics.distance(mine[feature], other[feature])
            bound = trigger.features.get(feature, trigger.max_distance)
            if found:
                past = found.value > bound
                measured.append(Measured(f"{feature} ({split})", found.measure, found.value, bound, past))
    return _finding(EventKind.DRIFT, measured, digest(*(_sum(content) for content in contents)), now)


def quality(trigger: QualityTrigger, baseline: str, now: datetime) -> Assessment:
    """Compares the metrics of the served model with bounds, and with those that it had when it was trained.

    Args:
        baseline: URI of metrics; needed where the trigger has `max_drop`.

    Raises:
        PipeyardError: either can't be read, or a metric with a bound isn't there.
    """
    content = remote_artifacts.read(trigger.metrics, "", "metrics")
    ours = _numbers(content, trigger.metrics)
    earlier = remote_artifacts.read(baseline, "", "metrics to compare with") if trigger.max_drop else b""
    theirs = _numbers(earlier, baseline) if trigger.max_drop else {}
    measured = []
    for name, bound in trigger.min.items():
        value = _metric(ours, name, trigger.metrics)
        measured.append(Measured(name, "is", value, bound, not value >= bound))
    for name, bound in trigger.max.items():
        value = _metric(ours, name, trigger.metrics)
        measured.append(Measured(name, "is", value, bound, not value <= bound))
    for name, bound in trigger.max_drop.items():
        value = _metric(theirs, name, baseline) - _metric(ours, name, trigger.metrics)
        measured.append(Measured(name, "dropped by", value, bound, not value <= bound))
    return _finding(EventKind.QUALITY, measured, digest(_sum(content), _sum(earlier)), now)


def _finding(kind: EventKind, measured: list[Measured], content: str, now: datetime) -> Assessment:
    """The same content is the same event: a check that runs hourly starts one run for it."""
    measured.sort(key=lambda each: (not each.past, -_excess(each)))
    past = [each for each in measured if each.past]
    if not past:
        return Assessment(measured, None)
    detail = ", ".join(map(str, past[:3])) + (f" and {len(past) - 3} more" if len(past) > 3 else "")
    return Assessment(measured, Event(kind=kind, subject=f"{kind} {content}", time=now, detail=detail))


def _excess(measured: Measured) -> float:
    excess = abs(measured.value - measured.bound) / (abs(measured.bound) or 1.0)
    return math.inf if math.isnan(excess) else excess


def _pairs(
    ours: Mapping[str, dict[str, Feature]], theirs: Mapping[str, dict[str, Feature]]
) -> Iterator[tuple[str, dict[str, Feature], dict[str, Feature]]]:
    """Yields splits with what they are compared with: their namesake, else the whole, else the only one."""
    for split, features in ours.items():
        only = min(theirs) if len(theirs) == 1 else ""
        other = next((name for name in (split, _ALL, only) if name in theirs), None)
        if other is not None:
            yield split, features, theirs[other]


def _numbers(content: bytes, uri: str) -> dict[str, float | None]:
    try:
        found = jsons.load(content)
        if uri.rpartition("/")[2] == served.RECORD and isinstance(found, dict):
            found = found.get(_METRICS)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        raise PipeyardError(
            f"The metrics at {uri} aren't JSON: {error}. Write an object of numbers, as evaluate's output metrics is."
        ) from error
    return {str(name): value for name, value in found.items() if name != _BASELINE}


def _metric(metrics: Mapping[str, float | None], name: str, uri: str) -> float:
    if name not in metrics:
        raise PipeyardError(f"The metrics at {uri} have no {name!r}. {near_misses(name, metrics)}")
    value = metrics[name]
    if value is None:
        return math.nan  # undefined, as AUC is of one class: past any bound
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PipeyardError(f"The metrics at {uri} have no number for {name!r}. Write one.")
    return float(value)


def _sum(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()
