"""What `--thresholds` and `--slices` say, checked before anything heavy is done."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepkit.errors import StepError, near_misses

VALUE_BOUNDS = ("lower", "upper")
CHANGE_BOUNDS = ("min_change", "max_change")
EVERY_SLICE = "slices"


@dataclass(frozen=True)
class Threshold:
    """One bound of one metric.

    Attributes:
        metric: its name, as results show it.
        bound: `lower` or `upper` (of the value), `min_change` or `max_change` (of the candidate's less the baseline's).
        limit: the bound's number.
        every_slice: True if slices have to meet it too, and not only the whole split.
    """

    metric: str
    bound: str
    limit: float
    every_slice: bool

    @property
    def is_change(self) -> bool:
        """True if it needs a baseline."""
        return self.bound in CHANGE_BOUNDS


def parse_thresholds(
    spec: Mapping[str, Any], metrics: Sequence[str], slices: Sequence[tuple[str, ...]]
) -> list[Threshold]:
    """Reads `--thresholds`.

    Args:
        spec: metric to its bounds.
        metrics: names of what is computed.
        slices: what is sliced by.

    Raises:
        StepError: an unknown metric or bound, or a bound that is no number; says which.
    """
    found = []
    for metric, bounds in spec.items():
        if metric not in metrics:
            raise StepError(
                f"--thresholds names the metric {metric!r}, which --metrics-config doesn't compute. "
                f"{near_misses(metric, metrics)}"
            )
        if not isinstance(bounds, dict):
            raise StepError(f'--thresholds of {metric} must be an object such as {{"lower": 0.7}}, not {bounds!r}.')
        every_slice = bounds.get(EVERY_SLICE, False)
        if not isinstance(every_slice, bool):
            raise StepError(f"--thresholds of {metric}: {EVERY_SLICE!r} must be true or false, not {every_slice!r}.")
        if every_slice and not slices:
            raise StepError(
                f"--thresholds of {metric} applies to every slice, but --slices is empty. "
                f"Name features in --slices or leave {EVERY_SLICE!r} out."
            )
        for bound, limit in bounds.items():
            if bound == EVERY_SLICE:
                continue
            if bound not in VALUE_BOUNDS + CHANGE_BOUNDS:
                known = [*VALUE_BOUNDS, *CHANGE_BOUNDS, EVERY_SLICE]
                raise StepError(f"--thresholds of {metric} has an unknown bound {bound!r}. {near_misses(bound, known)}")
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
                raise StepError(f"--thresholds of {metric}: {bound!r} must be a number, not {limit!r}.")
            found.append(Threshold(metric, bound, float(limit), every_slice))
        _check_order(metric, bounds)
    return found


def _check_order(metric: str, bounds: Mapping[str, float]) -> None:
    for low, high in (VALUE_BOUNDS, CHANGE_BOUNDS):
        if low in bounds and high in bounds and bounds[low] > bounds[high]:
            raise StepError(
                f"--thresholds of {metric}: {low!r} ({bounds[low]}) is above {high!r} ({bounds[high]}): "
                "no model can meet both. Correct one of them."
            )


def parse_slices(spec: Sequence[Any]) -> list[tuple[str, ...]]:
    """Reads `--slices` into tuples of column names, sorted within a tuple (TFMA's order), without repetitions.

    Raises:
        StepError: an item is neither a name nor an array of names.
    """
    found = []
    for item in spec:
        names = [item] if isinstance(item, str) else item
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise StepError(
                f'--slices must hold column names or arrays of column names, not {item!r}: e.g. ["a", ["a", "b"]].'
            )
        found.append(tuple(sorted(set(names))))
    return list(dict.fromkeys(found))
