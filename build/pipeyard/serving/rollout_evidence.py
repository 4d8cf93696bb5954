"""What a rollout's log and sampled answers say of both versions, as numbers and as lines to draw."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.serving import delayed_labels, sample_tables
from pipeyard.serving.delayed_labels import KeptComparisons
from pipeyard.serving.serving_folder import ServingFolder
from rollout import log, observations
from rollout.errors import RolloutError
from rollout.observations import Histogram, Window

WIDTH, HEIGHT = 560, 170
# Of a line over time: looks are put together until there are at most so many.
_POINTS = 120
_SHARES = (0.5, 0.9, 0.99)
_PAIR = ("stable", "candidate")


@dataclass(frozen=True)
class VersionEvidence:
    """What a version did in the windows that count.

    Attributes:
        latency: seconds; of each output the scores: cumulative histograms.
        sampled: rows that were kept, by the class that was answered; '' where the model answers none.
    """

    number: int
    requests: int
    errors: int
    latency: Histogram
    scores: Mapping[str, Histogram]
    sampled: Mapping[str, int] = field(default_factory=dict)

    @property
    def error_rate(self) -> float | None:
        return self.errors / self.requests if self.requests else None

    @property
    def percentiles(self) -> list[float | None]:
        """Milliseconds at the median, the 90th and the 99th percentile."""
        found = (1000 * observations.quantile(self.latency, share) for share in _SHARES)
        return [None if math.isnan(value) else value for value in found]


@dataclass(frozen=True)
class RolloutChart:
    """Two lines, stable and candidate, as SVG paths; `top` is what is at the upper edge, `end` at the right one."""

    title: str
    paths: Sequence[str]
    top: float
    end: float
    unit: str


@dataclass(frozen=True)
class RolloutEvidence:
    """A rollout, told."""

    rollout: log.Rollout
    versions: tuple[VersionEvidence, VersionEvidence]
    charts: Sequence[RolloutChart]
    labelled: KeptComparisons | None
    left_out: int

    @property
    def begin(self) -> log.Begin:
        return self.rollout.begin

    @property
    def last(self) -> log.Look | None:
        return self.rollout.looks[-1] if self.rollout.looks else None


def gather(folder: ServingFolder, path: Path, candidate: int | None) -> RolloutEvidence:
    """Returns what is known of a model's last rollout, or of the last one of a candidate.

    Raises:
        PipeyardError: the log can't be read, or has no such rollout.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            found = log.read(lines, str(path))
    except (RolloutError, UnicodeDecodeError) as error:
        raise PipeyardError(str(error)) from error
    wanted = [each for each in found if candidate in (None, each.begin.candidate)]
    if not wanted:
        there = ", ".join(sorted({str(each.begin.candidate) for each in found})) or "none"
        raise PipeyardError(f"{path} has no rollout of version {candidate}. Of these there are: {there}.")
    rollout = wanted[-1]
    begin, looks = rollout.begin, rollout.looks
    good = [look for look in looks if look.stable.alive and look.candidate.alive]
    sampled = _sampled(folder, begin)
    versions = tuple(
        _version(number, [getattr(look, side) for look in good], sampled.get(number, {}))
        for side, number in zip(_PAIR, (begin.stable, begin.candidate), strict=True)
    )
    labelled = delayed_labels.read(folder, begin)
    return RolloutEvidence(
        rollout, (versions[0], versions[1]), _charts(good, begin, versions), labelled, len(looks) - len(good)
    )


def _version(number: int, windows: Sequence[Window], sampled: Mapping[str, int]) -> VersionEvidence:
    outputs = sorted({output for window in windows for output in window.scores})
    return VersionEvidence(
        number,
        sum(window.requests for window in windows),
        sum(window.errors for window in windows),
        _sum([window.latency for window in windows]),
        {output: _sum([window.scores.get(output, {}) for window in windows]) for output in outputs},
        sampled,
    )


