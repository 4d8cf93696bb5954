"""What both versions of a model did in a window of time, as Prometheus has scraped it of their servers.

Counters are read at both ends of the window, process by process, and subtracted: `rate` and `increase` would
extrapolate, and a restart would look like traffic. The queries are instant ones:
https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout import metrics
from rollout.observations import Counters, Histogram, Window, between
from stepkit.errors import StepError

_ATTEMPTS = 5
_PAUSE = 0.5
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_TIMEOUT = (10, 60)  # seconds: to connect, to answer

# A process, by all labels that its series have in common.
Process = frozenset[tuple[str, str]]
# Version to process to what it has counted.
Reading = Mapping[int, Mapping[Process, Counters]]


@dataclass
class Prometheus:
    """A server of Prometheus' HTTP API.

    Attributes:
        url: its base.
        token_file: with a bearer token; empty: none is sent.
        pause: seconds before a request is repeated the second time; doubles each time.
    """

    url: str
    token_file: str = ""
    pause: float = _PAUSE
    _readings: dict[tuple[str, float], Reading] = field(default_factory=dict)

    def reach(self) -> None:
        """Asks something that there always is.

        Raises:
            StepError: it isn't answered.
        """
        try:
            self._query("vector(1)", 0.0)
        except (OSError, ValueError) as error:
            raise StepError(
                f"Prometheus at {self.url!r} doesn't answer ({error}). Check the option 'prometheus' of "
                "--serving-options, and from where it can be reached."
            ) from error

    def observe(self, model: str, stable: int, candidate: int, start: float, end: float) -> tuple[Window, Window]:
        """See `rollout.target.Target`. Where Prometheus doesn't answer, both windows are no evidence."""
        try:
            before, after = (self._reading(model, (stable, candidate), at) for at in (start, end))
        except (OSError, ValueError) as error:
            print(f"Prometheus at {self.url!r} doesn't answer, the window is no evidence: {error}", file=sys.stderr)
            before = after = {}
        first, second = (
            window(before.get(number, {}), after.get(number, {}), number, start, end) for number in (stable, candidate)
        )
        return first, second

    def _reading(self, model: str, versions: Sequence[int], at: float) -> Reading:
        names, numbers = "|".join(metrics.NAMES), "|".join(map(str, versions))
        expression = f'{{__name__=~"{names}",model={_quoted(model)},version=~"{numbers}"}}'
        key = (expression, at)
        if key not in self._readings:
            found = to_reading(self._query(expression, at), at)
            kept = list(self._readings.items())[-1:]  # the end of this window is the beginning of the next
            self._readings = {**dict(kept), key: found}
        return self._readings[key]

    def _query(self, expression: str, at: float) -> list[dict[str, Any]]:
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry

        repeated = Retry(
            total=_ATTEMPTS,
            backoff_factor=self.pause,
            status_forcelist=_TRANSIENT,
            allowed_methods=None,
            raise_on_status=False,
        )
        with requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=repeated))
            headers = (
                {"authorization": f"Bearer {Path(self.token_file).read_text(encoding='utf-8').strip()}"}
                if self.token_file
                else {}
            )
            answer = session.post(
                f"{self.url.rstrip('/')}/api/v1/query",
                data={"query": expression} | ({"time": repr(at)} if at else {}),
                headers=headers,
                timeout=_TIMEOUT,
            )
            answer.raise_for_status()
            found = answer.json()
        if not isinstance(found, dict) or found.get("status") != "success":
            raise ValueError(f"it answers {str(found)[:200]}")
        return list(found["data"]["result"])


def to_reading(result: Sequence[Mapping[str, Any]], at: float) -> Reading:
    """Returns what an instant query found, by version and process.

    Raises:
        ValueError: a series has no version, or isn't of a model server's form.
    """
    samples: dict[int, dict[Process, dict[str, list[tuple[Mapping[str, str], float]]]]] = {}
    try:
        for series in result:
            labels = series["metric"]
            process = frozenset((key, value) for key, value in labels.items() if key not in metrics.SERIES_LABELS)
            by_name = samples.setdefault(int(labels["version"]), {}).setdefault(process, {})
            by_name.setdefault(labels["__name__"], []).append((labels, float(series["value"][1])))
        return {
            version: {process: metrics.to_counters(each, 0.0, at) for process, each in processes.items()}
            for version, processes in samples.items()
        }
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"a series isn't a model server's ({error!r})") from error


def window(
    before: Mapping[Process, Counters], after: Mapping[Process, Counters], version: int, start: float, end: float
) -> Window:
    """Returns what all processes of a version did between two readings.

    One that came or went meanwhile (the version is scaled) doesn't count; one that counted anew was down.
    """
    parts = [
        between(before[process], after[process], version=version, weight=0, start=start, end=end)
        for process in sorted(before.keys() & after.keys(), key=sorted)
    ]
    if not parts or not all(part.alive and _is_rising(part) for part in parts):
        return Window(start, end, version, alive=False)
    outputs = sorted({output for part in parts for output in part.scores})
    return Window(
        start,
        end,
        version,
        requests=sum(part.requests for part in parts),
        errors=sum(part.errors for part in parts),
        latency=_sum([part.latency for part in parts]),
        scores={output: _sum([part.scores.get(output, {}) for part in parts]) for output in outputs},
    )


def _is_rising(part: Window) -> bool:
    histograms = (part.latency, *part.scores.values())
    return part.errors >= 0 and all(count >= 0 for each in histograms for count in each.values())


def _sum(histograms: Sequence[Histogram]) -> dict[float, int]:
    bounds = sorted({bound for each in histograms for bound in each})
    return {bound: sum(each.get(bound, 0) for each in histograms) for bound in bounds}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
