"""Exact most frequent values and number of distinct values, as a generator that TFDV runs beside its own.

TFDV's in-memory generator only has sketches: past 1,024 distinct values its counts are off, and depend on how rows
were batched. Counting exactly costs nothing at usual cardinalities; a feature that exceeds a cap goes on as the very
sketches that TFDV would use, fed with the counts so far.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from tensorflow_data_validation import constants
from tensorflow_data_validation.arrow import arrow_util
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_data_validation.statistics.generators import stats_generator
from tensorflow_data_validation.utils import schema_util, stats_util, top_k_uniques_stats_util
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx_bsl.arrow import array_util
from tfx_bsl.sketches import KmvSketch, MisraGriesSketch

# Distinct values, and bytes of them, that a feature (of a slice) may have before counting becomes approximate.
MOST_VALUES = 1 << 18
MOST_BYTES = 64 << 20

# Custom statistic of features whose top values, rank histogram and uniques are estimates.
ESTIMATED = "top_values_are_estimates"

# Unmerged counts that are let pile up: merging often costs time, seldom costs memory.
_PENDING = 1 << 16


@dataclass
class Counts:
    """Counts of one feature's values: `pending` holds (values, counts) that may repeat values; or sketches."""

    pending: list[tuple[pa.Array, pa.Array]] = field(default_factory=list)
    length: int = 0
    merged_length: int = 0
    sketches: tuple[Any, Any] | None = None

    def add(self, values: pa.Array, counts: pa.Array, most_values: int, most_bytes: int) -> None:
        """Adds distinct `values` and how often each occurs."""
        if len(values) == 0:
            return
        if self.sketches is not None:
            self._feed(values, counts)
            return
        self.pending.append((values, counts))
        self.length += len(values)
        if self.length > self.merged_length + max(self.merged_length, min(_PENDING, most_values)):
            values, counts = self.merged()
            if len(values) > most_values or values.nbytes > most_bytes:
                self.to_sketches()

    def merged(self) -> tuple[pa.Array, pa.Array]:
        """Returns all distinct values and their counts; they are exact. At least one must have been added."""
        if len(self.pending) > 1:
            rows = pa.table(
                {
                    "value": pa.chunked_array([values for values, _ in self.pending]),
                    "count": pa.chunked_array([counts for _, counts in self.pending]),
                }
            )
            sums = rows.group_by("value").aggregate([("count", "sum")]).combine_chunks()
            self.pending = [(sums["value"].chunk(0), sums["count_sum"].chunk(0))]
            self.length = self.merged_length = len(sums)
        return self.pending[0]

    def to_sketches(self) -> None:
        """Goes on approximately from here."""
        if self.sketches is None:
            self.sketches = (
                KmvSketch(stats_impl._DEFAULT_KMV_SKETCH_SIZE),  # pylint: disable=protected-access
                MisraGriesSketch(
                    num_buckets=stats_impl._DEFAULT_MG_SKETCH_SIZE,  # pylint: disable=protected-access
                    invalid_utf8_placeholder=constants.NON_UTF8_PLACEHOLDER,
                    large_string_threshold=1024,
                    large_string_placeholder=constants.LARGE_BYTES_PLACEHOLDER,
                ),
            )
            for values, counts in self.pending:
                self._feed(values, counts)
            self.pending, self.length, self.merged_length = [], 0, 0

    def _feed(self, values: pa.Array, counts: pa.Array) -> None:
        assert self.sketches is not None  # `to_sketches` was called
        distinct, frequent = self.sketches
        distinct.AddValues(values)
        frequent.AddValues(values, counts.cast(pa.float32()))

    def merge(self, other: "Counts", most_values: int, most_bytes: int) -> None:
        """Adds what another one has counted."""
        if other.sketches is not None:
            self.to_sketches()
            assert self.sketches is not None
            for mine, theirs in zip(self.sketches, other.sketches, strict=True):
                mine.Merge(theirs)
        for values, counts in other.pending:
            self.add(values, counts, most_values, most_bytes)


