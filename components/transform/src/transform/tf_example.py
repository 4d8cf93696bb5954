"""Serializes record batches as tf.Examples, the same batch to the same bytes.

tfx_bsl's encoder leaves the order of features to protobuf's hash maps, which differs from run to run. Here they are
in the order of their names, and whole columns are encoded at once: features with one number in every row side by side
in one table of bytes, others piece by piece. The messages, of tensorflow/core/example:

    Example {1: Features {1: map entry {1: name, 2: Feature}}}
    Feature {1: BytesList {1: value}} or {2: FloatList {1: packed values}} or {3: Int64List {1: packed values}}
"""
# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders import example_coder

_FIRST, _SECOND, _THIRD = b"\x0a", b"\x12", b"\x1a"  # tags of length-delimited fields 1, 2 and 3
# Behind the name come at most 8 bytes of tags and lengths and a varint of 10; one byte of length holds up to 127.
_LONGEST_NARROW_NAME = 100


def encoder(arrow: pa.Schema, schema: schema_pb2.Schema) -> Callable[[pa.RecordBatch], pa.LargeBinaryArray]:
    """Returns a function from a record batch to one serialized tf.Example a row.

    Args:
        arrow: the batches' schema.
        schema: the same features as a schema proto; tells how deeper lists (ragged tensors) are laid out.
    """
    if not any(_is_list(field.type.value_type) for field in arrow):
        return encode
    nested = example_coder.RecordBatchToExamplesEncoder(schema)
    return lambda batch: pa.array(
        (tf.train.Example.FromString(row).SerializeToString(deterministic=True) for row in nested.encode(batch)),
        pa.large_binary(),
    )


def encode(batch: pa.RecordBatch) -> pa.LargeBinaryArray:
    """Encodes columns of `list<int64 | float | binary>`; a null list is a feature without values."""
    columns = sorted(zip(batch.schema.names, batch.columns, strict=True))
    record = _Pieces([], np.zeros(batch.num_rows, np.int64))
    for narrow, run in itertools.groupby(columns, lambda item: _is_narrow(*item)):
        for entry in _narrow_entries(itertools.starmap(_table, run)) if narrow else itertools.starmap(_entry, run):
            record = _Pieces(record.parts + entry.parts, record.lengths + entry.lengths)
    return record.wrapped(_FIRST).joined()


@dataclass(frozen=True)
class _Pieces:
    """Bytes of every row, still in pieces.

    Attributes:
        parts: binary arrays (one value a row) and scalars, to be joined row by row.
        lengths: number of bytes of each row's parts together.
    """

    parts: list[Any]
    lengths: np.ndarray

    def wrapped(self, tag: bytes, where: np.ndarray | None = None) -> "_Pieces":
        """Puts the tag and the length in front; rows that aren't in `where` become empty."""
        headers, sizes = _varints(self.lengths.view(np.uint64))
        whole = _Pieces([_scalar(tag), _rows(headers, _ends(sizes)), *self.parts], self.lengths + sizes + len(tag))
        if where is None or where.all():
            return whole
        return _Pieces([pc.if_else(pa.array(where), whole.joined(), _scalar(b""))], np.where(where, whole.lengths, 0))

    def joined(self) -> pa.LargeBinaryArray:
        """Returns each row's bytes."""
        return pc.binary_join_element_wise(*self.parts, _scalar(b""))


def _is_narrow(name: str, column: pa.Array) -> bool:
    """True if every row has one number, and the whole entry is so short that its lengths take one byte each."""
    kind = column.type.value_type
    return (
        (pa.types.is_integer(kind) or pa.types.is_floating(kind))
        and len(name.encode()) <= _LONGEST_NARROW_NAME
        and column.null_count == 0
        and bool(pc.all(pc.equal(pc.list_value_length(column), 1), min_count=0).as_py())
    )


