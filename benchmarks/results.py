"""What a table measured, as it is kept in JSON, and arithmetic over it."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MEASURES = ("wall_s", "cpu_s", "pss_mb", "rss_mb")


@dataclass(frozen=True)
class SideResult:
    """One side of a case.

    Attributes:
        rounds: what each repetition measured: MEASURES, and facts of the side's own (numbers).
        versions: libraries that matter, as installed.
        note: what a reader must know to judge the comparison.
        missing: why there are no rounds; empty where there are.
    """

    side: str
    rounds: list[dict[str, float]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    note: str = ""
    missing: str = ""

    def median(self, measure: str) -> float | None:
        """Returns the median over the rounds that have `measure`; None if none has."""
        values = [each[measure] for each in self.rounds if measure in each]
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class CaseResult:
    """Sides that were measured in turn, in one run, on one machine."""

    case: str
    rows: int
    sides: list[SideResult]
    repeat: int
    taken: str
    commit: str
    machine: dict[str, str]

    def side(self, name: str) -> SideResult | None:
        """Returns a side by name."""
        return next((each for each in self.sides if each.side == name), None)


@dataclass(frozen=True)
class TableResult:
    """Everything that is known of a table."""

    table: str
    cases: list[CaseResult]

    def case(self, name: str) -> CaseResult | None:
        """Returns a case by name."""
        return next((each for each in self.cases if each.case == name), None)

    def median(self, case: str, side: str, measure: str) -> float | None:
        """Returns a median; None where it wasn't measured."""
        found = self.case(case)
        of = found.side(side) if found else None
        return of.median(measure) if of else None

    def with_cases(self, cases: Iterable[CaseResult], order: Sequence[str]) -> "TableResult":
        """Returns the table with these cases in place of earlier ones of the same name, in the order given."""
        merged = {each.case: each for each in [*self.cases, *cases]}
        names = [*[name for name in order if name in merged], *[name for name in merged if name not in order]]
        return TableResult(self.table, [merged[name] for name in names])


def to_json(result: TableResult) -> str:
    """Returns the text of a table's JSON file."""
    return json.dumps(asdict(result), indent=1, sort_keys=True) + "\n"


def from_json(text: str) -> TableResult:
    """Reads what `to_json` wrote."""
    content = json.loads(text)
    cases = [
        CaseResult(**{**case, "sides": [SideResult(**side) for side in case["sides"]]}) for case in content["cases"]
    ]
    return TableResult(content["table"], cases)


def load(folder: Path, table: str) -> TableResult:
    """Returns a table's results so far; empty if there are none."""
    path = folder / f"{table}.json"
    return from_json(path.read_text(encoding="utf-8")) if path.is_file() else TableResult(table, [])


@dataclass(frozen=True)
class Verdict:
    """A goal and what was reached.

    Attributes:
        met: None where a side is missing, so that it can't be told.
    """

    goal: str
    reached: str
    met: bool | None


def quotient(above: float | None, below: float | None) -> float | None:
    """Returns above / below; None where one of them is missing or `below` is 0."""
    return above / below if above is not None and below else None


def at_most(goal: str, value: float | None, limit: float, show: Callable[[float], str] = "{:.2f}".format) -> Verdict:
    """Judges a value that should be no higher than `limit`."""
    return Verdict(goal, "not measured" if value is None else show(value), None if value is None else value <= limit)


def at_least(goal: str, value: float | None, limit: float, show: Callable[[float], str] = "{:.1f}x".format) -> Verdict:
    """Judges a value that should be no lower than `limit`."""
    return Verdict(goal, "not measured" if value is None else show(value), None if value is None else value >= limit)


def equal_within_noise(goal: str, ours: Sequence[float], theirs: Sequence[float], floor: float = 0.0) -> Verdict:
    """Judges whether two sides' values over seeds differ by no more than chance explains.

    The difference of the means is compared with twice its standard error, sqrt(var(a)/n + var(b)/m), and with `floor`,
    whichever is larger. Needs two values of each side.

    Args:
        floor: a difference that doesn't matter, for where seeds happen to agree.
    """
    if len(ours) < 2 or len(theirs) < 2:
        return Verdict(goal, "not measured over seeds", None)
    difference = statistics.mean(ours) - statistics.mean(theirs)
    error = (statistics.variance(ours) / len(ours) + statistics.variance(theirs) / len(theirs)) ** 0.5
    noise = max(2 * error, floor)
    return Verdict(goal, f"{difference:+.4f}, noise {noise:.4f}", abs(difference) <= noise)


@dataclass(frozen=True)
class Line:
    """wall = start + per_row * rows."""

    start: float
    per_row: float

    def at(self, rows: float) -> float:
        """Returns the wall seconds that the line has at `rows`."""
        return self.start + self.per_row * rows


def least_squares(points: Mapping[int, float]) -> Line:
    """Fits a line through (rows, seconds), each point weighted by 1 / seconds^2, so that errors count in relation.

    Args:
        points: at least two different numbers of rows.
    """
    weights = {rows: 1 / seconds**2 for rows, seconds in points.items()}
    total = sum(weights.values())
    mean_x = sum(weights[x] * x for x in points) / total
    mean_y = sum(weights[x] * y for x, y in points.items()) / total
    slope = sum(weights[x] * (x - mean_x) * (y - mean_y) for x, y in points.items())
    slope /= sum(weights[x] * (x - mean_x) ** 2 for x in points)
    return Line(mean_y - slope * mean_x, slope)


def largest_deviation(points: Mapping[int, float]) -> float:
    """Returns how far, in relation to the line, a point is from the least-squares line at most: 0.1 is 10%."""
    line = least_squares(points)
    return max(abs(seconds / line.at(rows) - 1) for rows, seconds in points.items())


def summary(side: SideResult) -> dict[str, Any]:
    """Returns the medians of everything that the rounds have."""
    names = dict.fromkeys(name for each in side.rounds for name in each)
    return {name: side.median(name) for name in names}
