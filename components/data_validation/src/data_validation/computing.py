"""Statistics by TFDV's own generators: partial ones of chunks of the data, merged, turned into protos.

Processes here (`workers`) and Beam's workers (`on_beam`) run the same functions. What a chunk is doesn't depend on who
computes it, so the result doesn't either.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_data_validation.statistics.stats_options import StatsOptions
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx_bsl.arrow import table_util

from data_validation import reading, slicing
from data_validation.topk import ExactTopK

# Slices are taken of that many rows at once: the generators' calls cost much the same for few rows as for many.
SLICED_ROWS = 1 << 18

# An accumulator of each generator, by slice; that of all rows under "". Picklable until `finish`.
Partial = dict[str, list[Any]]


@dataclass(frozen=True)
class Task:
    """What to compute of a split.

    Attributes:
        kinds: column name to the type that it is read as.
        slices: names of features to cross, of each slicing. TFDV names the slices `<feature>_<value>...`.
        schema: serialized; says which integers are categories and which text is opaque bytes. Empty: none.
    """

    kinds: Mapping[str, str]
    slices: Sequence[Sequence[str]] = ()
    schema: bytes = b""

    def generators(self) -> list[Any]:
        """Returns TFDV's default generators, but for exact counts."""
        schema = schema_pb2.Schema.FromString(self.schema) if self.schema else None
        plain = StatsOptions(schema=schema)
        (basic,) = [
            generator
            for generator in stats_impl.get_generators(plain, in_memory=True)
            if generator.name == "BasicStatsGenerator"
        ]
        return [basic, ExactTopK(plain)]


def accumulate(chunk: Sequence[reading.Part], task: Task) -> Partial:
    """Returns the partial statistics of a chunk, in one pass over it.

    Raises:
        StepError: it can't be read, there are too many slices, or a value to slice by isn't UTF-8.
    """
    generators = task.generators()
    result: Partial = {}
    batches = (batch for part in chunk for batch in reading.batches(part, task.kinds))
    for batch in _gathered(batches, SLICED_ROWS) if task.slices else batches:
        _add(generators, result, "", batch)
        for names in task.slices:
            for name, rows in slicing.slices(batch, names):
                _add(generators, result, name, rows)
        slicing.check(len(result) - 1)
    # A sketch that has not been compacted takes five times as much, here and on the way to who merges it.
    return {
        name: [generator.compact(one) for generator, one in zip(generators, accumulators, strict=True)]
        for name, accumulators in result.items()
    }


def merge(generators: Sequence[Any], into: Partial, other: Partial) -> Partial:
    """Adds `other`, of which nothing must be used afterwards, to `into`.

    Raises:
        StepError: there are too many slices.
    """
    for name, accumulators in other.items():
        into[name] = merge_one(generators, into[name], accumulators) if name in into else accumulators
    slicing.check(len(into) - 1)
    return into


def merge_one(generators: Sequence[Any], into: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    """Merges the accumulators of a slice."""
    return [
        generator.merge_accumulators([mine, theirs])
        for generator, mine, theirs in zip(generators, into, other, strict=True)
    ]


def finish(generators: Sequence[Any], accumulators: Sequence[Any]) -> statistics_pb2.DatasetFeatureStatistics:
    """Returns a slice's statistics. Its accumulators can't be used afterwards."""
    (result,) = stats_impl.extract_statistics_output(list(accumulators), list(generators)).datasets
    return result


def _add(generators: Sequence[Any], into: Partial, name: str, batch: pa.RecordBatch) -> None:
    accumulators = into.get(name) or [generator.create_accumulator() for generator in generators]
    into[name] = [
        generator.add_input(accumulator, batch) for generator, accumulator in zip(generators, accumulators, strict=True)
    ]


def _gathered(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(len(one) for one in waiting) >= rows:
            yield table_util.MergeRecordBatches(waiting)
            waiting = []
    if waiting:
        yield table_util.MergeRecordBatches(waiting)
