"""A log in other words: what stands in it is replaced or added, and every sum made right again.

That is what somebody can do who may write to the directory. By docs/FORMAT.md, without quplog.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

SEGMENT_HEADER, FRAME_HEADER, OPS = 4096, 48, 1
BASE_AT, SALT_AT = 48, 80
MAGIC = 0xB5A7
NOON_US = 1_800_000_000_000_000


def _make_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901
        table.append(value)
    return table


TABLE = _make_table()


def crc32c(*parts: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in b"".join(parts):
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def forge(directory: Path, old: bytes, new: bytes) -> int:
    """Put `new` in the place of `old`, which is as long, in all frames; how often that was."""
    assert len(old) == len(new)
    count = 0
    for path in directory.glob("*.log"):
        content = bytearray(path.read_bytes())
        count += content.count(old, SEGMENT_HEADER)
        content[SEGMENT_HEADER:] = content[SEGMENT_HEADER:].replace(old, new)
        salt = bytes(content[SALT_AT : SALT_AT + 8])
        (base,) = struct.unpack_from("<Q", content, BASE_AT)
        for start, end in _frames(content):
            place = struct.pack("<Q", base + start) + salt
            content[start:end] = _sealed(content[start:end], place)
        path.write_bytes(content)
    return count


def record(type_number: int, body: bytes) -> bytes:
    """One op, but for its check."""
    raw = struct.pack("<BBHI", type_number, 0, 0, 8 + len(body)) + body
    return raw + bytes(-len(raw) % 8)


def append(directory: Path, *ops: bytes, op_count: int | None = None, first_id: int = 0) -> int:
    """Add a frame of these records to a closed log; its LSN."""
    path = max(directory.glob("*.log"))
    content = bytearray(path.read_bytes())
    salt = bytes(content[SALT_AT : SALT_AT + 8])
    (base,) = struct.unpack_from("<Q", content, BASE_AT)
    at = max(end for _, end in _frames(content))
    body = b"".join(ops)
    count = len(ops) if op_count is None else op_count
    lengths = (FRAME_HEADER + len(body), count, 0)
    frame = struct.pack("<HBBIIIqQQII", MAGIC, OPS, 0, *lengths, NOON_US, 0, first_id, 0, 0) + body
    content[at : at + len(frame)] = _sealed(bytearray(frame), struct.pack("<Q", base + at) + salt)
    path.write_bytes(content)
    return base + at


def _frames(content: bytearray) -> Iterator[tuple[int, int]]:
    start = SEGMENT_HEADER
    while start + FRAME_HEADER <= len(content):
        magic, length = struct.unpack_from("<H2xI", content, start)
        if magic != MAGIC:
            return
        yield start, start + length
        start += length


def _sealed(frame: bytearray, place: bytes) -> bytes:
    if frame[2] == OPS:
        start = FRAME_HEADER
        while start < len(frame):
            (length,) = struct.unpack_from("<I", frame, start + 4)
            end = start + (length + 7) // 8 * 8
            check = crc32c(bytes(frame[start : start + 2]), bytes(frame[start + 4 : end])) & 0xFFFF
            struct.pack_into("<H", frame, start + 2, check)
            start = end
    struct.pack_into("<I", frame, 12, crc32c(bytes(frame[:12]), place))
    crc = crc32c(bytes(frame[FRAME_HEADER:]), bytes(frame[:44]), place)
    struct.pack_into("<I", frame, 44, crc)
    return bytes(frame)
