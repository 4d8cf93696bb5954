"""What Cloud Monitoring counted of an endpoint's deployed models, as windows of `rollout.observations`.

Metrics: https://cloud.google.com/monitoring/api/metrics_gcp_a_b, of `aiplatform.googleapis.com/Endpoint`. They are
sampled every minute, and seen some minutes later. Protocol:
https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.timeSeries/list.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from deploy.vertex.client import Client
from rollout.observations import Window

RESPONSES = "aiplatform.googleapis.com/prediction/online/response_count"
LATENCIES = "aiplatform.googleapis.com/prediction/online/prediction_latencies"

SAMPLE = 60  # seconds
# Until a sample is surely seen: what the list of metrics says of those that it says it of.
VISIBLE = 360
_MILLISECONDS = 1000.0
_MODEL = "deployed_model_id"

Series = Mapping[str, Any]


def observe(client: Client, endpoint: str, versions: Sequence[int], start: float, end: float) -> list[Window]:
    """Returns what versions did from `start` to `end`, in seconds since the epoch.

    If there are no counts of any it can't be told from what isn't seen yet: the windows are no evidence then.

    Args:
        endpoint: its id.
        versions: whose deployed models have their numbers as ids.

    Raises:
        StepError: it can't be read.
    """
    counted = client.again("reading counts", lambda: _list(client, endpoint, RESPONSES, "response_code", start, end))
    took = client.again("reading times", lambda: _list(client, endpoint, LATENCIES, "latency_type", start, end))
    return [window(version, counted, took, start, end) for version in versions]


def window(version: int, counted: Sequence[Series], took: Sequence[Series], start: float, end: float) -> Window:
    """Makes a window of time series: of response codes, and of times in milliseconds."""
    own = [each for each in counted if each["metric"]["labels"][_MODEL] == str(version)]
    requests, errors = sum(map(_count, own)), sum(_count(each) for each in own if _is_error(each))
    latency: dict[float, int] = {}
    for each in took:
        labels = each["metric"]["labels"]
        if labels[_MODEL] == str(version) and labels.get("latency_type", "total") == "total":
            for point in each["points"]:
                for bound, count in histogram(point["value"]["distributionValue"]).items():
                    latency[bound] = latency.get(bound, 0) + count
    return Window(start, end, version, alive=bool(counted), requests=requests, errors=errors, latency=latency)


def histogram(distribution: Mapping[str, Any]) -> dict[float, int]:
    """Returns a distribution in milliseconds as a cumulative histogram: upper bound in seconds to count.

    Form: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/TypedValue#Distribution. The first bucket is what is
    below the first bound, the last, of which there is one more than bounds, what isn't below any.
    """
    bounds = [each / _MILLISECONDS for each in _bounds(distribution.get("bucketOptions", {}))]
    counts = [int(each) for each in distribution.get("bucketCounts", ())]
    counts += [0] * (len(bounds) + 1 - len(counts))  # zeros at the end may be left out
    found, total = {}, 0
    for bound, count in zip([*bounds, math.inf], counts, strict=True):
        total += count
        found[bound] = total
    return found


def _bounds(options: Mapping[str, Any]) -> list[float]:
    if exponential := options.get("exponentialBuckets"):
        growth, scale = float(exponential["growthFactor"]), float(exponential["scale"])
        return [scale * growth**power for power in range(int(exponential["numFiniteBuckets"]) + 1)]
    if linear := options.get("linearBuckets"):
        offset, width = float(linear.get("offset", 0)), float(linear["width"])
        return [offset + width * number for number in range(int(linear["numFiniteBuckets"]) + 1)]
    return [float(each) for each in options.get("explicitBuckets", {}).get("bounds", ())]


def _list(client: Client, endpoint: str, metric: str, label: str, start: float, end: float) -> list[Series]:
    """Returns the series of a metric, of each deployed model and value of a label, with one point for all the time."""
    wanted = {
        "filter": f'metric.type="{metric}" AND resource.type="aiplatform.googleapis.com/Endpoint" '
        f'AND resource.labels.endpoint_id="{endpoint}"',
        "interval.startTime": _time(start),
        "interval.endTime": _time(end),
        "aggregation.alignmentPeriod": f"{round(end - start)}s",
        "aggregation.perSeriesAligner": "ALIGN_DELTA",
        "aggregation.crossSeriesReducer": "REDUCE_SUM",
        "aggregation.groupByFields": [f"metric.labels.{_MODEL}", f"metric.labels.{label}"],
    }
    found: list[Series] = []
    page = ""
    base = f"{client.place.monitoring}/v3"
    while True:
        query = wanted | ({"pageToken": page} if page else {})
        answer = client.call("GET", f"projects/{client.place.project}/timeSeries", query=query, base=base)
        found += answer.get("timeSeries", ())
        page = answer.get("nextPageToken", "")
        if not page:
            return found


def _count(series: Series) -> int:
    return sum(int(point["value"]["int64Value"]) for point in series["points"])


def _is_error(series: Series) -> bool:
    return str(series["metric"]["labels"].get("response_code", "")).startswith(("4", "5"))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
