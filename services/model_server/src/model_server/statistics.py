"""What the statistics say that were pushed with a model: typical values of its columns, and the range of its label."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepkit import served
from stepkit.raw_columns import BYTES, FLOAT, Column

_LENGTH_BYTES, _CHECKSUM_BYTES = 8, 4
_DIGITS = 6

# Raw column to its `FeatureNameStatistics`.
Statistics = Mapping[str, Any]


def read(model: Path) -> Statistics:
    """Returns a version's statistics; none if there are none, or they can't be read: nothing depends on them."""
    from google.protobuf.message import DecodeError
    from tensorflow_metadata.proto.v0 import statistics_pb2

    path = model / served.STATISTICS
    if not path.is_file():
        return {}
    try:
        found = statistics_pb2.DatasetFeatureStatisticsList.FromString(_first_record(path.read_bytes()))
    except DecodeError:
        return {}
    return {
        feature.name or ".".join(feature.path.step): feature
        for dataset in list(found.datasets)[:1]
        for feature in dataset.features
    }


def label_range(statistics: Statistics, label: str) -> tuple[float, float] | None:
    """Returns the lowest and the highest value of the raw column that is called like the label; None if unknown."""
    if label not in statistics or not statistics[label].HasField("num_stats"):
        return None
    numbers = statistics[label].num_stats
    return (numbers.min, numbers.max) if numbers.min < numbers.max else None


def example(statistics: Statistics, columns: Sequence[Column]) -> dict[str, Any]:
    """Returns a row that the model answers: the median, or the most frequent text, of each column."""
    return {column.name: _typical(statistics.get(column.name), column) for column in columns}


def _typical(feature: Any, column: Column) -> Any:
    value: Any = {BYTES: "", FLOAT: 0.0}.get(column.kind, 0)
    if feature is not None:
        if column.kind == BYTES and feature.string_stats.top_values:
            value = feature.string_stats.top_values[0].value
        elif column.kind == FLOAT:
            value = float(f"{feature.num_stats.median:.{_DIGITS}g}")
        elif column.kind != BYTES:
            value = int(feature.num_stats.median)
    if column.is_single:
        return value
    size = 1
    for each in column.shape:
        size *= each or 1
    return [value] * size


def _first_record(content: bytes) -> bytes:
    """Returns a TFRecord file's first record: its length, a checksum of it, the record, a checksum of that."""
    start = _LENGTH_BYTES + _CHECKSUM_BYTES
    return content[start : start + int.from_bytes(content[:_LENGTH_BYTES], "little")]
