"""TFRecord files of tf.Example as Arrow, without TensorFlow."""

import gzip
import io
import itertools
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec
import google_crc32c
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf import message

from extract import tf_example
from extract.files import SourceFile
from extract.names import refuse_clashes
from stepkit.errors import StepError

# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

_BATCH_ROWS = 4096
_BUFFER_BYTES = 1 << 20
_STORED = pa.ipc.IpcWriteOptions(compression="lz4")
_ROWS = "rows of the batch"
_GZIP = b"\x1f\x8b"
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_ARROW = {"bytes_list": pa.binary(), "int64_list": pa.int64(), "float_list": pa.float64()}
_NAMES = {"bytes_list": "bytes", "int64_list": "int64", "float_list": "float"}


@dataclass
class _Feature:
    kind: str
    origin: str
    text: bool = True
    several: bool = False

    def arrow_type(self) -> pa.DataType:
        flat = pa.string() if self.kind == "bytes_list" and self.text else _ARROW[self.kind]
        return pa.list_(flat) if self.several else flat

    def learn(self, column: pa.ListArray) -> None:
        """Takes a batch's values into account."""
        self.several = self.several or pc.max(pc.list_value_length(column)).as_py() > 1
        if self.kind == "bytes_list" and self.text:
            try:
                column.flatten().cast(pa.string())
            except pa.ArrowInvalid:
                self.text = False


def reader(files: Sequence[SourceFile], advance: Callable[[int], None]) -> pa.RecordBatchReader:
    """Opens TFRecord files of tf.Example, plain or gzip, having decoded them into a temporary file.

    Bytes that are UTF-8 throughout become text. A feature that some example lacks, or has empty, is null there; one
    that has several values somewhere is a list, for a query to take apart. Which it is shows only at the end, so the
    temporary file has lists of bytes and numbers.

    Args:
        advance: called with the number of records read.

    Raises:
        StepError: a record is corrupt or no tf.Example, or a feature changes its type.
        OSError: the temporary file can't be written.
    """
    parse = tf_example.parser()
    features: dict[str, _Feature] = {}
    stored = tempfile.TemporaryFile(prefix="extract-")  # noqa: SIM115  # pylint: disable=consider-using-with
    for file in files:
        rows = 0
        for batch in _decoded(file.path, parse, features):
            # Later batches may have other columns, so each is a stream of its own.
            with pa.ipc.new_stream(stored, batch.schema, options=_STORED) as writer:
                writer.write_batch(batch)
            rows += batch.num_rows
            advance(batch.num_rows)
        if not rows:
            raise StepError(f"{file.path!r} has no records. Remove it, or write it again.")
    if not features:
        raise StepError(f"{files[0].path!r} has no features in its examples. Write it again.")
    refuse_clashes(sorted(features), repr(files[0].path) + " and the files after it have features, and")
    schema = pa.schema([(name, features[name].arrow_type()) for name in sorted(features)])
    return pa.RecordBatchReader.from_batches(schema, _typed(stored, schema))


def records(path: str) -> Iterator[bytes]:
    """Yields the records of a TFRecord file, checking both checksums of each.

    Raises:
        StepError: the file is corrupt or truncated; names the record, counted from 1.
    """
    number = 1
    try:
        with fsspec.open(path, "rb") as stored:
            head = stored.read(_HEADER.size)
            stored.seek(0)
            zipped = head[:2] == _GZIP and not _header_fits(head)
            # fsspec answers each small read in Python.
            buffered = io.BufferedReader(stored, _BUFFER_BYTES)
            stream: gzip.GzipFile | io.BufferedReader = gzip.GzipFile(fileobj=buffered) if zipped else buffered
            while header := stream.read(_HEADER.size):
                if not _header_fits(header):
                    raise _corrupt(path, number, "its length doesn't match its checksum")
                (length, _) = _HEADER.unpack(header)
                data = stream.read(length)
                footer = stream.read(_FOOTER.size)
                if len(data) < length or len(footer) < _FOOTER.size:
                    raise _corrupt(path, number, "the file ends within it")
                if _FOOTER.unpack(footer)[0] != _masked_crc(data):
                    raise _corrupt(path, number, "its bytes don't match their checksum")
                yield data
                number += 1
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _corrupt(path, number, f"gzip: {error}") from error


def _header_fits(header: bytes) -> bool:
    return len(header) == _HEADER.size and _HEADER.unpack(header)[1] == _masked_crc(header[:8])


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _corrupt(path: str, number: int, why: str) -> StepError:
    return StepError(f"{path!r}, record {number}: {why}. The file is no TFRecord file or is damaged: write it again.")


def _decoded(path: str, parse: Callable[[bytes], Any], features: dict[str, _Feature]) -> Iterator[pa.RecordBatch]:
    """Yields a file's examples as columns of lists; adds to `features` what they show."""
    numbered = enumerate(records(path), start=1)
    while chunk := list(itertools.islice(numbered, _BATCH_ROWS)):
        columns: dict[str, list[list[Any] | None]] = {}
        for row, (number, record) in enumerate(chunk):
            try:
                example = parse(record)
            except message.DecodeError as error:
                raise StepError(
                    f"{path!r}, record {number}: not a tf.Example ({error}). Give files of tf.Example."
                ) from error
            example.DiscardUnknownFields()
            # What isn't as long as it was may have had more in it; or it was only packed otherwise.
            if example.ByteSize() != len(record) and (left := tf_example.what_is_left(record)):
                raise StepError(f"{path!r}, record {number}: {left}. Give files of tf.Example.")
            for name, value in sorted(example.features.feature.items()):
                kind = value.WhichOneof("kind")
                items = getattr(value, kind).value[:] if kind else None
                if not items:
                    continue
                known = features.get(name)
                if known is None:
                    features[name] = _Feature(kind, f"{path!r}, record {number}")
                elif known.kind != kind:
                    raise StepError(
                        f"Feature {name!r} changes its type: {_NAMES[known.kind]} in {known.origin}, {_NAMES[kind]} "
                        f"in {path!r}, record {number}. Write it as one type."
                    )
                column = columns.setdefault(name, [])
                if len(column) < row:
                    column.extend([None] * (row - len(column)))
                column.append(items)
        arrays = {}
        for name, column in columns.items():
            column.extend([None] * (len(chunk) - len(column)))
            arrays[name] = pa.array(column, pa.list_(_ARROW[features[name].kind]))
            features[name].learn(arrays[name])
        # A column of its own keeps count of the rows where no example has a feature.
        yield pa.RecordBatch.from_pydict({**arrays, _ROWS: pa.nulls(len(chunk))})


def _typed(stored: BinaryIO, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yields what was stored, with the columns and types of `schema`."""
    stored.seek(0)
    while True:
        try:
            stream = pa.ipc.open_stream(stored)
        except pa.ArrowInvalid:  # the end
            return
        for batch in stream:
            yield pa.RecordBatch.from_arrays([_flat(batch, field) for field in schema], schema=schema)


def _flat(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    if field.name not in batch.schema.names:
        return pa.nulls(batch.num_rows, field.type)
    column = batch.column(field.name)
    return (column if pa.types.is_list(field.type) else pc.list_element(column, 0)).cast(field.type)
