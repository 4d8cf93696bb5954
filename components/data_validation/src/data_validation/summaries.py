"""What the report shows of a feature, taken out of TFDV's statistics."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tensorflow_metadata.proto.v0 import statistics_pb2

_STANDARD = statistics_pb2.Histogram.STANDARD


@dataclass(frozen=True)
class Numbers:
    """A numeric feature: values as TFDV has them; `nan` is the count of NaN values.

    Attributes:
        edges: of the histogram's buckets, one more than `shares`; both empty if there are no finite values.
        shares: of the values that are in each bucket, 0 to 1.
    """

    mean: float
    deviation: float
    zeros: int
    nan: int
    least: float
    median: float
    most: float
    edges: Sequence[float]
    shares: Sequence[float]


@dataclass(frozen=True)
class Words:
    """A categorical feature.

    Attributes:
        unique: distinct values.
        top: the most frequent values with their share of all values, most frequent first.
        ranked: shares of up to 1,000 values by value.
    """

    unique: int
    top: Sequence[tuple[str, float]]
    ranked: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """A feature of a dataset; `values` is None for opaque bytes and where nothing is known but counts."""

    name: str
    kind: str
    count: int
    missing: int
    values: Numbers | Words | None


def of_dataset(statistics: statistics_pb2.DatasetFeatureStatistics) -> dict[str, Summary]:
    """Returns a summary a feature, by name, in the order of the columns."""
    return {feature.path.step[0]: _summary(feature) for feature in statistics.features if len(feature.path.step) == 1}


def _summary(feature: statistics_pb2.FeatureNameStatistics) -> Summary:
    name, kind = feature.path.step[0], statistics_pb2.FeatureNameStatistics.Type.Name(feature.type)
    which = feature.WhichOneof("stats")
    if which is None:
        return Summary(name, kind, 0, 0, None)
    stats = getattr(feature, which)
    common = stats.common_stats
    values: Numbers | Words | None = None
    if which == "num_stats" and common.num_non_missing:
        values = _numbers(stats)
    elif which == "string_stats" and common.num_non_missing:
        values = _words(stats, common.tot_num_values)
    return Summary(name, kind, common.num_non_missing, common.num_missing, values)


def _numbers(stats: statistics_pb2.NumericStatistics) -> Numbers:
    standard = next((histogram for histogram in stats.histograms if histogram.type == _STANDARD), None)
    buckets = [
        bucket
        for bucket in (standard.buckets if standard else ())
        if math.isfinite(bucket.low_value) and math.isfinite(bucket.high_value)
    ]
    total = sum(bucket.sample_count for bucket in buckets) or 1.0
    return Numbers(
        stats.mean,
        stats.std_dev,
        stats.num_zeros,
        standard.num_nan if standard else 0,
        stats.min,
        stats.median,
        stats.max,
        [bucket.low_value for bucket in buckets] + [bucket.high_value for bucket in buckets[-1:]],
        [bucket.sample_count / total for bucket in buckets],
    )


def _words(stats: statistics_pb2.StringStatistics, total: int) -> Words:
    top = [(value.value, value.frequency / total) for value in stats.top_values]
    ranked = {bucket.label: bucket.sample_count / total for bucket in stats.rank_histogram.buckets}
    return Words(stats.unique, top, ranked)
