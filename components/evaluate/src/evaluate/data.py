"""Reading a split: raw rows as serialized tf.Examples, and the columns that are sliced by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from tfx_bsl.coders import example_coder

from stepkit import examples
from stepkit.errors import StepError, near_misses

# Rows that are encoded and predicted at a time: enough that the cost of a call doesn't count.
BATCH_ROWS = 16384


@dataclass(frozen=True)
class Batch:
    """Rows of a split.

    Attributes:
        serialized: one serialized tf.Example a row.
        columns: slicing column to its values as stored, one a row.
    """

    serialized: list[bytes]
    columns: dict[str, pa.Array]


def count_rows(folder: Path, split: str) -> int:
    """Returns the rows of `split`.

    Raises:
        StepError: there is no such split, or it is empty.
    """
    examples.split_files(folder, split)
    rows = examples.read_manifest(folder)["splits"][split]["rows"]
    if not rows:
        raise StepError(
            f"Split {split!r} of {str(folder)!r} has no rows: there is nothing to evaluate on. "
            "Give extract's splits a larger share or choose another --eval-split."
        )
    return rows


def check_slice_columns(folder: Path, slices: Sequence[tuple[str, ...]]) -> None:
    """Raises StepError if the data lacks a column of `slices`."""
    known = [column["name"] for column in examples.read_manifest(folder)["columns"]]
    for name in dict.fromkeys(name for names in slices for name in names):
        if name not in known:
            raise StepError(
                f"--slices names the column {name!r}, which the data doesn't have. {near_misses(name, known)}"
            )


def read_parts(parts: Sequence[Path], types: dict[str, str], slice_columns: Sequence[str]) -> Iterator[Batch]:
    """Streams files of a split.

    Raises:
        StepError: a column is missing or doesn't fit its type, or a file can't be read; names file and column.
    """
    encoder = example_coder.RecordBatchToExamplesEncoder()
    for batch in examples.read_batches(parts, types, BATCH_ROWS, keep=slice_columns):
        columns = {name: batch.column(f"raw:{name}") for name in slice_columns}
        yield Batch(encoder.encode(batch.select(list(types))), columns)
