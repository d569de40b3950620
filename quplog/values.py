"""Single values that msgpack does not have, as the bytes of extension types, and back.

Big ints, dates and times, UUIDs and Decimals. They come back equal and of the same type, with two
exceptions: a datetime keeps a ZoneInfo, but any other tzinfo comes back as its fixed offset; and
subclasses of datetime, date, time and timedelta (pendulum's, or those of a tool that fakes the
time) come back as plain ones. Bytes that nobody wrote are a ValueError, ArithmeticError,
LookupError or struct.error.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo


class Code(IntEnum):
    """The msgpack extension types of quplog. They are in logs: none is ever given a new meaning."""

    INTEGER = 1
    """Beyond 64 bits: two's complement, big-endian."""
    DATETIME = 2
    """The fold ("0" or "1"), ISO 8601, and perhaps a blank and the name of a zone."""
    DATE = 3
    TIME = 4
    """As DATETIME."""
    TIMEDELTA = 5
    """Days, seconds, microseconds: an i32 each, big-endian."""
    UUID = 6
    DECIMAL = 7
    """Its str()."""

    # Marks (see codec.py): they are empty and begin an array that holds, behind them:
    TUPLE = 16
    """Its items; in SET and FROZENSET too."""
    SET = 17
    FROZENSET = 18
    ENUM = 19
    """The class, the name of the member."""
    FLAG = 20
    """The class, the value."""
    OBJECT = 21
    """The class, a map of names and values of fields."""


_TIMEDELTA: Final = struct.Struct(">iii")


def pack_value(value: object) -> tuple[Code, bytes] | None:
    """Return a value's extension type and bytes; None if it is none of these.

    Raises ValueError for a tzinfo that would be lost.
    """
    packer = _PACKERS.get(type(value))
    if packer is None:  # datetime stands before its base, date
        bases = (base for base in (datetime, date, time, timedelta) if isinstance(value, base))
        packer = _PACKERS.get(next(bases, object))
    if packer is None:
        return None
    code, pack = packer
    return code, pack(value)


def unpack_value(code: int, data: bytes) -> object:
    """Return the value with these bytes. Raises LookupError for an unknown code."""
    unpack = _UNPACKERS.get(code)
    if unpack is None:
        message = f"a value of kind {code} comes from a newer version of quplog: update it"
        raise LookupError(message)
    return unpack(data)


def _pack_integer(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _unpack_integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _pack_moment(value: datetime | time) -> bytes:
    # The base class writes it: a subclass may have a format of its own.
    iso = datetime.isoformat(value) if isinstance(value, datetime) else time.isoformat(value)
    zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    if zone is None and value.tzinfo is not None and value.utcoffset() is None:
        message = f"its tzinfo, {value.tzinfo!r}, would be lost: use a zoneinfo.ZoneInfo"
        raise ValueError(message)
    return f"{value.fold}{iso}{f' {zone}' if zone else ''}".encode()


def _split_moment(data: bytes) -> tuple[int, str, str]:
    text = data.decode()
    iso, _, zone = text[1:].partition(" ")
    return int(text[:1]), iso, zone


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        return None


def _unpack_datetime(data: bytes) -> datetime:
    """Keep the moment in any case, and the zone if this machine knows it."""
    fold, iso, name = _split_moment(data)
    value = datetime.fromisoformat(iso).replace(fold=fold)
    zone = _zone(name) if name else None
    if zone is None:
        return value
    local = value.replace(tzinfo=zone)
    # They differ if the zone's rules here are not those that it was written by.
    return local if local.utcoffset() == value.utcoffset() else value.astimezone(zone)


def _unpack_time(data: bytes) -> time:
    fold, iso, name = _split_moment(data)
    value = time.fromisoformat(iso).replace(fold=fold)
    if not name:
        return value
    zone = _zone(name)
    if zone is None:
        message = f"this machine does not know the time zone {name!r}: install the tzdata package"
        raise LookupError(message)
    return value.replace(tzinfo=zone)


def _pack_timedelta(value: timedelta) -> bytes:
    return _TIMEDELTA.pack(value.days, value.seconds, value.microseconds)


def _unpack_timedelta(data: bytes) -> timedelta:
    days, seconds, microseconds = _TIMEDELTA.unpack(data)
    return timedelta(days, seconds, microseconds)


_PACKERS: Final[dict[type, tuple[Code, Callable[[Any], bytes]]]] = {
    int: (Code.INTEGER, _pack_integer),
    datetime: (Code.DATETIME, _pack_moment),
    date: (Code.DATE, lambda value: date.isoformat(value).encode()),
    time: (Code.TIME, _pack_moment),
    timedelta: (Code.TIMEDELTA, _pack_timedelta),
    UUID: (Code.UUID, lambda value: value.bytes),
    Decimal: (Code.DECIMAL, lambda value: str(value).encode()),
}
_UNPACKERS: Final[dict[int, Callable[[bytes], object]]] = {
    Code.INTEGER: _unpack_integer,
    Code.DATETIME: _unpack_datetime,
    Code.DATE: lambda data: date.fromisoformat(data.decode()),
    Code.TIME: _unpack_time,
    Code.TIMEDELTA: _unpack_timedelta,
    Code.UUID: lambda data: UUID(bytes=data),
    Code.DECIMAL: lambda data: Decimal(data.decode()),
}
