"""What the project's model server counts, under the names that it exposes to Prometheus, as `Counters`.

The names and labels are those of `services/model_server`.
"""

from collections.abc import Iterable, Mapping

from rollout.observations import Counters

REQUESTS = "pipeyard_requests_total"
SECONDS = "pipeyard_request_seconds_bucket"
SCORES = "pipeyard_scores_bucket"
NAMES = (REQUESTS, SECONDS, SCORES)
# What tells the series of one process from each other; by all other labels processes are told from each other.
SERIES_LABELS = frozenset({"__name__", "model", "version", "status", "le", "output"})

_FIRST_ERROR = 400
# The client went away before it was answered: that says nothing of the version.
_CLIENT_LEFT = 499

Samples = Mapping[str, Iterable[tuple[Mapping[str, str], float]]]


def to_counters(samples: Samples, started: float, now: float) -> Counters:
    """Returns what one process of a version has counted.

    Args:
        samples: labels and value of each series, by the metric's name; others than `NAMES` don't count.
        started: what tells the process from the next one.
        now: when that was read, in seconds since the epoch.
    """
    requests, errors = 0, 0
    for labels, value in samples.get(REQUESTS, ()):
        status = int(labels.get("status", 0))
        if status != _CLIENT_LEFT:
            requests += int(value)
            errors += int(value) if status >= _FIRST_ERROR else 0
    latency: dict[float, int] = {}
    for labels, value in samples.get(SECONDS, ()):
        bound = float(labels["le"])
        latency[bound] = latency.get(bound, 0) + int(value)
    scores: dict[str, dict[float, int]] = {}
    for labels, value in samples.get(SCORES, ()):
        scores.setdefault(labels.get("output", ""), {})[float(labels["le"])] = int(value)
    return Counters(now, started, requests, errors, latency, scores)
