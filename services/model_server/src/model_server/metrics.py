"""What is counted of predictions, as Prometheus reads it.

prometheus_client's own histograms look through their bounds one by one, which with as many as here takes longer than
the rest of what a request is counted by; so the counts are kept here, and it writes them out.
"""

import bisect
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_FIRST_SECONDS, _RATIO, _LAST_SECONDS = 1e-4, 1.1, 60.0
_SCORE_BUCKETS = 20


def latency_bounds() -> list[float]:
    """Returns bounds of seconds, each 10% above the one before, from 0.1 ms to a minute."""
    bounds = (_FIRST_SECONDS * _RATIO**power for power in itertools.count())
    return [float(f"{bound:.4g}") for bound in itertools.takewhile(lambda bound: bound < _LAST_SECONDS, bounds)]


def score_bounds(lowest: float = 0.0, highest: float = 1.0) -> list[float]:
    """Returns bounds of 20 equal buckets of an interval."""
    step = (highest - lowest) / _SCORE_BUCKETS
    return [float(f"{lowest + step * number:.6g}") for number in range(1, _SCORE_BUCKETS + 1)]


class Histogram:
    """Counts of values by bounds, the last of which is infinity."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = list(bounds)
        self._array = np.array(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_all(self, values: np.ndarray) -> None:
        """Adds many."""
        if len(values) == 1:
            self.add(float(values[0]))
            return
        found = np.bincount(np.searchsorted(self._array, values), minlength=len(self._counts))
        self._counts = [have + new for have, new in zip(self._counts, found.tolist(), strict=True)]
        self._sum += float(values.sum())

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """Returns each bound with how many values are at most it, and the sum of all."""
        names = [*map(repr, self._bounds), "+Inf"]
        return list(zip(names, map(float, itertools.accumulate(self._counts)), strict=True)), self._sum


class Metrics(Collector):
    """Of one model's version. Changed in the event loop's thread alone.

    Args:
        model: name and version.
        outputs: what the numbers of a row are called.
        bounds: of the scores' histograms; None: they aren't counted.

    Attributes:
        active: requests in work.
        dropped: tells how many sampled rows weren't logged.
    """

    def __init__(self, model: tuple[str, str], outputs: Sequence[str], bounds: Sequence[float] | None) -> None:
        self._model = model
        self._requests: dict[int, int] = {200: 0}
        self._seconds = Histogram(latency_bounds())
        self._scores = {name: Histogram(bounds) for name in outputs} if bounds else {}
        self._rows = 0
        self.active = 0
        self.dropped: Callable[[], int] = lambda: 0

    def count(self, status: int, seconds: float | None) -> None:
        """Counts a request of predictions.

        Args:
            seconds: from its last byte to the answer's first; None where the model had no part in it.
        """
        self._requests[status] = self._requests.get(status, 0) + 1
        if seconds is not None:
            self._seconds.add(seconds)

    def count_scores(self, values: np.ndarray) -> None:
        """Counts answers, float [rows, width]."""
        self._rows += len(values)
        for number, histogram in enumerate(self._scores.values()):
            histogram.add_all(values[:, number])

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        labels, values = ["model", "version"], list(self._model)
        requests = CounterMetricFamily(
            "pipeyard_requests",
            "Requests of predictions, by the status they were answered with",
            labels=[*labels, "status"],
        )
        for status, number in sorted(self._requests.items()):
            requests.add_metric([*values, str(status)], number)
        yield requests
        seconds = HistogramMetricFamily(
            "pipeyard_request_seconds",
            "From a request's last byte to its answer; of those that were answered, or that the server failed",
            labels=labels,
        )
        seconds.add_metric(values, *self._seconds.cumulative())
        yield seconds
        scores = HistogramMetricFamily(
            "pipeyard_scores", "The model's numbers, a histogram a column of its answer", labels=[*labels, "output"]
        )
        for name, histogram in list(self._scores.items()):
            scores.add_metric([*values, name], *histogram.cumulative())
        yield scores
        rows = CounterMetricFamily("pipeyard_rows", "Rows that were answered", labels=labels)
        rows.add_metric(values, self._rows)
        yield rows
        dropped = CounterMetricFamily(
            "pipeyard_log_rows_dropped",
            "Sampled rows that weren't logged: writing failed or was too slow",
            labels=labels,
        )
        dropped.add_metric(values, self.dropped())
        yield dropped
        active = GaugeMetricFamily("pipeyard_active_requests", "Requests of predictions in work", labels=labels)
        active.add_metric(values, self.active)
        yield active
