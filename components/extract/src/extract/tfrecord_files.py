"""TFRecord files of tf.Example as Arrow, without TensorFlow."""

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec
import google_crc32c
import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from extract.files import SourceFile
from stepkit.errors import StepError

_BATCH_ROWS = 4096
_GZIP = b"\x1f\x8b"
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_ARROW = {"bytes_list": pa.binary(), "int64_list": pa.int64(), "float_list": pa.float64()}
_NAMES = {"bytes_list": "bytes", "int64_list": "int64", "float_list": "float"}


@dataclass
class _Feature:
    kind: str
    file: str
    text: bool = True
    several: bool = False

    def arrow_type(self) -> pa.DataType:
        flat = pa.string() if self.kind == "bytes_list" and self.text else _ARROW[self.kind]
        return pa.list_(flat) if self.several else flat


def reader(files: Sequence[SourceFile], advance: Callable[[int], None]) -> pa.RecordBatchReader:
    """Opens TFRecord files of tf.Example, plain or gzip, having read them once to know the columns.

    Bytes that are UTF-8 throughout become text. A feature that some example lacks, or has empty, is null there; one
    that has several values somewhere is a list, for a query to take apart.

    Args:
        advance: called with the number of records read.

    Raises:
        StepError: a record is corrupt or no tf.Example, or a feature changes its type.
    """
    parse = _example_parser()
    features: dict[str, _Feature] = {}
    for file in files:
        before = 0
        for number, values in _examples(file.path, parse):
            for name, (kind, items) in values.items():
                _learn(features, name, kind, items, file.path, number)
            before = number
        if not before:
            raise StepError(f"{file.path!r} has no records. Remove it, or write it again.")
        advance(before)
    if not features:
        raise StepError(f"{files[0].path!r} has no features in its examples. Write it again.")
    schema = pa.schema([(name, features[name].arrow_type()) for name in sorted(features)])
    return pa.RecordBatchReader.from_batches(schema, _batches(files, parse, schema))


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
            stream: BinaryIO = gzip.GzipFile(fileobj=stored) if zipped else stored
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


def _examples(path: str, parse: Callable[[bytes], Any]) -> Iterator[tuple[int, dict[str, tuple[str, Any]]]]:
    for number, record in enumerate(records(path), start=1):
        try:
            example = parse(record)
        except message.DecodeError as error:
            raise StepError(
                f"{path!r}, record {number}: not a tf.Example ({error}). Give files of tf.Example."
            ) from error
        values = {}
        for name, feature in example.features.feature.items():
            kind = feature.WhichOneof("kind")
            if kind and (items := getattr(feature, kind).value):
                values[name] = (kind, items)
        yield number, values


def _learn(features: dict[str, _Feature], name: str, kind: str, items: Sequence[Any], path: str, number: int) -> None:
    feature = features.setdefault(name, _Feature(kind, f"{path!r}, record {number}"))
    if feature.kind != kind:
        raise StepError(
            f"Feature {name!r} changes its type: {_NAMES[feature.kind]} in {feature.file}, {_NAMES[kind]} in {path!r}, "
            f"record {number}. Write it as one type."
        )
    feature.several = feature.several or len(items) > 1
    if kind == "bytes_list" and feature.text:
        try:
            for item in items:
                item.decode()
        except UnicodeDecodeError:
            feature.text = False


def _batches(files: Sequence[SourceFile], parse: Callable[[bytes], Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    several = {field.name: pa.types.is_list(field.type) for field in schema}
    rows: dict[str, list[Any]] = {name: [] for name in several}
    held = 0
    for file in files:
        for _, values in _examples(file.path, parse):
            for name, column in rows.items():
                items = values.get(name)
                column.append(None if items is None else list(items[1]) if several[name] else items[1][0])
            held += 1
            if held == _BATCH_ROWS:
                yield _batch(rows, schema)
                rows, held = {name: [] for name in several}, 0
    if held:
        yield _batch(rows, schema)


def _batch(rows: dict[str, list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(rows[field.name], field.type) for field in schema], schema=schema)


def _example_parser() -> Callable[[bytes], Any]:
    """Builds tf.Example's message class; its wire format is part of TensorFlow's compatibility guarantee."""
    # pylint: disable=no-member  # protobuf makes its classes when it is imported
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="extract/example.proto", package="extract", syntax="proto3")

    def add(name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        built = file.message_type.add(name=name)
        for field, number, kind, label, type_name in fields:
            built.field.add(name=field, number=number, type=kind, label=label, type_name=type_name or None)
        return built

    once, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    add("BytesList", ("value", 1, kinds.TYPE_BYTES, many, ""))
    add("FloatList", ("value", 1, kinds.TYPE_FLOAT, many, ""))
    add("Int64List", ("value", 1, kinds.TYPE_INT64, many, ""))
    feature = add(
        "Feature",
        ("bytes_list", 1, kinds.TYPE_MESSAGE, once, ".extract.BytesList"),
        ("float_list", 2, kinds.TYPE_MESSAGE, once, ".extract.FloatList"),
        ("int64_list", 3, kinds.TYPE_MESSAGE, once, ".extract.Int64List"),
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = add("Features", ("feature", 1, kinds.TYPE_MESSAGE, many, ".extract.Features.FeatureEntry"))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=once)
    entry.field.add(name="value", number=2, type=kinds.TYPE_MESSAGE, label=once, type_name=".extract.Feature")
    add("Example", ("features", 1, kinds.TYPE_MESSAGE, once, ".extract.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("extract.Example")).FromString
