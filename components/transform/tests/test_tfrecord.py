"""TFRecord files, as TensorFlow writes and reads them."""

import gzip

import google_crc32c
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from transform import tfrecord, writing

RECORDS = [b"", b"a", b"x" * 127, np.random.default_rng(1).bytes(70_000), b"\x00" * 128]


def _batches() -> list[pa.LargeBinaryArray]:
    return [pa.array(part, pa.large_binary()) for part in (RECORDS[:3], [], RECORDS[3:])]


def test_frames_are_tensorflows(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in RECORDS:
            writer.write(record)
    writing.write_tfrecords(_batches(), lambda batch: batch, tmp_path / "ours", "none")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("batches", [_batches(), [], [pa.array([], pa.large_binary())]])
def test_compressed_files_are_read_by_tensorflow_and_gzip(tmp_path, batches):
    writing.write_tfrecords(batches, lambda batch: batch, tmp_path / "a.gz", "gzip")
    writing.write_tfrecords(batches, lambda batch: batch, tmp_path / "a", "none")
    read = tf.data.TFRecordDataset(str(tmp_path / "a.gz"), compression_type="GZIP").as_numpy_iterator()
    assert list(read) == [record for batch in batches for record in batch.to_pylist()]
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == (tmp_path / "a").read_bytes()


def test_slices_of_records():
    records = pa.array(RECORDS, pa.large_binary())
    assert tfrecord.frame(records.slice(1, 3)) == tfrecord.frame(pa.array(RECORDS[1:4], pa.large_binary()))


def test_check_sums_are_the_processors():
    assert google_crc32c.implementation == "c"  # the package's own Python takes a thousand times as long
