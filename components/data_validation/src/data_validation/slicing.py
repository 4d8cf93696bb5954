"""Slices of a record batch by the values of features: one sort and one gather a slicing, no mask a slice."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tfx_bsl.arrow import table_util

from stepkit.errors import StepError

MOST_SLICES = 500


def slices(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yields the rows of each combination of values that occurs, under TFDV's name for it.

    Rows where a value is missing are in no slice.

    Args:
        batch: `list` columns with at most one value a row.
        names: features to cross.

    Raises:
        StepError: a value isn't UTF-8, or there are more than MOST_SLICES combinations.
    """
    ordered = sorted(set(names))
    columns = [batch.column(batch.schema.get_field_index(name)) for name in ordered]
    rows = np.flatnonzero(np.logical_and.reduce([pc.is_valid(column).to_numpy(False) for column in columns]))
    codes = np.zeros(len(rows), np.int64)
    flat = [column.take(pa.array(rows)).flatten() for column in columns]
    for values in flat:
        encoded = values.dictionary_encode()
        # Numbered anew after each feature, so that the product of many can't overflow.
        distinct, codes = np.unique(codes * len(encoded.dictionary) + encoded.indices.to_numpy(), return_inverse=True)
        check(len(distinct))
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    grouped = table_util.RecordBatchTake(batch, pa.array(rows[order]))
    heads = pa.array(order[starts])
    texts = [[_text(value) for value in values.take(heads).to_pylist()] for values in flat]
    for index, (start, end) in enumerate(itertools.pairwise([*starts, len(order)])):
        name = "_".join(f"{feature}_{text[index]}" for feature, text in zip(ordered, texts, strict=True))
        yield name, grouped.slice(start, end - start)


def check(count: int) -> None:
    """Raises: StepError: there are more slices than a report is good for."""
    if count > MOST_SLICES:
        raise StepError(
            f"--slices gives more than {MOST_SLICES} slices. "
            "Slice by features with fewer values, or cross fewer of them."
        )


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise StepError(
            f"Can't slice by the value {value!r}, which isn't UTF-8. "
            "Slice by features with UTF-8 text or whole numbers."
        ) from error
