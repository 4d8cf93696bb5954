"""Frames records as TFRecord files have them, and compresses the frames as one gzip stream, a block at a time.

The frame, of tensorflow/core/lib/io/record_writer.h: uint64 length, masked CRC-32C of the length, the record, masked
CRC-32C of the record; little-endian. Blocks are compressed independently of each other (RFC 1951, each ends at a byte),
so that threads can do it; together they are one member of a gzip file (RFC 1952).
"""

import struct
import zlib

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MASK_DELTA = 0xA282EAD8
# No name, no time, no operating system: nothing that differs between runs.
_GZIP_HEADER = b"\x1f\x8b\x08" + b"\x00" * 6 + b"\xff"
_LAST_BLOCK = b"\x03\x00"


def frame(records: pa.LargeBinaryArray) -> pa.Buffer:
    """Returns the records' frames, one after the other."""
    rows = len(records)
    lengths = pc.binary_length(records).to_numpy(zero_copy_only=False).astype("<u8")
    known, which = np.unique(lengths, return_inverse=True)
    heads = np.empty((rows, 12), np.uint8)
    heads[:, :8] = lengths.view(np.uint8).reshape(-1, 8)
    heads[:, 8:] = _masked([google_crc32c.value(length.tobytes()) for length in known])[which]
    tails = _masked([google_crc32c.value(record) for record in records.to_pylist()])
    framed = pc.binary_join_element_wise(_fixed(heads), records, _fixed(tails), pa.scalar(b"", pa.large_binary()))
    _, offsets, data = framed.buffers()
    ends = np.frombuffer(offsets, np.int64)[framed.offset : framed.offset + rows + 1]
    return data.slice(ends[0], ends[-1] - ends[0]) if rows else pa.py_buffer(b"")


def deflate(block: pa.Buffer, level: int) -> bytes:
    """Compresses a block so that another one can follow."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(block) + compressor.flush(zlib.Z_SYNC_FLUSH)


class GzipStream:
    """What stands around the deflated blocks of a gzip file: a header, an end, and a check of what was compressed."""

    header = _GZIP_HEADER

    def __init__(self) -> None:
        self._crc = self._size = 0

    def add(self, block: pa.Buffer) -> None:
        """Takes note of a block, before its compression, in the order of the file."""
        self._crc = zlib.crc32(block, self._crc)
        self._size += block.size

    def trailer(self) -> bytes:
        """Returns what ends the file."""
        return _LAST_BLOCK + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)


def _masked(crcs: list[int]) -> np.ndarray:
    """Returns TFRecord's masks of CRCs as bytes ([rows, 4])."""
    crc = np.array(crcs, np.uint32)
    masked = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(_MASK_DELTA)
    return masked.astype("<u4").view(np.uint8).reshape(-1, 4)


def _fixed(table: np.ndarray) -> pa.LargeBinaryArray:
    """Returns the rows of a table of bytes."""
    rows, width = table.shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(table))]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), rows, buffers)
