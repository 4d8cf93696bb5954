"""Statistics artifacts: a folder with `stats.tfrecord`, one record that holds a DatasetFeatureStatisticsList."""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import google_crc32c
from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import statistics_pb2

from stepkit import uris
from stepkit.errors import StepError

FILE = "stats.tfrecord"


def write(folder: Path, statistics: Mapping[str, statistics_pb2.DatasetFeatureStatistics]) -> None:
    """Writes the statistics, a dataset named by its key each.

    Raises:
        OSError: the file can't be written (a full disk).
    """
    every = statistics_pb2.DatasetFeatureStatisticsList()
    for name, dataset in statistics.items():
        added = every.datasets.add()
        added.CopyFrom(dataset)
        added.name = name
    (folder / FILE).write_bytes(_record(every.SerializeToString(deterministic=True)))


def read(uri: str, what: str) -> dict[str, statistics_pb2.DatasetFeatureStatistics]:
    """Reads the statistics of an artifact's folder or of such a file, as dataset name to dataset.

    Args:
        what: what they are to the caller, for the errors.

    Raises:
        StepError: nothing is there, or it holds no statistics.
    """
    with uris.local_copy(uri, what) as path:
        file = path / FILE if path.is_dir() else path
        if not file.is_file():
            raise StepError(f"The {what} at {uri!r} have no {FILE}. Give the statistics artifact of data_validation.")
        found = statistics_pb2.DatasetFeatureStatisticsList()
        try:
            for record in records(file.read_bytes()):
                found.MergeFromString(record)
        except (ValueError, DecodeError) as error:
            raise StepError(
                f"The {what} at {str(uri)!r} can't be read: {file.name} is damaged or no TFRecord of statistics. "
                "Compute them again."
            ) from error
    if not found.datasets:
        raise StepError(f"The {what} at {uri!r} are empty. Compute them again.")
    return {dataset.name: dataset for dataset in found.datasets}


def is_there(uri: str) -> bool:
    """True if `uri` names something that is there; an empty folder is nothing."""
    if not uri or not uris.exists(uri):
        return False
    return uris.is_remote(uri) or not uris.local_part(uri).is_dir() or any(uris.local_part(uri).iterdir())


def records(data: bytes) -> Iterator[bytes]:
    """Yields the records of a TFRecord file: each a length, its checksum, the record, its checksum.

    https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details

    Raises:
        ValueError: it is cut off or damaged.
    """
    position = 0
    while position < len(data):
        head, start = data[position : position + 8], position + 12
        if len(data) < start or data[position + 8 : start] != _checksum(head):
            raise ValueError("damaged length")
        (length,) = struct.unpack("<Q", head)
        position = start + length + 4
        record = data[start : start + length]
        if len(data) < position or data[start + length : position] != _checksum(record):
            raise ValueError("damaged record")
        yield record


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
