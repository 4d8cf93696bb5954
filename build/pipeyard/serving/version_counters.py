"""What a model server has counted, read of its /metrics."""

from rollout import metrics
from rollout.observations import Counters

_SECONDS = 1.0


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
    return metrics.to_counters(samples, started, now)
