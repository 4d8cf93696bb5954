"""Gaps between slices: how far the best and the worst slice of the same features are apart, by a metric."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluate import slicing
from evaluate.results import SliceMetrics
from evaluate.slicing import OVERALL
from evaluate.thresholds import Threshold
from stepkit.errors import StepError, near_misses


@dataclass(frozen=True)
class Gap:
    """Of one metric, between the slices by some features.

    Attributes:
        features: joined: `payment_type x trip_start_day`.
        lowest, highest: the slices where the metric is so.
        compared: how many slices were.
        left_out: how many were too small, or have no such metric.
    """

    metric: str
    features: str
    lowest: SliceMetrics
    highest: SliceMetrics
    compared: int
    left_out: int

    @property
    def value(self) -> float:
        """The highest less the lowest; never negative."""
        return self.highest.candidate[self.metric] - self.lowest.candidate[self.metric]

    def to_json(self) -> dict[str, Any]:
        """Returns what is kept of it."""
        return {
            "metric": self.metric,
            "features": self.features,
            "gap": self.value,
            "lowest": _end(self.lowest, self.metric),
            "highest": _end(self.highest, self.metric),
            "slices": self.compared,
            "left_out": self.left_out,
        }


def _end(item: SliceMetrics, metric: str) -> dict[str, Any]:
    return {"slice": slicing.label(item.key), "value": item.candidate[metric], "examples": item.examples}


def chosen(spec: Sequence[Any], known: Sequence[str], limits: Sequence[Threshold]) -> list[str]:
    """Returns the metrics whose gaps are asked for: those of `--gap-metrics`, and without any, those with a threshold.

    Raises:
        StepError: one isn't computed.
    """
    for name in spec:
        if name not in known:
            raise StepError(
                f"--gap-metrics names {name!r}, which --metrics-config doesn't compute. {near_misses(str(name), known)}"
            )
    return list(dict.fromkeys(spec or [item.metric for item in limits]))


def between(metrics: Sequence[SliceMetrics], names: Sequence[str], min_slice_size: int) -> list[Gap]:
    """Returns the gaps of each metric, by the features that are sliced by; the widest of a metric first.

    Slices with fewer than `min_slice_size` rows are left out, as thresholds leave them out, and so are those where the
    metric is undefined. Where fewer than two are left there is no gap.
    """
    by_features: dict[str, list[SliceMetrics]] = {}
    for item in metrics:
        if item.key != OVERALL:
            by_features.setdefault(" x ".join(name for name, _ in item.key), []).append(item)
    found = []
    for name in names:
        gaps = [_gap(name, features, items, min_slice_size) for features, items in by_features.items()]
        found += sorted(filter(None, gaps), key=lambda gap: (-gap.value, gap.features))
    return found


def _gap(metric: str, features: str, items: Sequence[SliceMetrics], min_slice_size: int) -> Gap | None:
    large = [item for item in items if item.examples >= min_slice_size]
    fit = [item for item in large if math.isfinite(item.candidate.get(metric, math.nan))]
    if len(fit) < 2:
        return None
    ordered = sorted(fit, key=lambda item: (item.candidate[metric], slicing.label(item.key)))
    return Gap(metric, features, ordered[0], ordered[-1], len(fit), len(items) - len(fit))
