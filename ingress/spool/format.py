"""What is in a file of the spool: a header, then records, each with its length and a checksum. Pure.

A record may be torn only at the end of a file, where a write was cut short: what was acknowledged is before that.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from schemas.codec import Headers

MAGIC = b"LDSPOOL1"
HEADER_BYTES = len(MAGIC) + 8
"""The format, and up to where the file has been published."""

_PUBLISHED = struct.Struct("<Q")
_FRAME = struct.Struct("<II")
"""How many bytes the record has behind this, and the CRC-32 of that length and of them."""
_CONTENT = struct.Struct("<dHHI")
"""When it came (unix seconds), the length of the key, the number of headers, the length of the value."""
_HEADER = struct.Struct("<HI")


class Spooled(NamedTuple):
    """A message that waits. at: when it came, in unix seconds."""

    at: float
    key: bytes
    value: bytes
    headers: Headers


class Place(NamedTuple):
    """A record, and where it ends in its file."""

    record: Spooled
    end: int


def header(published: int = HEADER_BYTES) -> bytes:
    """A file's header. published: where the first record begins that may not be on Kafka yet."""
    return MAGIC + _PUBLISHED.pack(published)


def published(data: bytes) -> int | None:
    """The position in a file's header; None: it is no file of this format, or was cut in its header."""
    return _PUBLISHED.unpack_from(data, len(MAGIC))[0] if is_whole(data) else None


def is_whole(data: bytes) -> bool:
    """Whether the header is there."""
    return len(data) >= HEADER_BYTES and data.startswith(MAGIC)


def encode(record: Spooled) -> bytes:
    """A record as it is written."""
    parts = [_CONTENT.pack(record.at, len(record.key), len(record.headers), len(record.value)), record.key]
    for name, value in record.headers:
        encoded = name.encode()
        parts += (_HEADER.pack(len(encoded), len(value)), encoded, value)
    parts.append(record.value)
    content = b"".join(parts)
    return _FRAME.pack(len(content), _checksum(content)) + content


def decode(data: bytes, start: int = 0) -> Iterator[Place]:
    """The records from there on, up to the first that is not whole. Ends are counted from the beginning of `data`."""
    while True:
        begin = start + _FRAME.size
        if begin > len(data):
            return
        length, checksum = _FRAME.unpack_from(data, start)
        end = begin + length
        if end > len(data):
            return
        content = data[begin:end]
        if _checksum(content) != checksum:
            return
        yield Place(_record(content), end)
        start = end


def _checksum(content: bytes) -> int:
    # With the length: a run of zeros, as a crash may leave, is no record.
    return zlib.crc32(content, zlib.crc32(len(content).to_bytes(4, "little")))


def _record(content: bytes) -> Spooled:
    at, key_length, count, value_length = _CONTENT.unpack_from(content)
    position = _CONTENT.size + key_length
    key, headers = content[_CONTENT.size : position], []
    for _ in range(count):
        name_length, length = _HEADER.unpack_from(content, position)
        position += _HEADER.size
        name = content[position : position + name_length].decode()
        position += name_length
        headers.append((name, content[position : position + length]))
        position += length
    return Spooled(at, key, content[position : position + value_length], headers)
