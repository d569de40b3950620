"""Bytes that nobody wrote: whatever msgpack holds, each decoder gives a value or a PayloadError."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, Flag
from typing import Any, NamedTuple

import msgpack
from hypothesis import assume, given
from hypothesis import strategies as st

from quplog.codec import (
    Types,
    decode_call,
    decode_error,
    decode_object,
    decode_result,
    decode_to_show,
    encode_result,
)
from quplog.errors import PayloadError
from quplog.values import Code


class Colour(Enum):
    RED = "red"


class Rights(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclass
class Order:
    number: int
    lines: list[int] = field(default_factory=list)


TYPES = Types()
for known in (Colour, Rights, Point, Order):
    TYPES.add(known)

NAMES = st.sampled_from(["Colour", "Rights", "Point", "Order", "os.system", "RED", "x", "number"])
EXTENSIONS = st.builds(
    msgpack.ExtType,
    st.sampled_from(sorted(Code)) | st.integers(0, 127),
    st.just(b"")
    | st.binary(max_size=12)
    | st.sampled_from([b"12", b"1.5", b"02026-01-01", b"NaN"]),
)
SINGLE = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | NAMES
    | EXTENSIONS
)


def _marked(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An array that begins with a mark, as objects, tuples and sets do."""
    marks = st.sampled_from([msgpack.ExtType(code, b"") for code in Code if code >= Code.TUPLE])
    states = items | st.dictionaries(NAMES, items, max_size=2)
    return st.tuples(marks, NAMES | items, states).map(list) | st.tuples(
        marks, items, items, items
    ).map(list)


ANYTHING = st.recursive(
    SINGLE,
    lambda items: (
        st.lists(items, max_size=4) | st.dictionaries(SINGLE, items, max_size=3) | _marked(items)
    ),
    max_leaves=12,
)


def _pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


DECODERS: list[Callable[[bytes], object]] = [
    lambda data: decode_call(data, TYPES),
    lambda data: decode_result(data, TYPES),
    lambda data: decode_object(data, Order, TYPES),
    lambda data: decode_object(data, Point, TYPES),
    decode_to_show,
    decode_error,
]


def _decode_all(data: bytes) -> None:
    for decode in DECODERS:
        with suppress(PayloadError):
            repr(decode(data))


@given(ANYTHING)
def test_any_msgpack_is_a_value_or_a_payload_error(value: object) -> None:
    _decode_all(_pack(value))


@given(ANYTHING, st.data())
def test_so_is_what_is_left_of_it_when_bytes_change(value: object, data: st.DataObject) -> None:
    packed = bytearray(_pack(value))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    _decode_all(bytes(packed))


@given(ANYTHING)
def test_what_can_be_decoded_and_stored_again_comes_back_as_the_same_bytes(value: object) -> None:
    packed = _pack(value)
    for code in (Code.SET, Code.FROZENSET):  # whose order may be another one each time
        assume(_pack(msgpack.ExtType(code, b"")) not in packed)
    try:
        decoded = decode_result(packed, TYPES)
        stored = encode_result(decoded, TYPES)
    except PayloadError:
        return
    assert encode_result(decode_result(stored, TYPES), TYPES) == stored
