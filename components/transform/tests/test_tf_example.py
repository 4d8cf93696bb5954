"""The encoder, against tfx_bsl's."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from tfx_bsl.coders import example_coder
from transform import tf_example

EXTREMES = [0, 1, -1, 127, 128, 16383, 16384, 2**31, 2**63 - 1, -(2**63)]
COLUMNS = {
    "integers": pa.array([[value] for value in EXTREMES], pa.list_(pa.int64())),
    "hundreds": pa.array([[row] for row in range(120, 140, 2)], pa.list_(pa.int64())),
    "one_float": pa.array([[row / 3] for row in range(10)], pa.list_(pa.float32())),
    "i" * 100: pa.array([[value] for value in EXTREMES], pa.list_(pa.int64())),
    "i" * 101: pa.array([[value] for value in EXTREMES], pa.list_(pa.int64())),
    "many": pa.array([[1] * (40 * row) for row in range(10)], pa.large_list(pa.int64())),
    "gaps": pa.array([None if row % 3 == 0 else EXTREMES[: row % 4] for row in range(10)], pa.list_(pa.int64())),
    "floats": pa.array([[float(row), np.inf] for row in range(10)], pa.list_(pa.float32())),
    "empty_floats": pa.array([[]] * 10, pa.list_(pa.float32())),
    "text": pa.array([[b"x" * (30 * row)] * (row % 3) for row in range(10)], pa.large_list(pa.large_binary())),
    "short_text": pa.array([[b"\x00\xff", b""]] * 10, pa.list_(pa.binary())),
    "nothing": pa.array([None] * 10, pa.list_(pa.binary())),
    "b\N{LATIN SMALL LETTER O WITH STROKE}": pa.array([[row] for row in range(10)], pa.list_(pa.int64())),
    "": pa.array([[1.5]] * 10, pa.list_(pa.float32())),
    "n" * 200: pa.array([[1]] * 10, pa.list_(pa.int64())),
}


def _encoded(batch: pa.RecordBatch) -> list[bytes]:
    return tf_example.encode(batch).to_pylist()


def _messages(records: list[bytes]) -> list[tf.train.Example]:
    return [tf.train.Example.FromString(record) for record in records]


@pytest.mark.parametrize("name", COLUMNS)
def test_one_column(name):
    batch = pa.record_batch({name: COLUMNS[name]})
    expected = _messages(example_coder.RecordBatchToExamplesEncoder().encode(batch))
    assert _messages(_encoded(batch)) == expected


def test_all_columns_in_the_order_of_their_names():
    batch = pa.record_batch(COLUMNS)
    records = _encoded(batch)
    assert _messages(records) == _messages(example_coder.RecordBatchToExamplesEncoder().encode(batch))
    backwards = pa.record_batch(dict(reversed(COLUMNS.items())))
    assert _encoded(backwards) == records
    positions = [records[0].index(name.encode()) for name in ("empty_floats", "floats", "gaps", "many", "nothing")]
    assert positions == sorted(positions)


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_slices(rows):
    batch = pa.record_batch(COLUMNS)
    assert _encoded(batch.slice(10 - rows)) == _encoded(batch)[10 - rows :]