def _table(name: str, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Returns a narrow feature's map entries as bytes ([rows, widest]) and how many of each row count ([rows])."""
    values = column.flatten().to_numpy(zero_copy_only=False)
    if pa.types.is_integer(column.type.value_type):
        tag, (payload, sizes) = _THIRD, _groups(values.astype(np.int64, copy=False).view(np.uint64))
    else:
        payload = np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(-1, 4)
        tag, sizes = _SECOND, np.full(len(values), 4, np.int64)
    key = _FIRST + _varint(len(name.encode())) + name.encode()
    # The four zeros are the lengths of the entry, the feature, its list and the packed values.
    head = b"".join((_FIRST, b"\0", key, _SECOND, b"\0", tag, b"\0", _FIRST, b"\0"))
    table = np.empty((len(values), len(head) + payload.shape[1]), np.uint8)
    table[:, : len(head)] = np.frombuffer(head, np.uint8)
    for place, rest in ((1, len(key) + 6), (len(key) + 3, 4), (len(key) + 5, 2), (len(key) + 7, 0)):
        table[:, place] = sizes + rest
    table[:, len(head) :] = payload
    return table, sizes + len(head)


def _narrow_entries(tables: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[_Pieces]:
    """Cuts tables into rows: neighbours in which all bytes count together, the others each by itself."""
    for whole, run in itertools.groupby(tables, lambda item: bool((item[1] == item[0].shape[1]).all())):
        if whole:
            table = np.concatenate([table for table, _ in run], axis=1)
            lengths = np.full(len(table), table.shape[1])
            yield _Pieces([_rows(table.reshape(-1), _ends(lengths))], lengths)
        else:
            for table, sizes in run:
                yield _Pieces([_rows(table[np.arange(table.shape[1]) < sizes[:, None]], _ends(sizes))], sizes)


def _entry(name: str, column: pa.Array) -> _Pieces:
    """Returns any feature's map entries."""
    key = _FIRST + _varint(len(name.encode())) + name.encode()
    feature = _feature(column).wrapped(_SECOND)
    return _Pieces([_scalar(key), *feature.parts], feature.lengths + len(key)).wrapped(_FIRST)


def _feature(column: Any) -> _Pieces:
    """Returns the Feature messages of a column of lists."""
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    present = pc.is_valid(column).to_numpy(zero_copy_only=False)
    ends = _ends(counts)
    values = column.flatten()
    kind = column.type.value_type
    if pa.types.is_integer(kind):
        data, sizes = _varints(values.to_numpy(zero_copy_only=False).astype(np.int64, copy=False).view(np.uint64))
        return _cut(data, _ends(sizes)[ends]).wrapped(_FIRST, counts > 0).wrapped(_THIRD, present)
    if pa.types.is_floating(kind):
        data = values.to_numpy(zero_copy_only=False).astype("<f4", copy=False).view(np.uint8)
        return _cut(data, 4 * ends).wrapped(_FIRST, counts > 0).wrapped(_SECOND, present)
    sizes = pc.binary_length(values).to_numpy(zero_copy_only=False).astype(np.int64)
    items = _Pieces([values.cast(pa.large_binary())], sizes).wrapped(_FIRST)
    return _cut(items.joined().buffers()[2], _ends(items.lengths)[ends]).wrapped(_FIRST, present)


def _cut(data: Any, offsets: np.ndarray) -> _Pieces:
    return _Pieces([_rows(data, offsets)], np.diff(offsets))


def _rows(data: Any, offsets: np.ndarray) -> pa.LargeBinaryArray:
    """Cuts bytes at `offsets` (one more than there are rows)."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets, np.int64)), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def _ends(sizes: np.ndarray) -> np.ndarray:
    ends = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    return ends


def _groups(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the varints of uint64 `values`, padded to the widest ([rows, widest]), and the bytes of each."""
    width = max(1, -(-int(values.max(initial=0)).bit_length() // 7))
    if width == 1:
        return values.astype(np.uint8)[:, None], np.ones(len(values), np.int64)
    if width <= 4:
        values = values.astype(np.uint32)  # half the memory to go through
    sizes = np.ones(len(values), np.int64)
    groups = np.empty((len(values), width), np.uint8)
    rest = values
    for place in range(width):
        more = rest > 0x7F
        groups[:, place] = (rest & rest.dtype.type(0x7F)).astype(np.uint8) | (more.astype(np.uint8) << 7)
        sizes += more
        rest = rest >> rest.dtype.type(7)
    return groups, sizes


def _varints(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the varints of uint64 `values`, one after the other, and the number of bytes of each."""
    groups, sizes = _groups(values)
    return groups[np.arange(groups.shape[1]) < sizes[:, None]], sizes


def _varint(value: int) -> bytes:
    return _varints(np.array([value], np.uint64))[0].tobytes()


def _scalar(value: bytes) -> pa.LargeBinaryScalar:
    return pa.scalar(value, pa.large_binary())


def _is_list(kind: Any) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)
