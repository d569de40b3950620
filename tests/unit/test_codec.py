"""Payloads that come back as something else, are lost, or do harm when they are read."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from typing import Any, ClassVar, NamedTuple, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quplog.codec import (
    ERROR_MAX,
    PAYLOAD_MAX,
    StoredError,
    Types,
    decode_call,
    decode_error,
    decode_object,
    decode_result,
    decode_to_show,
    encode_call,
    encode_error,
    encode_object,
    encode_result,
)
from quplog.errors import PayloadError


class Colour(Enum):
    RED = object()
    BLUE = 2


class Text(StrEnum):
    ONE = "one"


class Number(IntEnum):
    ONE = 1


class Access(Flag):
    READ = 1
    WRITE = 2


class Mode(IntFlag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclass
class Item:
    name: str
    price: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Order:
    id: int
    items: list[Item] = field(default_factory=list)
    colour: Colour | None = None
    total: int = field(init=False, default=0)


class Plain:
    kind: ClassVar[str] = "plain"

    def __init__(self, first: object) -> None:
        self.first = first

    def __eq__(self, other: object) -> bool:
        return type(other) is Plain and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.first)


class Slotted:
    __slots__ = ("__hidden", "unset", "x")

    def __init__(self, x: int) -> None:
        self.x = x
        self.__hidden = x + 1

    def both(self) -> tuple[int, int]:
        return self.x, self.__hidden


CLASSES = (Colour, Text, Number, Access, Mode, Point, Item, Order, Plain, Slotted)


def known() -> Types:
    types = Types()
    for cls in CLASSES:
        types.add(cls)
    return types


TYPES = known()


def there_and_back(value: object) -> Any:
    return decode_result(encode_result(value, TYPES), TYPES)


def same(left: object, right: object) -> bool:
    """Equal, of equal types, all the way down; NaN is NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float) and isinstance(right, float):
        return math.isnan(left) and math.isnan(right) if math.isnan(left) else left == right
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, Plain | Item) and isinstance(right, Plain | Item):
        return same(vars(left), vars(right))
    return left == right


PLAIN_KEYS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(), st.binary(), st.dates()
)
HASHABLE = st.recursive(
    st.one_of(PLAIN_KEYS, st.sampled_from([*Colour, *Text, *Number]), st.uuids()),
    lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=3)),
    max_leaves=4,
)
SINGLE = st.one_of(
    HASHABLE,
    st.floats(),
    st.datetimes(timezones=st.one_of(st.none(), st.just(UTC))),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.sampled_from([*Access, Access.READ | Access.WRITE, Access(0), Mode.A | Mode.B]),
)
VALUES = st.recursive(
    SINGLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.sets(HASHABLE, max_size=4),
        st.builds(Plain, inner),
        st.builds(Item, st.text(), st.decimals(allow_nan=False)),
        st.builds(Point, inner, inner),
    ),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=3).map(tuple), st.dictionaries(st.text(), VALUES, max_size=3))
