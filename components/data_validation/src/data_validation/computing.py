"""Statistics of batches: TFDV's own generators, driven in this process."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from tensorflow_data_validation import StatsOptions
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_data_validation.utils import slicing_util
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx_bsl.arrow import table_util

from data_validation.topk import ExactTopK
from stepkit.errors import StepError

# Rows that a slice's accumulator gathers before they go through the generators: each call costs much the same.
SLICE_ROWS = 4096
MOST_SLICES = 500


def options(schema: schema_pb2.Schema | None, slices: Sequence[Sequence[str]] = ()) -> StatsOptions:
    """Returns TFDV's options for what is computed, here or on Beam: its defaults, but for exact counts.

    Args:
        schema: says which integers are categories and which text is opaque bytes.
        slices: names of features to cross, of each slicing. TFDV names the slices `<feature>_<value>...`.
    """
    plain = StatsOptions(schema=schema)
    (basic,) = [
        generator
        for generator in stats_impl.get_generators(plain, in_memory=True)
        if generator.name == "BasicStatsGenerator"
    ]
    functions = [slicing_util.get_feature_value_slicer(dict.fromkeys(names)) for names in slices]
    return StatsOptions(
        schema=schema,
        generators=[basic, ExactTopK(plain)],
        add_default_generators=False,
        experimental_slice_functions=functions or None,
    )


@dataclass
class _Accumulation:
    parts: list[Any]
    waiting: list[pa.RecordBatch] = field(default_factory=list)
    waiting_rows: int = 0


def of_batches(
    batches: Iterable[pa.RecordBatch],
    schema: schema_pb2.Schema | None,
    slices: Sequence[Sequence[str]] = (),
    tell: Callable[[int], None] = lambda rows: None,
) -> dict[str, statistics_pb2.DatasetFeatureStatistics]:
    """Computes statistics in one pass.

    Args:
        batches: `list` columns, as from `reading.batches`.
        slices: names of features to cross, of each slicing.
        tell: called with the rows of each batch that is done.

    Returns:
        The statistics of all batches under `""`, those of slices under TFDV's name for them, in order of name.

    Raises:
        StepError: there are more than MOST_SLICES slices, or a value to slice by isn't UTF-8.
    """
    chosen = options(schema, slices)
    combiners = stats_impl.get_generators(chosen, in_memory=True)
    whole = _start(combiners)
    sliced: dict[str, _Accumulation] = {}
    for batch in batches:
        _add(combiners, whole, batch, gather=0)
        for name, rows in _slices_of(batch, chosen.experimental_slice_functions):
            if name not in sliced:
                sliced[name] = _start(combiners)
                check_slices(len(sliced))
            _add(combiners, sliced[name], rows, gather=SLICE_ROWS)
        tell(batch.num_rows)
    return {name: _finish(combiners, of) for name, of in [("", whole), *sorted(sliced.items())]}


def check_slices(count: int) -> None:
    """Raises: StepError: there are more slices than a report is good for."""
    if count > MOST_SLICES:
        raise StepError(
            f"--slices gives more than {MOST_SLICES} slices. "
            "Slice by features with fewer values, or cross fewer of them."
        )


def _slices_of(batch: pa.RecordBatch, functions: Sequence[Any] | None) -> Iterable[tuple[str, pa.RecordBatch]]:
    if not functions:
        return
    try:
        yield from slicing_util.generate_slices(batch, functions)
    except ValueError as error:
        raise StepError(f"Can't slice: {error} Slice by features with UTF-8 text or whole numbers.") from error


def _start(combiners: Sequence[Any]) -> _Accumulation:
    return _Accumulation([combiner.create_accumulator() for combiner in combiners])


def _add(combiners: Sequence[Any], into: _Accumulation, batch: pa.RecordBatch, gather: int) -> None:
    into.waiting.append(batch)
    into.waiting_rows += batch.num_rows
    if into.waiting_rows >= gather:
        _flush(combiners, into)


def _flush(combiners: Sequence[Any], into: _Accumulation) -> None:
    rows = into.waiting[0] if len(into.waiting) == 1 else table_util.MergeRecordBatches(into.waiting)
    into.parts = [combiner.add_input(part, rows) for combiner, part in zip(combiners, into.parts, strict=True)]
    into.waiting, into.waiting_rows = [], 0


def _finish(combiners: Sequence[Any], of: _Accumulation) -> statistics_pb2.DatasetFeatureStatistics:
    if of.waiting:
        _flush(combiners, of)
    (result,) = stats_impl.extract_statistics_output(of.parts, combiners).datasets
    return result
