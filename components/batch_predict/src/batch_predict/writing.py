"""Predictions as Parquet: a row group in memory at a time, the same bytes however rows come in batches."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from stepkit.errors import StepError

ROW_GROUP = 65_536  # rows, as in extract's files


class RowGroups:
    """Writes a Parquet file. Leaving it normally writes what is held."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._pending: list[pa.RecordBatch] = []
        self._rows = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        with reporting(self._path):
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._writer
        with reporting(self._path) if kind is None else contextlib.suppress(OSError):
            if kind is None and self._rows:
                self._write(self._rows)
            self._writer.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Appends rows.

        Raises:
            StepError: the file can't be written, as when the disk is full.
        """
        self._pending.append(batch)
        self._rows += batch.num_rows
        with reporting(self._path):
            while self._rows >= ROW_GROUP:
                self._write(ROW_GROUP)

    def _write(self, rows: int) -> None:
        assert self._writer
        pending = pa.Table.from_batches(self._pending, self._schema)
        # One chunk a column: page borders must not depend on the batches.
        self._writer.write_table(pending.slice(0, rows).combine_chunks(), row_group_size=rows)
        self._pending = pending.slice(rows).to_batches()
        self._rows -= rows


def write(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Writes a file.

    Raises:
        StepError: it can't be written, as when the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with RowGroups(path, schema) as file:
        for batch in batches:
            file.add(batch)


def joined(parts: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """Streams files of predictions, one after the other."""
    for part in parts:
        yield from pq.ParquetFile(part).iter_batches(batch_size=ROW_GROUP)


@contextlib.contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turns what a full disk and the like raise into a StepError that names `path`."""
    try:
        yield
    except OSError as error:
        raise StepError(
            f"Can't write {str(path)!r}: {error.strerror or error}. Nothing was kept; make room and run again."
        ) from error