class ExactTopK(stats_generator.CombinerStatsGenerator):
    """Top values, rank histogram and uniques of text and categorical integers; exact up to a cap a feature."""

    def __init__(self, options: Any, most_values: int = MOST_VALUES, most_bytes: int = MOST_BYTES) -> None:
        """Args: options: tfdv.StatsOptions."""
        super().__init__("ExactTopK", options.schema)
        self._most = (most_values, most_bytes)
        self._limits = {
            "num_top_values": options.num_top_values,
            "num_rank_histogram_buckets": options.num_rank_histogram_buckets,
            "frequency_threshold": options.frequency_threshold,
        }
        schema = options.schema or schema_pb2.Schema()
        self._categorical = schema_util.get_categorical_numeric_feature_types(schema)
        self._bytes = frozenset(schema_util.get_bytes_features(schema))

    def create_accumulator(self) -> dict[Any, Counts]:
        return {}

    def add_input(self, accumulator: dict[Any, Counts], input_record_batch: pa.RecordBatch) -> dict[Any, Counts]:
        columns = arrow_util.enumerate_arrays(input_record_batch, example_weight_map=None, enumerate_leaves_only=True)
        for path, leaf, _ in columns:
            kind = stats_util.get_feature_type_from_arrow_type(path, leaf.type)
            if self._counts(path, kind):
                flat, _ = array_util.flatten_nested(leaf)
                found = flat.value_counts()
                accumulator.setdefault(path, Counts()).add(
                    found.field("values"), found.field("counts").cast(pa.int64()), *self._most
                )
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[dict[Any, Counts]]) -> dict[Any, Counts]:
        rest = iter(accumulators)
        result = next(rest)
        for accumulator in rest:
            for path, counts in accumulator.items():
                result.setdefault(path, Counts()).merge(counts, *self._most)
        return result

    def compact(self, accumulator: dict[Any, Counts]) -> dict[Any, Counts]:
        for counts in accumulator.values():
            if counts.pending:
                counts.merged()
        return accumulator

    def extract_output(self, accumulator: dict[Any, Counts]) -> statistics_pb2.DatasetFeatureStatistics:
        result = statistics_pb2.DatasetFeatureStatistics()
        for path, counts in accumulator.items():
            if counts.pending or counts.sketches:
                result.features.add().CopyFrom(self._statistics(path, counts))
        return result

    def _counts(self, path: Any, kind: int | None) -> bool:
        if kind == statistics_pb2.FeatureNameStatistics.STRING:
            return path not in self._bytes
        return top_k_uniques_stats_util.output_categorical_numeric(self._categorical, path, kind)

    def _statistics(self, path: Any, counts: Counts) -> statistics_pb2.FeatureNameStatistics:
        if counts.sketches is not None:
            distinct, frequent = counts.sketches
            unique = distinct.Estimate()
            found = [(pair["values"], int(pair["counts"])) for pair in frequent.Estimate().to_pylist()]
        else:
            values, numbers = counts.merged()
            unique = len(values)
            most = max(self._limits["num_top_values"], self._limits["num_rank_histogram_buckets"])
            if unique > most:
                # All values as frequent as the last one that is wanted: TFDV breaks ties by value.
                last = np.partition(numbers.to_numpy(), -most)[-most]
                wanted = pa.array(numbers.to_numpy() >= last)
                values, numbers = values.filter(wanted), numbers.filter(wanted)
            found = list(zip(values.to_pylist(), numbers.to_pylist(), strict=True))
        result = top_k_uniques_stats_util.make_feature_stats_proto_topk_uniques(
            feature_path=path,
            num_unique=unique,
            value_count_list=[top_k_uniques_stats_util.FeatureValueCount(*pair) for pair in found],
            **self._limits,
        )
        if counts.sketches is not None:
            result.custom_stats.add(name=ESTIMATED, num=1)
        return result


def estimated(statistics: statistics_pb2.DatasetFeatureStatistics) -> list[str]:
    """Returns the features that had too many distinct values for exact counts."""
    return [
        feature.path.step[0]
        for feature in statistics.features
        if any(custom.name == ESTIMATED for custom in feature.custom_stats)
    ]