@example((), {"self": 1, "": 2, "\udcff": 3})
def test_calls_come_back_as_they_were(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    got_args, got_kwargs = decode_call(encode_call("send", args, kwargs, TYPES), TYPES)
    assert same(got_args, args)
    assert same(got_kwargs, kwargs)


@pytest.mark.parametrize(
    "value",
    [
        True,
        2**64,
        -(2**63) - 1,
        float("inf"),
        -0.0,
        b"\x00\xff",
        "\udcff as os.fsdecode() gives it",
        (1, (2, [3, {4}])),
        {1: "a", (2, 3): "b", None: frozenset({4})},
        {"": []},
        set(),
        (),
        Number.ONE,
        Text.ONE,
        [True, 1, Number.ONE, 1.0],
        Access.READ | Access.WRITE,
        Point(1),
        Order(7, [Item("a", Decimal("1.50"))], Colour.RED),
        Plain(Plain({"a": Plain(None)})),
        [datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), date(2026, 1, 1), time(1)],
        [timedelta(-1, 5), UUID(int=5), Decimal("1E+5")],
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_values_come_back_as_they_were(value: object) -> None:
    assert same(there_and_back(value), value)


def test_members_come_back_as_themselves() -> None:
    assert there_and_back(Colour.RED) is Colour.RED
    assert there_and_back([Text.ONE, Number.ONE, Access.READ])[0] is Text.ONE
    assert type(there_and_back(Number.ONE)) is Number


def test_objects_come_back_without_a_call_of_their_init() -> None:
    value = Plain(1)
    value.later = [1, 2]  # type: ignore[attr-defined]
    assert vars(there_and_back(value)) == {"first": 1, "later": [1, 2]}
    slotted = there_and_back(Slotted(5))
    assert slotted.both() == (5, 6)
    assert not hasattr(slotted, "unset")


def test_bytes_like_values_come_back_as_bytes() -> None:
    assert there_and_back([bytearray(b"a"), memoryview(b"b")]) == [b"a", b"b"]


def test_a_plain_call_is_plain_msgpack() -> None:
    payload = encode_call("send", (1,), {"email": "a@b.c"}, TYPES)
    assert msgpack.unpackb(payload) == [{"email": "a@b.c"}, 1]
    assert len(payload) == 15


def test_no_result_takes_no_bytes() -> None:
    assert encode_result(None, TYPES) == b""
    assert decode_result(b"", TYPES) is None


def packed(value: object) -> bytes:
    return cast("bytes", msgpack.packb(value))


@dataclass
class Task:
    id: int
    to: tuple[str, ...] = ()
    note: str = "none"


def test_a_task_that_is_an_object() -> None:
    payload = encode_object(Task(7, ("a", "b")), TYPES)
    assert decode_object(payload, Task, TYPES) == Task(7, ("a", "b"))
    plain = decode_object(encode_object(Plain(7), TYPES), Plain, TYPES)
    assert plain == Plain(7)
    assert decode_object(encode_object(Order(7), TYPES), Order, TYPES) == Order(7)
    assert decode_object(encode_object(Point(7), TYPES), Point, TYPES) == Point(7)


def test_a_field_that_was_added_takes_its_default() -> None:
    payload = packed({"id": 7})
    assert decode_object(payload, Task, TYPES) == Task(7)
    assert decode_object(payload, Order, TYPES) == Order(7)
    assert decode_object(packed({"x": 7}), Point, TYPES) == Point(7)


def test_a_field_that_was_removed_is_left_out() -> None:
    payload = packed({"id": 7, "gone": 1})
    assert vars(decode_object(payload, Task, TYPES)) == vars(Task(7))
    assert decode_object(payload, Order, TYPES) == Order(7)


@pytest.mark.parametrize("cls", [Task, Order, Point])
def test_a_field_that_was_added_without_a_default_is_named(cls: type) -> None:
    with pytest.raises(PayloadError, match=f"{cls.__name__} has no (id|x): .*give it a default"):
        decode_object(packed({}), cls, TYPES)


class Stranger:
    pass


@dataclass
class Unregistered:
    id: int


class Shade(Enum):
    DARK = 1


BAD: Any = Stranger()
CYCLE: list[Any] = []
CYCLE.append([CYCLE])
HIDDEN_CYCLE: dict[str, Any] = {}
HIDDEN_CYCLE["self"] = (Plain([HIDDEN_CYCLE]),)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((1, BAD), {}, "'to' is of the class Stranger, which is not known here"),
        ((1, 2, BAD), {}, "'number 3' is of the class Stranger"),
        ((), {"to": BAD}, "'to' is of the class Stranger"),
        ((), {"a": 1, "to": {"x": [1, 2, {"y": BAD}]}}, "'to.x.2.y' is of"),
        (([1, (2, BAD)],), {}, "'order_id.1.1' is of"),
        ((), {"to": Order(1, [Item("a"), BAD])}, "'to.items.1' is of"),
        ((), {"to": Plain(BAD)}, "'to.first' is of"),
        ((), {"to": {BAD: 1}}, r"'to.Stranger \(a key\)' is of"),
        ((), {"to": {5: BAD}}, "'to.5' is of"),
        ((), {"to": {10**5000: BAD}}, "'to.int' is of"),
        ((), {"to": {BAD}}, "'to.0' is of"),
        ((), {"to": [0] * 100_000 + [BAD]}, "'to.100000' is of"),
        ((), {"to": Unregistered(1)}, r"make it known with jq.types\(Unregistered\)"),
        ((), {"to": Shade.DARK}, r"make it known with jq.types\(Shade\)"),
        ((), {"to": len}, "is of type builtin_function_or_method, which cannot be stored"),
        ((), {"to": threading.Lock()}, "is of type lock, which cannot be stored"),
        ((), {"to": 1j}, "is of type complex, which cannot be stored"),
        ((), {"to": Order}, "is of type type, which cannot be stored"),
        ((), {"to": defaultdict(int)}, r"come back as a plain dict: pass dict\(...\) of it"),
        ((), {"to": OrderedDict()}, "come back as a plain dict"),
        ((), {"to": type("Name", (str,), {})("x")}, r"come back as a plain str: pass str\(...\)"),
        ((), {"to": CYCLE}, "'to' contains itself, or is nested too deeply"),
        ((), {"ok": 1, "to": HIDDEN_CYCLE}, "'to' contains itself"),
        ((), {"to": nested(10_000)}, "'to' contains itself, or is nested too deeply"),
    ],
)
def test_what_cannot_be_stored_is_named(
    args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    with pytest.raises(PayloadError, match=f"^send: argument .*{words}"):
        encode_call("send", args, kwargs, TYPES, ("order_id", "to"))
    assert decode_call(encode_call("send", (1,), {}, TYPES), TYPES) == ((1,), {})


def test_the_way_to_what_cannot_be_stored_is_not_followed_without_end() -> None:
    value = BAD
    for _ in range(300):
        value = [value]
    with pytest.raises(PayloadError, match=r"argument 'to(\.0){49}' is of the class Stranger"):
        encode_call("send", (), {"to": value}, TYPES)


def test_the_field_or_the_place_in_a_result_is_named() -> None:
    with pytest.raises(PayloadError, match=r"^Task: field 'to.1' is of the class Stranger"):
        encode_object(Task(1, ("a", BAD)), TYPES)
    with pytest.raises(PayloadError, match=r"^the task's 'result.a' is of the class Stranger"):
        encode_result({"a": BAD}, TYPES)


def depth_of(value: Any) -> int:
    depth = 0
    while isinstance(value, list | tuple | Plain):
        value = value.first if isinstance(value, Plain) else value[0]
        depth += 1
    return depth


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: (value,), Plain])
def test_what_can_be_stored_can_be_read_however_deep(wrap: Callable[[Any], Any]) -> None:
    refused = 0
    for depth in [*range(490, 530), *range(1000, 1040)]:
        value = wrap(nested(depth))
        try:
            payload = encode_call("send", (value,), {"to": value}, TYPES)
        except PayloadError as error:
            assert "recursion" in str(error) or "nested too deeply" in str(error)  # noqa: PT017
            refused += 1
        else:
            (first,), kwargs = decode_call(payload, TYPES)
            assert depth_of(first) == depth_of(kwargs["to"]) == depth_of(value)
    assert 0 < refused < 80


