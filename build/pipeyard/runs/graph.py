"""Lays out a run's tasks as a layered graph, left to right.

The usual three steps (Sugiyama): layers by longest path, order within layers by the neighbours' mean position, then
coordinates. Edges over several layers go through a waypoint in each, so that they pass between boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from unicodedata import east_asian_width

from pipeyard.runs.record import Task

WIDTH, HEIGHT = 140, 54
GAP_X, GAP_Y = 36, 34
WAYPOINT_GAP = 16
MARGIN = 14
TOP = 18  # room above a box for its condition
SWEEPS = 8
# Widths of characters in ems, where they are far from those of most.
_EMS = dict.fromkeys("WMmw@%", 1.0) | dict.fromkeys("fijlrtI.,:;|'!()[]/ -", 0.42) | {"\N{HORIZONTAL ELLIPSIS}": 1.0}


@dataclass
class Box:
    """A task on the canvas; `x` and `y` are its upper left corner, in pixels."""

    task: Task
    x: float
    y: float


@dataclass
class Line:
    """An edge. `implied`: there is a longer way between its ends, too."""

    source: str
    target: str
    path: str
    implied: bool


@dataclass
class Layout:
    """Boxes and lines on a canvas of `width` by `height` pixels."""

    width: float
    height: float
    boxes: list[Box]
    lines: list[Line]


@dataclass
class _Point:
    """A box (`task` set) or a waypoint of an edge."""

    layer: int
    task: Task | None = None
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    y: float = 0.0

    @property
    def room(self) -> float:
        """What it takes above and below its middle."""
        return HEIGHT / 2 if self.task else 0.0


def lay_out(tasks: Sequence[Task]) -> Layout:
    """Places the tasks; upstream tasks that aren't among them are ignored."""
    upstream = _known_upstream(tasks)
    layers = _layers(upstream)
    points = [_Point(layers[task.path], task) for task in tasks]
    index = {task.path: position for position, task in enumerate(tasks)}
    chains: dict[tuple[str, str], list[int]] = {}
    for target, sources in upstream.items():
        for source in sources:
            chain = [index[source]]
            for layer in range(layers[source] + 1, layers[target]):
                points.append(_Point(layer))
                chain.append(len(points) - 1)
            chains[source, target] = [*chain, index[target]]
    for chain in chains.values():
        for left, right in pairwise(chain):
            points[left].right.append(right)
            points[right].left.append(left)

    columns = _ordered(points)
    _place(points, columns)
    top = min((point.y - point.room - (TOP if point.task else 0) for point in points), default=0.0)
    for point in points:
        point.y += MARGIN / 2 - top
    boxes = [Box(point.task, _x(point.layer), point.y - HEIGHT / 2) for point in points if point.task is not None]
    return Layout(
        width=_x(len(columns)) - GAP_X + MARGIN,
        height=max((point.y + point.room for point in points), default=0.0) + MARGIN,
        boxes=boxes,
        lines=[
            Line(source, target, _curve([points[position] for position in chain]), _implied(source, target, upstream))
            for (source, target), chain in chains.items()
        ],
    )


def fitted(text: str, width: float, size: float = 12.5) -> str:
    """Returns a text that is at most `width` pixels wide in bold type of `size` pixels: its middle is left out.

    Names that belong together often begin alike, and paths end with what tells them apart: so both ends are kept.
    """
    if _breadth(text) * size <= width:
        return text
    kept = len(text) - 1
    while kept and _breadth(_middle_out(text, kept)) * size > width:
        kept -= 1
    return _middle_out(text, kept)


def _middle_out(text: str, kept: int) -> str:
    return f"{text[: (kept + 1) // 2]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - kept // 2 :]}"


def _breadth(text: str) -> float:
    """Returns about how wide a text is, in ems; rather too much, as every system has another font."""
    return sum(_EMS.get(each, 1.05 if east_asian_width(each) in "WF" else 0.64) for each in text)


