"""What the metrics file says beside the metrics of the whole split: slices, gaps between them, importance.

deploy makes the model card of it, so that the card needs no library of TFMA's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evaluate import slicing
from evaluate.gaps import Gap
from evaluate.importance import Importance
from evaluate.problem import Problem
from evaluate.results import CANDIDATE, SliceMetrics

KEY = "analysis"
# More of them are in TFMA's results alone.
_SLICES = 200


def to_json(
    problem: Problem, split: str, metrics: Sequence[SliceMetrics], gaps: Sequence[Gap], found: Importance | None
) -> dict[str, Any]:
    """Returns an object of strict JSON; what is undefined isn't there.

    Args:
        metrics: the overall ones first.
    """
    shown = metrics[: _SLICES + 1]
    described: dict[str, Any] = {
        "split": split,
        "task": problem.task,
        "label": problem.label,
        "slices": [_of_slice(item) for item in shown],
        "slices_left_out": len(metrics) - len(shown),
        "gaps": [gap.to_json() for gap in gaps],
    }
    if problem.weight:
        described["weight"] = problem.weight
    if found:
        described["importance"] = _importance(found)
    return described


def _of_slice(item: SliceMetrics) -> dict[str, Any]:
    return {
        "slice": slicing.label(item.key),
        "examples": item.examples,
        "metrics": _finite(item.candidate),
        "intervals": {name: asdict(interval) for name, interval in item.intervals.get(CANDIDATE, {}).items()},
    }


def _importance(found: Importance) -> dict[str, Any]:
    return {
        "loss": found.loss,
        "value": found.value,
        "rows": found.rows,
        "repeats": found.repeats,
        "columns_tried": found.tried,
        "rows_of_screening": found.screened,
        "slices": [{"slice": slicing.label(key), "rows": rows} for key, rows in found.slices],
        "columns": [
            {"column": item.column, "mean": item.mean, "spread": item.spread, "by_slice": list(item.by_slice)}
            for item in found.columns
        ],
    }


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