def _sum(histograms: Sequence[Histogram]) -> Histogram:
    bounds = sorted({bound for each in histograms for bound in each})
    return {bound: sum(each.get(bound, 0) for each in histograms) for bound in bounds}


def _sampled(folder: ServingFolder, begin: log.Begin) -> dict[int, dict[str, int]]:
    """Returns version to class to sampled rows since the candidate was staged; nothing if none were kept."""
    samples = folder.samples(begin.model)
    if not any(samples.glob("*.parquet")):
        return {}
    found: dict[int, dict[str, int]] = {}
    with sample_tables.database(f"What is in {samples}") as database:
        database.execute(f"CREATE VIEW samples AS {sample_tables.parquet(samples / '*.parquet')}")
        columns = [each[0] for each in database.execute("SELECT * FROM samples LIMIT 0").description]
        kind = "_class" if "_class" in columns else "''"
        query = f"SELECT _version, {kind}, count(*) FROM samples WHERE epoch(_time) >= {begin.staged_at!r}"
        for number, name, count in database.execute(f"{query} GROUP BY ALL ORDER BY ALL").fetchall():
            found.setdefault(int(number), {})[str(name)] = int(count)
    return found


def _charts(looks: Sequence[log.Look], begin: log.Begin, versions: Sequence[VersionEvidence]) -> list[RolloutChart]:
    size = -(-len(looks) // _POINTS) or 1
    groups = [looks[start : start + size] for start in range(0, len(looks), size)]

    def over_time(title: str, unit: str, value: Callable[[Sequence[Window]], float | None]) -> RolloutChart:
        lines = [
            [
                (group[-1].at - begin.staged_at, found)
                for group in groups
                if (found := value([getattr(look, side) for look in group])) is not None
            ]
            for side in _PAIR
        ]
        return _chart(title, unit, lines)

    charts = [
        over_time("Requests a second", "s", _rate),
        over_time("Errors, percent of the requests", "s", _error_percent),
        over_time("90th percentile of the time to answer, ms", "s", _slow),
        _chart(
            "Time to answer: share of the requests that took at most so long",
            "ms",
            [_cumulative(each.latency, 1000) for each in versions],
        ),
    ]
    for output in sorted({output for each in versions for output in each.scores}):
        title = f"Scores, {output}: share of the answers that are at most so high"
        charts.append(_chart(title, "", [_cumulative(each.scores.get(output, {}), 1) for each in versions]))
    return [chart for chart in charts if any(chart.paths)]


def _rate(windows: Sequence[Window]) -> float | None:
    seconds = sum(each.end - each.start for each in windows)
    return sum(each.requests for each in windows) / seconds if seconds > 0 else None


def _error_percent(windows: Sequence[Window]) -> float | None:
    requests = sum(each.requests for each in windows)
    return 100 * sum(each.errors for each in windows) / requests if requests else None


def _slow(windows: Sequence[Window]) -> float | None:
    value = observations.quantile(_sum([each.latency for each in windows]), 0.9)
    return None if math.isnan(value) else 1000 * value


def _cumulative(histogram: Histogram, factor: float) -> list[tuple[float, float]]:
    """Returns the points of a distribution function, up to where nearly all are."""
    total = observations.total(histogram)
    points: list[tuple[float, float]] = []
    for bound in sorted(each for each in histogram if math.isfinite(each)) if total else []:
        points.append((factor * bound, histogram[bound] / total))
        if histogram[bound] >= 0.999 * total:
            break
    return points


def _chart(title: str, unit: str, lines: Sequence[Sequence[tuple[float, float]]]) -> RolloutChart:
    points = [point for line in lines for point in line]
    top = max((y for _, y in points), default=0.0) or 1.0
    end = max((x for x, _ in points), default=0.0) or 1.0
    paths = [
        "M" + " L".join(f"{x / end * WIDTH:.1f},{(1 - y / top) * HEIGHT:.1f}" for x, y in line) if line else ""
        for line in lines
    ]
    return RolloutChart(title, paths, top, end, unit)
