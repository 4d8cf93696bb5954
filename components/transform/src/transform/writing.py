"""Writes transformed record batches as files. The same batches give the same bytes."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from stepkit.errors import StepError

GZIP_LEVEL = 2  # see the measurement in the README


def write_tfrecords(
    batches: Iterable[pa.RecordBatch], encode: Callable[[pa.RecordBatch], Iterable[bytes]], path: Path, compression: str
) -> None:
    """Writes one record a row.

    Args:
        encode: turns a batch into one serialized tf.Example a row.
        compression: `gzip` or `none`.

    Raises:
        StepError: the file can't be written, as when the disk is full.
    """
    kind, level = ("GZIP", GZIP_LEVEL) if compression == "gzip" else ("", None)
    options = tf.io.TFRecordOptions(kind, compression_level=level)
    with _reporting(path), tf.io.TFRecordWriter(str(path), options) as writer:
        for batch in batches:
            for record in encode(batch):
                writer.write(record)


def write_parquet(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, single: Collection[str], path: Path, compression: str
) -> None:
    """Writes a column a feature.

    Args:
        schema: of the batches: columns of lists.
        single: features that have one value in every row; they become plain columns.
        compression: `gzip` or `none`.

    Raises:
        StepError: the file can't be written, as when the disk is full.
    """
    fields = [pa.field(field.name, field.type.value_type) if field.name in single else field for field in schema]
    flat = pa.schema(fields)
    with _reporting(path), pq.ParquetWriter(path, flat, compression=compression) as writer:
        for batch in batches:
            columns = [
                column.flatten() if name in single else column
                for name, column in zip(schema.names, batch.columns, strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=flat))


@contextlib.contextmanager
def _reporting(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = error.message.rpartition("; ")[2] if isinstance(error, tf.errors.OpError) else error.strerror or error
        raise StepError(f"Can't write {str(path)!r}: {reason}. Nothing was kept; make room and run again.") from error
