"""What a model server has counted, read of its /metrics."""

from rollout.observations import Counters

_SECONDS = 1.0
_FIRST_ERROR = 400
# The client went away before it was answered: that says nothing of the version.
_CLIENT_LEFT = 499


def read(port: int, started: float, now: float) -> Counters | None:
    """Returns the counts of the version at a port; None if it doesn't answer.

    Args:
        started: when its process was.
        now: epoch seconds.
    """
    import requests

    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"http://127.0.0.1:{port}/metrics", timeout=_SECONDS)
            answer.raise_for_status()
            return parse(answer.text, started, now)
    except (requests.RequestException, ValueError):
        return None


def parse(text: str, started: float, now: float) -> Counters:
    """Returns the counts of a text in Prometheus' format: https://prometheus.io/docs/instrumenting/exposition_formats.

    Raises:
        ValueError: it isn't one.
    """
    from prometheus_client.parser import text_string_to_metric_families

    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    requests, errors = 0, 0
    for labels, value in samples.get("pipeyard_requests_total", ()):
        status = int(labels.get("status", 0))
        if status != _CLIENT_LEFT:
            requests += int(value)
            errors += int(value) if status >= _FIRST_ERROR else 0
    latency: dict[float, int] = {}
    for labels, value in samples.get("pipeyard_request_seconds_bucket", ()):
        bound = float(labels["le"])
        latency[bound] = latency.get(bound, 0) + int(value)
    scores: dict[str, dict[float, int]] = {}
    for labels, value in samples.get("pipeyard_scores_bucket", ()):
        scores.setdefault(labels.get("output", ""), {})[float(labels["le"])] = int(value)
    return Counters(now, started, requests, errors, latency, scores)
