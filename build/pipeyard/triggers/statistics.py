"""Statistics artifacts of data_validation, read without TensorFlow, and how far two distributions are apart.

Format: a TFRecord of one DatasetFeatureStatisticsList (tensorflow_metadata/proto/v0/statistics.proto). Of its messages
only the fields that distances need are described here; protobuf passes over the others. tensorflow-metadata 1.16, which
has them generated, needs protobuf below 6, and kfp 2.17.0 one from 6.31.1: they can't be installed together.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import google_crc32c

from pipeyard.errors import PipeyardError

FILE = "stats.tfrecord"
_PACKAGE = "pipeyard.triggers.statistics"
# Message to its fields: name to number, type, and how many there are.
_FIELDS: dict[str, dict[str, tuple[int, str, str]]] = {
    "List": {"datasets": (1, "Dataset", "*")},
    "Dataset": {"name": (1, "string", ""), "num_examples": (2, "uint64", ""), "features": (3, "Feature", "*")},
    "Feature": {
        "name": (1, "string", ""),
        "path": (8, "Path", ""),
        "num_stats": (3, "Numbers", ""),
        "string_stats": (4, "Words", ""),
    },
    "Path": {"step": (1, "string", "*")},
    "Numbers": {"histograms": (8, "Histogram", "*")},
    "Histogram": {"num_nan": (1, "uint64", ""), "buckets": (3, "Bucket", "*"), "type": (4, "uint64", "")},
    "Bucket": {"low_value": (1, "double", ""), "high_value": (2, "double", ""), "sample_count": (4, "double", "")},
    "Words": {"rank_histogram": (5, "Ranks", "")},
    "Ranks": {"buckets": (1, "Rank", "*")},
    "Rank": {"label": (4, "string", ""), "sample_count": (5, "double", "")},
}
# Kinds of histograms, the better first: quantiles, then buckets of equal width. Where there are outliers nearly all
# values are in one of the latter, and spread over it as far as the outlier is away.
_KINDS = (1, 0)


@dataclass(frozen=True)
class Numbers:
    """A numeric feature's histogram.

    Attributes:
        buckets: least value, largest value, and how many values; of one value, both are alike.
        nan: values that are no number.
    """

    buckets: Sequence[tuple[float, float, float]]
    nan: float = 0.0


@dataclass(frozen=True)
class Words:
    """How often each value of a categorical feature occurs."""

    counts: Mapping[str, float]


Feature = Numbers | Words


@dataclass(frozen=True)
class Distance:
    """How far a feature's distributions are apart; `value` is from 0 to 1."""

    measure: str
    value: float


def parse(content: bytes, name: str) -> dict[str, dict[str, Feature]]:
    """Returns dataset (split) to feature to its distribution. Slices, and features without values, are left out.

    Args:
        content: of `stats.tfrecord`.
        name: where it is from, for messages.

    Raises:
        PipeyardError: it is damaged, or none.
    """
    from google.protobuf.message import DecodeError

    found = message("List")
    try:
        for each in _records(content):
            found.MergeFromString(each)
    except (ValueError, DecodeError) as error:
        raise PipeyardError(
            f"The statistics at {name} can't be read: {error}. Give the statistics artifact of data_validation."
        ) from error
    whole = [dataset for dataset in found.datasets if "/" not in dataset.name]
    if not whole:
        raise PipeyardError(f"The statistics at {name} are empty. Give the statistics artifact of data_validation.")
    return {dataset.name: dict(_features(dataset)) for dataset in whole}


def distance(one: Feature, other: Feature) -> Distance | None:
    """Returns how far two distributions of a feature are apart; None if they can't be compared.

    Of words it is the largest difference of a value's shares (L-infinity). Of numbers it is the largest difference of
    the shares of values up to a number (Kolmogorov-Smirnov), values being spread evenly within a bucket.
    """
    if isinstance(one, Words) and isinstance(other, Words):
        return Distance("L-infinity", _l_infinity(one.counts, other.counts))
    if isinstance(one, Numbers) and isinstance(other, Numbers):
        return Distance("Kolmogorov-Smirnov", _kolmogorov_smirnov(one, other))
    return None


def record(content: bytes) -> bytes:
    """Returns a TFRecord of one record."""
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


@cache
def _messages() -> Mapping[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        described = file.message_type.add(name=name)
        for field, (number, kind, many) in fields.items():
            label = kinds.LABEL_REPEATED if many else kinds.LABEL_OPTIONAL
            added = described.field.add(name=field, number=number, label=label)
            if kind in _FIELDS:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                added.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _FIELDS}


def message(name: str) -> Any:
    """Returns an empty message of this module's description."""
    return _messages()[name]()


def _features(dataset: Any) -> Iterator[tuple[str, Feature]]:
    for feature in dataset.features:
        steps = list(feature.path.step) or [feature.name]
        if len(steps) != 1:
            continue  # a part of a nested value
        if feature.HasField("num_stats"):
            numbers = _numbers({each.type: each for each in feature.num_stats.histograms})
            if numbers:
                yield steps[0], numbers
        elif feature.HasField("string_stats"):
            counts = {each.label: each.sample_count for each in feature.string_stats.rank_histogram.buckets}
            if sum(counts.values()) > 0:
                yield steps[0], Words(counts)


def _numbers(histograms: Mapping[int, Any]) -> Numbers | None:
    best = next((histograms[kind] for kind in _KINDS if kind in histograms and histograms[kind].buckets), None)
    if best is None:
        return None
    buckets = [(each.low_value, each.high_value, each.sample_count) for each in best.buckets]
    buckets = [each for each in buckets if math.isfinite(each[0]) and math.isfinite(each[1]) and each[2] > 0]
    nan = max(float(each.num_nan) for each in histograms.values())
    return Numbers(buckets, nan) if buckets or nan else None


def _l_infinity(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    all_of_one, all_of_other = sum(one.values()), sum(other.values())
    return max(abs(one.get(value, 0.0) / all_of_one - other.get(value, 0.0) / all_of_other) for value in {*one, *other})


def _kolmogorov_smirnov(one: Numbers, other: Numbers) -> float:
    edges = {edge for each in (one, other) for low, high, _ in each.buckets for edge in (low, high)}
    ends = [math.inf, *edges]  # at infinity all that is left is NaN
    return max(abs(_up_to(one, edge, with_it) - _up_to(other, edge, with_it)) for edge in ends for with_it in (0, 1))


def _up_to(numbers: Numbers, edge: float, with_it: int) -> float:
    """Returns the share of the values that are less than `edge`, or equal to it."""
    count = 0.0
    for low, high, size in numbers.buckets:
        if low == high:
            count += size if low < edge or (with_it and low == edge) else 0.0
        else:
            count += size * min(1.0, max(0.0, (edge - low) / (high - low)))
    return count / (sum(size for *_, size in numbers.buckets) + numbers.nan)


def _records(content: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(content):
        head, start = content[position : position + 8], position + 12
        if len(content) < start or content[position + 8 : start] != _checksum(head):
            raise ValueError("it is no TFRecord, or damaged")
        (length,) = struct.unpack("<Q", head)
        position = start + length + 4
        found = content[start : start + length]
        if len(content) < position or content[start + length : position] != _checksum(found):
            raise ValueError("it is damaged")
        yield found


def _checksum(content: bytes) -> bytes:
    """TFRecord's masked CRC-32C."""
    crc = google_crc32c.value(content)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