def test_what_is_too_large_is_refused_with_its_size() -> None:
    room = PAYLOAD_MAX - len(encode_call("send", (), {"data": bytes(70_000)}, TYPES)) + 70_000
    assert len(encode_call("send", (), {"data": bytes(room)}, TYPES)) == PAYLOAD_MAX
    with pytest.raises(PayloadError, match=r"arguments of send would take 4,194,305 bytes.*4 MiB"):
        encode_call("send", (), {"data": bytes(room + 1)}, TYPES)
    with pytest.raises(PayloadError, match=r"arguments of send would take 5,000,0\d\d bytes"):
        encode_call("send", (), {"data": (bytes(5_000_000),)}, TYPES)
    with pytest.raises(PayloadError, match=r"the fields of Task would take 5,000,0\d\d bytes"):
        encode_object(Task(1, ("a" * 5_000_000,)), TYPES)
    with pytest.raises(PayloadError, match=r"what the task returned would take"):
        encode_result(bytes(5_000_000), TYPES)


def test_a_class_that_is_not_known_where_the_job_runs() -> None:
    for value, name in [(Item("a"), "Item"), (Colour.RED, "Colour"), (Access.READ, "Access")]:
        payload = encode_call("send", (), {"to": value}, TYPES)
        with pytest.raises(PayloadError, match=rf"class {name} .* jq.types\({name}\)"):
            decode_call(payload, Types())


