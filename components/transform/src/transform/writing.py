"""Writes transformed rows as files. The same batches give the same bytes."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from stepkit.errors import StepError
from stepkit.threads import Map
from transform import tf_example, tfrecord
from transform.applying import Transformation

GZIP_LEVEL = 2  # see the measurement in the README


def write_transformed(
    raw: Iterable[pa.RecordBatch],
    transformation: Transformation,
    path: Path,
    output_format: str,
    compression: str,
    mapped: Map = map,
    apply: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None,
) -> None:
    """Transforms a shard's raw batches and writes them.

    Args:
        apply: the transformation's, with something around it.
        output_format: `tfrecord` or `parquet`.
        compression: `gzip` or `none`.
        mapped: `map`, or something like it that works ahead.

    Raises:
        StepError: the graph fails on the rows, or the file can't be written, as when the disk is full.
    """
    apply = apply or transformation.apply
    if output_format == "parquet":
        batches = mapped(apply, raw)
        write_parquet(batches, transformation.schema, transformation.single, path, compression)
    else:
        encode = tf_example.encoder(transformation.schema, transformation.features)
        write_tfrecords(raw, lambda batch: encode(apply(batch)), path, compression, mapped)


def write_tfrecords(
    batches: Iterable[Any],
    encode: Callable[[Any], pa.LargeBinaryArray],
    path: Path,
    compression: str,
    mapped: Map = map,
) -> None:
    """Writes one record a row.

    Args:
        encode: turns a batch into one serialized tf.Example a row.
        compression: `gzip` or `none`.
        mapped: `map`, or something like it that works ahead.

    Raises:
        StepError: the file can't be written, as when the disk is full.
    """
    if compression == "none":
        with reporting(path), path.open("wb") as file:
            file.writelines(mapped(lambda batch: tfrecord.frame(encode(batch)), batches))
        return

    def compressed(batch: Any) -> tuple[pa.Buffer, bytes]:
        frames = tfrecord.frame(encode(batch))
        return frames, tfrecord.deflate(frames, GZIP_LEVEL)

    stream = tfrecord.GzipStream()
    with reporting(path), path.open("wb") as file:
        file.write(stream.header)
        for frames, deflated in mapped(compressed, batches):
            stream.add(frames)
            file.write(deflated)
        file.write(stream.trailer())


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
    with reporting(path), pq.ParquetWriter(path, flat, compression=compression) as writer:
        for batch in batches:
            columns = [
                column.flatten() if name in single else column
                for name, column in zip(schema.names, batch.columns, strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=flat))


@contextlib.contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turns what a full disk and the like raise into a StepError that names `path`."""
    try:
        yield
    except (OSError, tf.errors.ResourceExhaustedError) as error:
        reason = error.message.rpartition("; ")[2] if isinstance(error, tf.errors.OpError) else error.strerror or error
        raise StepError(f"Can't write {str(path)!r}: {reason}. Nothing was kept; make room and run again.") from error
