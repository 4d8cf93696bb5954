"""tf.Example without TensorFlow: its message class, and what a record has that the class leaves out."""

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FEATURE_KINDS = {1: "bytes", 2: "float", 3: "int64"}


def parser() -> Callable[[bytes], Any]:
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


def what_is_left(record: bytes) -> str:
    """Returns what of a record tf.Example's message class doesn't have, as words for people; '' if nothing.

    Walks protobuf's wire format, so the record must be one that the class parses.
    """
    for number, features in _fields(record):
        if number == 2:
            return "a tf.SequenceExample, whose feature lists would be lost"
        if number != 1:
            return f"it has the field {abs(number)}, which tf.Example doesn't"
        names: set[bytes] = set()
        for inner, entry in _fields(features):
            if inner != 1:
                return f"its features have the field {abs(inner)}, which tf.Example's don't"
            if left := _left_of_entry(entry, names):
                return left
    return ""


def _left_of_entry(entry: bytes, names: set[bytes]) -> str:
    fields = list(_fields(entry))
    name = next((value for number, value in fields if number == 1), b"")
    shown = repr(name.decode("utf-8", "replace"))
    if name in names:
        return f"it has the feature {shown} twice"
    names.add(name)
    values = [value for number, value in fields if number == 2]
    numbers = [number for number, _ in fields]
    if len(set(numbers)) < len(numbers) or not {1, 2}.issuperset(numbers):
        return f"the feature {shown} has fields that a feature doesn't"
    kinds = [(number, value) for feature in values for number, value in _fields(feature)]
    if any(number not in _FEATURE_KINDS for number, _ in kinds):
        return f"the feature {shown} has a kind that is none of bytes, float and int64"
    if len({number for number, _ in kinds}) > 1:
        return f"the feature {shown} has values of several kinds"
    if any(abs(number) != 1 for _, items in kinds for number, _ in _fields(items)):
        return f"the feature {shown} has fields besides its values"
    return ""


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields a message's fields: number, negative unless it has a length, and the bytes of such a one."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        size, kind = 0, key & 7
        if kind == _VARINT:
            size, at = 0, _varint(data, at)[1]
        elif kind == _LENGTH:
            size, at = _varint(data, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind, 0)
        yield (key >> 3) * (1 if kind == _LENGTH else -1), data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