def test_no_class_is_imported_by_a_name_from_bytes() -> None:
    for name in ("os.system", "subprocess.Popen", "builtins.eval", "eval", "Decimal", "Types"):
        for mark in (19, 20, 21):
            payload = packed([msgpack.ExtType(mark, b""), name, {}])
            with pytest.raises(PayloadError, match="is not known here"):
                decode_result(payload, TYPES)


def test_a_member_that_is_gone_is_named() -> None:
    payload = packed([msgpack.ExtType(19, b""), "Colour", "PINK"])
    with pytest.raises(PayloadError, match="Enum Colour has no member PINK any more"):
        decode_result(payload, TYPES)


def raw(*items: object) -> bytes:
    return packed(list(items))


MARK = {code: msgpack.ExtType(code, b"") for code in range(16, 22)}
MALFORMED = [
    b"",
    b"\xc1",
    b"\x91",
    raw({}) + b"\x00",
    raw(),
    raw([]),
    raw(1, {}),
    raw({1: 2}),
    raw({b"a": 2}),
    raw({}, MARK[16]),
    raw({}, [1, MARK[16]]),
    raw({}, {"a": MARK[17]}),
    raw({}, [MARK[17], []]),
    raw({}, [MARK[19]]),
    raw({}, [MARK[19], "Item", "name"]),
    raw({}, [MARK[19], 5, "name"]),
    raw({}, [MARK[19], [], "name"]),
    raw({}, [MARK[20], "Colour", 1]),
    raw({}, [MARK[20], "Access", 64]),
    raw({}, [MARK[20], "Access", "READ"]),
    raw({}, [MARK[21], "Colour", {}]),
    raw({}, [MARK[21], "Item", {}]),
    raw({}, [MARK[21], "Item", []]),
    raw({}, [MARK[21], "Plain", {5: 6}]),
    raw({}, [MARK[21], "Plain", {"__class__": 6}]),
    raw({}, [MARK[21], "Slotted", {"y": 6}]),
    raw({}, msgpack.ExtType(2, b"02026-13-01")),
    raw({}, msgpack.ExtType(2, b"\xff")),
    raw({}, msgpack.ExtType(2, b"")),
    raw({}, msgpack.ExtType(4, b"025:00")),
    raw({}, msgpack.ExtType(5, b"\x7f\xff\xff\xff" + bytes(8))),
    raw({}, msgpack.ExtType(5, b"abc")),
    raw({}, msgpack.ExtType(6, b"abc")),
    raw({}, msgpack.ExtType(7, b"one")),
    raw({}, msgpack.ExtType(99, b"")),
    b"\x92\x80\xc7\x03\xffabc",  # a timestamp of the wrong length
    b"\x81\x90\x01",
    b"\x91" * 5000 + b"\x01",
    b"\xdd\xff\xff\xff\xff",
]


@pytest.mark.parametrize("payload", MALFORMED, ids=lambda payload: payload[:20].hex())
def test_bytes_that_nobody_wrote_are_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        decode_call(payload, TYPES)