def depths(tasks: Sequence[Task]) -> dict[str, int]:
    """Returns, by path, how many tasks at most are above each one in a row."""
    return _layers(_known_upstream(tasks))


def _known_upstream(tasks: Sequence[Task]) -> dict[str, list[str]]:
    known = {task.path for task in tasks}
    return {
        task.path: [path for path in dict.fromkeys(task.upstream) if path in known and path != task.path]
        for task in tasks
    }


def _layers(upstream: dict[str, list[str]]) -> dict[str, int]:
    """Returns each task's longest distance from a task without upstream."""
    layers = dict.fromkeys(upstream, 0)
    for _ in upstream:  # as often as the longest path at most; a cycle, which no pipeline has, can't hang this
        before = dict(layers)
        for path, sources in upstream.items():
            layers[path] = max((layers[source] + 1 for source in sources), default=0)
        if layers == before:
            return layers
    for path in upstream:  # a cycle
        layers[path] = 0
        upstream[path] = []
    return layers


def _ordered(points: list[_Point]) -> list[list[int]]:
    """Returns the points of each layer, ordered so that few edges cross."""
    columns: list[list[int]] = [[] for _ in range(max((point.layer for point in points), default=-1) + 1)]
    for position, point in enumerate(points):
        columns[point.layer].append(position)
    rank = {position: order for column in columns for order, position in enumerate(column)}
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for column in columns if forward else reversed(columns):
            means = {
                position: _mean(
                    [rank[other] for other in (points[position].left if forward else points[position].right)],
                    rank[position],
                )
                for position in column
            }
            column.sort(key=lambda position: means[position])  # pylint: disable=cell-var-from-loop
            rank |= {position: order for order, position in enumerate(column)}
    return columns


def _place(points: list[_Point], columns: list[list[int]]) -> None:
    """Sets each point's `y` near the mean of its neighbours', keeping order and distances."""
    for column in columns:
        _spread(points, column, [0.0] * len(column))
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for column in columns if forward else reversed(columns):
            wanted = [
                _mean(
                    [points[other].y for other in (points[position].left if forward else points[position].right)],
                    points[position].y,
                )
                for position in column
            ]
            _spread(points, column, wanted)


def _spread(points: list[_Point], column: list[int], wanted: list[float]) -> None:
    placed: list[float] = []
    for order, (position, want) in enumerate(zip(column, wanted, strict=True)):
        lowest = want
        if order:
            both_boxes = points[position].task and points[column[order - 1]].task
            one_box = points[position].task or points[column[order - 1]].task
            distance = HEIGHT + GAP_Y if both_boxes else (HEIGHT / 2 + WAYPOINT_GAP + 8 if one_box else WAYPOINT_GAP)
            lowest = max(want, placed[-1] + distance)
        placed.append(lowest)
    shift = _mean([have - want for have, want in zip(placed, wanted, strict=True)], 0.0)
    for position, y in zip(column, placed, strict=True):
        points[position].y = y - shift


def _curve(chain: list[_Point]) -> str:
    """Returns an SVG path from the first box's right side to the last one's left side, level in between."""
    x, y = _x(chain[0].layer) + WIDTH, chain[0].y
    path = f"M{x:.0f},{y:.1f}"
    for point in chain[1:]:
        to_x, half = _x(point.layer), GAP_X * 0.6
        path += f" C{x + half:.0f},{y:.1f} {to_x - half:.0f},{point.y:.1f} {to_x:.0f},{point.y:.1f}"
        x, y = to_x, point.y
        if point is not chain[-1]:
            x += WIDTH
            path += f" H{x:.0f}"
    return path


def _implied(source: str, target: str, upstream: dict[str, list[str]]) -> bool:
    """True if `source` is also above another task that `target` follows."""
    waiting = [path for path in upstream[target] if path != source]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path == source:
            return True
        if path not in seen:
            seen.add(path)
            waiting += upstream[path]
    return False


def _x(layer: int) -> float:
    return MARGIN + layer * (WIDTH + GAP_X)


def _mean(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise
