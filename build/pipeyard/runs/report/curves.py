"""Reads KFP's ClassificationMetrics: points of a ROC curve, and a confusion matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pipeyard.runs.results import is_number

SIZE = 260  # pixels of the plot's sides
_MOST_POINTS = 300


@dataclass(frozen=True)
class Roc:
    """A ROC curve: `points` are (false positive rate, recall, threshold), sorted; `line` draws them in SVG."""

    points: list[tuple[float, float, float]]
    area: float
    line: str


@dataclass(frozen=True)
class Cell:
    """A count of a confusion matrix, and its share of its row in [0, 1]."""

    count: float
    share: float


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix: a row per actual class, a column per predicted one."""

    labels: list[str]
    rows: list[list[Cell]]


def roc(metadata: dict[str, Any]) -> Roc | None:
    """Returns the ROC curve of `confidenceMetrics`; None if absent."""
    listed = _unwrapped(metadata.get("confidenceMetrics"), "list")
    points: list[tuple[float, float, float]] = []
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and is_number(entry.get("falsePositiveRate")) and is_number(entry.get("recall")):
            threshold: Any = entry.get("confidenceThreshold")
            # Rounding errors of whoever computed them must not leave the plot.
            false, true = (min(max(float(entry[rate]), 0.0), 1.0) for rate in ("falsePositiveRate", "recall"))
            points.append((false, true, float(threshold) if is_number(threshold) else float("nan")))
    if not points:
        return None
    points.sort(key=lambda point: point[:2])
    ends = [(0.0, 0.0), *(point[:2] for point in points), (1.0, 1.0)]
    area = sum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in pairwise(ends))
    drawn = [ends[0], *(point[:2] for point in _thinned(points)), ends[-1]]
    line = "M" + " L".join(f"{SIZE * x:.1f},{SIZE * (1 - y):.1f}" for x, y in drawn)
    return Roc(points, area, line)


def confusion(metadata: dict[str, Any]) -> Confusion | None:
    """Returns the confusion matrix of `confusionMatrix`; None if absent, or it isn't square."""
    matrix = _unwrapped(metadata.get("confusionMatrix"), "struct")
    if not isinstance(matrix, dict):
        return None
    try:
        labels = [str(spec["displayName"]) for spec in matrix["annotationSpecs"]]
        counts = [[float(count) for count in row["row"]] for row in matrix["rows"]]
    except (KeyError, TypeError, ValueError):
        return None
    if not labels or len(counts) != len(labels) or any(len(row) != len(labels) for row in counts):
        return None
    return Confusion(labels, [[Cell(count, count / (sum(row) or 1.0)) for count in row] for row in counts])


def _unwrapped(value: Any, key: str) -> Any:
    """KFP's own executor wraps these values for its UI."""
    return value[key] if isinstance(value, dict) and key in value else value


def _thinned(points: Sequence[tuple[float, float, float]]) -> Sequence[tuple[float, float, float]]:
    step = max(len(points) // _MOST_POINTS, 1)
    return [*points[::step], points[-1]]