def check_any_bytes(data: bytes) -> None:
    decoders: tuple[Callable[[], object], ...] = (
        lambda: decode_call(data, TYPES),
        lambda: decode_object(data, Order, TYPES),
        lambda: decode_object(data, Plain, TYPES),
        lambda: decode_object(data, Point, TYPES),
        lambda: decode_result(data, TYPES),
        lambda: decode_to_show(data),
        lambda: decode_error(data),
    )
    for decode in decoders:
        try:
            decode()
        except PayloadError as error:
            assert str(error)  # noqa: PT017


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    check_any_bytes(data)


@given(VALUES, st.data())
def test_damaged_bytes_are_read_or_refused(value: object, data: st.DataObject) -> None:
    payload = bytearray(encode_call("send", (value,), {"a": value}, TYPES))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    check_any_bytes(bytes(payload))
    check_any_bytes(bytes(payload[: data.draw(st.integers(0, len(payload)))]))


def test_threads_do_not_mix_their_payloads() -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(300):
            kwargs = {"n": number, "text": str(number) * 500, "also": (turn, [number])}
            if decode_call(encode_call("send", (), kwargs, TYPES), TYPES) != ((), kwargs):
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@dataclass
class Meddler:
    """Encodes while it is itself encoded, as a signal handler or finalizer may."""

    inner: bytes

    def __getattribute__(self, name: str) -> Any:
        if name == "inner":
            return encode_call("inner", ((1, 2),), {"a": 1}, TYPES)
        return super().__getattribute__(name)


def test_encoding_inside_of_encoding_leaves_both_whole() -> None:
    types = Types()
    types.add(Meddler)
    payload = encode_call("send", ("before", Meddler(b""), "after"), {"x": 1}, types)
    _, before, (_, name, state), after = msgpack.unpackb(payload)
    assert (before, name, after) == ("before", "Meddler", "after")
    assert decode_call(state["inner"], TYPES) == (((1, 2),), {"a": 1})


def test_showing_needs_no_classes() -> None:
    value = {"order": Order(7, [Item("a")], Colour.BLUE), "may": Access.READ, "at": {Point(1)}}
    shown = repr(decode_to_show(encode_call("send", (value, Text.ONE), {}, TYPES)))
    assert shown == (
        "[{}, {'order': Order(id=7, items=[Item(name='a', price=Decimal('0'))], "
        "colour=Colour.BLUE, total=0), 'may': Access(1), 'at': {Point(x=1, y=0)}}, Text.ONE]"
    )
    assert decode_to_show(b"") is None


def test_errors_come_back() -> None:
    stored = decode_error(encode_error("ValueError", "no", "Traceback\nValueError: no"))
    assert stored == StoredError("ValueError", "no", "Traceback\nValueError: no")


@given(st.text(), st.text(), st.text())
@example("E" * 1000, "\u20ac" * 100_000, "\u20ac" * 100_000)
@example("E", "m", "\udcff" * 10_000)
def test_any_error_can_be_stored(kind: str, message: str, traceback: str) -> None:
    data = encode_error(kind, message, traceback)
    assert len(data) <= ERROR_MAX
    assert all(isinstance(part, str) for part in decode_error(data))


def test_of_a_long_traceback_the_end_is_kept_and_the_cut_is_marked() -> None:
    lines = "".join(f"  line {number}\n" for number in range(10_000)) + "ValueError: the end"
    data = encode_error("ValueError", "x" * 10_000, lines)
    stored = decode_error(data)
    assert ERROR_MAX - 10 <= len(data) <= ERROR_MAX
    assert stored.traceback.startswith("(the beginning is cut)\n... ")
    assert stored.traceback.endswith("line 9999\nValueError: the end")
    assert stored.message == "x" * 2000 + " ... (cut)"


def test_a_file_name_that_is_not_utf8_comes_back() -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    assert there_and_back({name: name}) == {name: name}
