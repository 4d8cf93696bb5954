"""TFRecord files and tf.Examples, serialized by hand, so that the tests don't share the reader's idea of them."""

import struct

import google_crc32c


def field(number: int, data: bytes) -> bytes:
    """Serializes a field of bytes or of a message."""
    return bytes([number << 3 | 2]) + varint(len(data)) + data


def varint(number: int) -> bytes:
    """Serializes a number as a protobuf varint."""
    number &= 2**64 - 1
    data = b""
    while number > 127:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


def example(**features: object) -> bytes:
    """Serializes a tf.Example by hand, so that the tests don't share the reader's idea of it."""

    def feature(values: list) -> bytes:
        if not values:
            return field(3, b"")
        if isinstance(values[0], int):
            return field(3, field(1, b"".join(map(varint, values))))
        if isinstance(values[0], float):
            return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
        return field(1, b"".join(field(1, value) for value in values))

    entries = [
        field(1, field(1, name.encode()) + field(2, feature(value if isinstance(value, list) else [value])))
        for name, value in features.items()
    ]
    return field(1, b"".join(entries))


def framed(*records: bytes) -> bytes:
    """Frames records as a TFRecord file does: length, its checksum, data, its checksum."""

    def masked(data: bytes) -> bytes:
        crc = google_crc32c.value(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    heads = [struct.pack("<Q", len(record)) for record in records]
    return b"".join(h + masked(h) + r + masked(r) for h, r in zip(heads, records, strict=True))
