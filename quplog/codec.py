"""Arguments, results and errors <-> bytes.

The bytes are msgpack. What goes in comes out as the same type and value, or is refused before
anything is written, with a `PayloadError` that names the argument:

    None, bool, int of any size, float, str, bytes       list, dict, tuple, set, frozenset
    datetime, date, time, timedelta, UUID, Decimal       Enum members
    dataclasses, named tuples, objects of classes made known by `jq.types(...)`

There is no pickle, and no name found in bytes is ever imported: a class is restored only if this
program has put it into `Types`. Objects are restored by their fields, without a call of __init__.
A field that the class has gained since takes its default, one that it has lost is left out.

How it is written: a call is the array [keyword arguments, first argument, ...], an object a map of
its fields. What msgpack has itself is written as such. Other single values are extension types
(values.py), and whatever holds other values is an array that begins with an empty extension, its
mark: [TUPLE, 1, 2] is (1, 2). So nothing is packed inside of packed bytes, and plain calls, nearly
all, need one call of the packer or unpacker; only if it meets a mark does the decoder begin again
with a look at every array. bytearray and memoryview come back as bytes.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum, Flag
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, TypeGuard, TypeVar, cast

from msgpack import ExtType, Packer, unpackb
from msgpack.exceptions import UnpackException

from quplog.errors import PayloadError
from quplog.known_types import Types, is_named_tuple, is_restorable
from quplog.printable import plain
from quplog.values import Code, pack_value, unpack_value

__all__ = [
    "ERROR_MAX",
    "PAYLOAD_MAX",
    "StoredError",
    "Types",
    "Unknown",
    "decode_call",
    "decode_error",
    "decode_object",
    "decode_result",
    "decode_to_show",
    "encode_call",
    "encode_error",
    "encode_object",
    "encode_result",
]

T = TypeVar("T")

PAYLOAD_MAX: Final = 4 * 1024 * 1024
"""The most bytes that one payload or result can have."""

ERROR_MAX: Final = 16 * 1024
"""The most bytes that one error is stored in."""


class StoredError(NamedTuple):
    """An exception as it is kept with a job: the name of its type, its text, its traceback."""

    kind: str
    message: str
    traceback: str


_KIND_MAX: Final = 200
_MESSAGE_MAX: Final = 2000
_DAMAGED: Final = "the stored bytes are not what quplog writes for this: they are damaged"

# What the packer of plain values raises for all others,
_NOT_PLAIN: Final = (TypeError, ValueError, OverflowError, RecursionError)
# what packing any value can raise, if it is of the wrong kind or changes meanwhile,
_UNPACKABLE: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
# and what reading bytes can raise that nobody wrote.
_UNREADABLE: Final = (*_UNPACKABLE, UnpackException, struct.error)

# ---- calls, objects, results and errors -----------------------------------------------------


class _Packers(threading.local):
    """A packer for each thread, for plain values: it calls no Python code that could enter it."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Give back the memory that the largest value has taken."""
        self.pack: Callable[[object], bytes] = Packer(strict_types=True).pack


_packers = _Packers()


def encode_call(
    task: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    types: Types,
    names: Sequence[str] = (),
) -> bytes:
    """Return the bytes of a call of `task`; `names` are its positional parameters, for errors.

    Raises PayloadError, which names the argument.

    >>> decode_call(encode_call("send", (1,), {"to": ("a", "b")}, Types()), Types())
    ((1,), {'to': ('a', 'b')})
    """
    call = [kwargs, *args]
    try:
        payload = _packers.pack(call)
    except _NOT_PLAIN:
        payload = _encode(call, types, f"{task}: argument", partial(_named, args, kwargs, names))
    if len(payload) > PAYLOAD_MAX:
        _refuse_size(payload, f"the arguments of {task}")
    return payload


def _named(
    args: tuple[Any, ...], kwargs: dict[str, Any], names: Sequence[str]
) -> Iterator[tuple[str, object]]:
    for number, value in enumerate(args):
        yield names[number] if number < len(names) else f"number {number + 1}", value
    yield from kwargs.items()


def decode_call(payload: bytes, types: Types) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and the keyword arguments of a call. Raises PayloadError."""
    call = _decode(payload, types)
    if type(call) is list and call and _is_state(call[0]):
        return tuple(call[1:]), call[0]
    raise PayloadError(_DAMAGED)


def encode_object(value: object, types: Types) -> bytes:
    """Return the bytes of a task that is an object: its fields.

    Raises PayloadError, which names the field.
    """
    task, state = type(value).__name__, _state(value)
    payload = _encode(state, types, f"{task}: field", state.items)
    if len(payload) > PAYLOAD_MAX:
        _refuse_size(payload, f"the fields of {task}")
    return payload


def decode_object(payload: bytes, cls: type[T], types: Types) -> T:
    """Return an object of `cls` with the stored fields; no __init__ is called.

    Raises PayloadError.
    """
    state = _decode(payload, types)
    try:
        return _restore(cls, state)
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def encode_result(value: object, types: Types) -> bytes:
    """Return the bytes of what a task returned: none at all for None.

    Raises PayloadError, which names the place in it that cannot be stored.
    """
    if value is None:
        return b""
    try:
        payload = _packers.pack(value)
    except _NOT_PLAIN:
        payload = _encode(value, types, "the task's", lambda: [("result", value)])
    if len(payload) > PAYLOAD_MAX:
        _refuse_size(payload, "what the task returned")
    return payload


def decode_result(data: bytes, types: Types) -> object:
    """Return what the task returned. Raises PayloadError."""
    return _decode(data, types) if data else None


def decode_to_show(data: bytes) -> object:
    """Return a payload or result for a person to read, with `Unknown` in the place of classes.

    For tools that do not know the program: repr() of the value reads like the source. A call is
    the list [keyword arguments, first argument, ...]. Raises PayloadError.
    """
    return _decode(data, None) if data else None


def encode_error(kind: str, message: str, traceback: str) -> bytes:
    """Return the bytes of an exception: its type's name, its text and its traceback.

    It never fails and never takes more than ERROR_MAX bytes: a long message loses its end, a long
    traceback its beginning, since the end tells what happened; both say so.
    """
    kind = _clean(kind)[:_KIND_MAX].decode("utf-8", "ignore")
    text = _clean(message)
    if len(text) > _MESSAGE_MAX:
        text = text[:_MESSAGE_MAX] + b" ... (cut)"
    message = text.decode("utf-8", "ignore")
    lines = _clean(traceback)
    room = ERROR_MAX - len(_packers.pack([kind, message, ""])) - 4  # a longer length prefix
    if len(lines) > room:
        note = b"(the beginning is cut)\n... "
        lines = note + lines[len(note) - room :]
    return _packers.pack([kind, message, lines.decode("utf-8", "ignore")])


def decode_error(data: bytes) -> StoredError:
    """Return the stored exception. Raises PayloadError."""
    error = _decode(data, None)
    if type(error) is list and [type(part) for part in error] == [str, str, str]:
        return StoredError(*error)
    raise PayloadError(_DAMAGED)


def _clean(text: str) -> bytes:
    """UTF-8, whatever the text holds: a lone surrogate becomes its escape."""
    return text.encode("utf-8", "backslashreplace")


def _is_state(value: object) -> TypeGuard[dict[str, Any]]:
    if type(value) is not dict:
        return False
    for name in value:  # noqa: SIM110 - all() takes three times as long, in each call
        if type(name) is not str:
            return False
    return True


def _refuse_size(payload: bytes, what: str) -> NoReturn:
    _packers.renew()
    message = (
        f"{what} would take {len(payload):,} bytes, and at most {PAYLOAD_MAX:,} (4 MiB) can be "
        "stored: keep the data elsewhere and store where it is"
    )
    raise PayloadError(message)


# ---- encoding -------------------------------------------------------------------------------

_MARKS: Final = {code: ExtType(code, b"") for code in Code if code >= Code.TUPLE}
_HOLDERS: Final[dict[type, Code]] = {tuple: Code.TUPLE, set: Code.SET, frozenset: Code.FROZENSET}
_BUILT_IN: Final = (bool, int, float, str, bytes, list, dict, tuple, set, frozenset)
_PATH_MAX: Final = 50
_TOO_DEEP: Final = "contains itself, or is nested too deeply"


class _RefusedError(ValueError):
    """A value is of a kind that is not stored; the text goes on where its name ends."""


def _encode(
    value: object, types: Types, what: str, parts: Callable[[], Iterable[tuple[str, object]]]
) -> bytes:
    """Pack any value. `parts` are its parts as the user calls them: to name the one that fails."""
    try:
        return _pack(value, types)
    except _UNPACKABLE as error:
        place = _find_failure(list(parts()), types)
        if place is None:  # too deep by just the level that holds the parts
            message = f"{what}s cannot be stored: {error}"
            raise PayloadError(message) from error
        path, reason = place
        message = f"{what} '{'.'.join(path)}' {reason}"
        raise PayloadError(message) from error


def _pack(value: object, types: Types) -> bytes:
    packer = Packer(
        default=partial(_unfold, types=types),
        strict_types=True,
        buf_size=1024,  # to begin with: the default takes longer to get than most values to pack
        unicode_errors="surrogatepass",  # file names that are not UTF-8 have lone surrogates
    )
    return cast("bytes", packer.pack(value))


def _unfold(value: object, types: Types) -> object:
    """Say in msgpack's own types a value that it does not know. It packs what is in it itself."""
    single = pack_value(value)
    if single is not None:
        return ExtType(*single)
    cls = type(value)
    holder = _HOLDERS.get(cls)
    if holder is not None:
        return [_MARKS[holder], *value]  # type: ignore[misc]  # it is one of the three
    name = types.name_of(cls)
    if name is None:
        raise _RefusedError(_why_not(cls))
    if isinstance(value, Flag):
        return [_MARKS[Code.FLAG], name, value.value]
    if isinstance(value, Enum):
        return [_MARKS[Code.ENUM], name, value.name]
    return [_MARKS[Code.OBJECT], name, _state(value)]


def _state(value: Any) -> dict[str, Any]:  # noqa: ANN401 - an object of any class
    """Return the fields of an object and their values; those that are not set are left out."""
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    if is_named_tuple(type(value)):
        return dict(zip(value._fields, value, strict=True))
    state = object.__getstate__(value)  # vars(), also of __slots__
    if isinstance(state, tuple):
        return {**(state[0] or {}), **state[1]}
    return dict(state) if isinstance(state, dict) else {}


def _why_not(cls: type) -> str:
    name = cls.__qualname__
    if is_restorable(cls) and cls.__module__ != "builtins":
        return (
            f"is of the class {name}, which is not known here: make it known with "
            f"jq.types({cls.__name__}), or pass plain data"
        )
    for base in _BUILT_IN:
        if issubclass(cls, base):
            return (
                f"is of type {name}, which would come back as a plain {base.__name__}: "
                f"pass {base.__name__}(...) of it"
            )
    return f"is of type {name}, which cannot be stored: pass the plain data that it is made from"


def _failure(value: object, types: Types) -> str | None:
    """Return why a value cannot be packed; None if it can."""
    try:
        _pack(value, types)
    except _RefusedError as error:
        return str(error)
    except _UNPACKABLE as error:
        deep = isinstance(error, RecursionError) or "recursion" in str(error)
        return _TOO_DEEP if deep else f"cannot be stored ({error})"
    return None


def _find_failure(parts: list[tuple[str, object]], types: Types) -> tuple[list[str], str] | None:
    """Return the path to the smallest thing in `parts` that cannot be packed, and why it cannot.

    Of a container that is too deep, or holds itself, the container is what is named.
    """
    path: list[str] = []
    found = None
    while parts and len(path) < _PATH_MAX:
        while len(parts) > 1:  # halve it: packing is fast, and there may be a million
            half = parts[: len(parts) // 2]
            bad = _failure([part for _, part in half], types)
            parts = half if bad else parts[len(half) :]
        label, part = parts[0]
        reason = _failure([part], types)
        if reason is None:
            break
        path.append(label)
        found = path, reason
        parts = [] if reason == _TOO_DEEP else list(_parts(part, types))
    return found


def _parts(value: object, types: Types) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            label = _label(key)
            yield label, item
            yield f"{label} (a key)", key
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((str(number), item) for number, item in enumerate(value))
    elif types.name_of(type(value)) is not None and not isinstance(value, Enum):
        yield from _state(value).items()


def _label(key: object) -> str:
    if isinstance(key, str):
        return key[:60]
    if isinstance(key, int) and abs(key) < 2**63:  # str() raises for a very long one
        return str(key)
    return type(key).__name__


# ---- decoding -------------------------------------------------------------------------------


class _MarkMetError(Exception):
    """The bytes hold a mark, so arrays have to be looked at."""


class Unknown:
    """What stands for an object, or an Enum's member, whose class was not looked for.

    repr() of it reads like the source: Order(id=7), Colour.RED.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        """Read like the source of the value."""
        return self._text


def _decode(data: bytes, types: Types | None) -> Any:  # noqa: ANN401 - whatever was encoded
    """Return the value. Without `types`, `Unknown` stands for what is of a class."""
    try:
        try:
            return unpackb(
                data,
                ext_hook=_unpack_single,
                strict_map_key=False,
                unicode_errors="surrogatepass",
            )
        except _MarkMetError:
            unfolder = _Unfolder(types)
            value = unpackb(
                data,
                ext_hook=unfolder.extension,
                list_hook=unfolder.array,
                strict_map_key=False,
                unicode_errors="surrogatepass",
            )
        if unfolder.open_marks:
            raise PayloadError(_DAMAGED)
    except _UNREADABLE as error:
        raise _unreadable(error) from error
    return value


def _unreadable(error: Exception) -> PayloadError:
    reason = plain(str(error)) or type(error).__name__
    return PayloadError(f"the stored bytes cannot be read: {reason}")


def _unpack_single(code: int, data: bytes) -> object:
    if code in _MARKS:
        raise _MarkMetError
    return unpack_value(code, data)


class _Unfolder:
    """Undoes `_unfold` while bytes are read: the hooks for extensions and for arrays."""

    def __init__(self, types: Types | None) -> None:
        self._types = types
        self.open_marks = 0
        """Marks that were met and did not begin an array (yet)."""

    def extension(self, code: int, data: bytes) -> object:
        if code not in _MARKS:
            return unpack_value(code, data)
        self.open_marks += 1
        return Code(code)

    def array(self, items: list[Any]) -> object:
        mark = items[0] if items else None
        if type(mark) is not Code:  # no stored value is of that class
            return items
        self.open_marks -= 1
        match mark:
            case Code.TUPLE:
                return tuple(items[1:])
            case Code.SET:
                return set(items[1:])
            case Code.FROZENSET:
                return frozenset(items[1:])
        _, name, state = items
        if self._types is None:
            return _to_show(mark, name, state)
        cls = self._types.get(name)
        if cls is None:
            short = name.rpartition(".")[2]
            message = (
                f"the class {plain(name)} of a stored value is not known here: "
                f"make it known with jq.types({plain(short)}) before the job runs"
            )
            raise PayloadError(message)
        return _restore(cls, state) if mark is Code.OBJECT else _member(cls, mark, state)


def _to_show(mark: Code, name: str, state: Any) -> Unknown:  # noqa: ANN401 - as stored
    if mark is Code.ENUM:
        return Unknown(f"{name}.{state}")
    if mark is Code.FLAG:
        return Unknown(f"{name}({state})")
    return Unknown(f"{name}({', '.join(f'{field}={value!r}' for field, value in state.items())})")


def _member(cls: type, mark: Code, state: Any) -> object:  # noqa: ANN401 - a name or a value
    if mark is Code.FLAG and issubclass(cls, Flag):
        flags = cls(state)
        if flags.value != state:  # early releases of Python 3.11 drop bits that they do not know
            raise PayloadError(_DAMAGED)
        return flags
    member = cls.__members__.get(state) if issubclass(cls, Enum) else None
    if member is None:
        message = f"the Enum {cls.__qualname__} has no member {plain(str(state))} any more"
        raise PayloadError(message)
    return member


def _restore(cls: type[T], state: object) -> T:
    """Make an object from its fields, without __init__."""
    if not _is_state(state) or issubclass(cls, Enum):
        raise PayloadError(_DAMAGED)
    if is_named_tuple(cls):
        return cast("T", _restore_named_tuple(cls, state))
    made = object.__new__(cls)
    for name, value in (_fitted(cls, state) if is_dataclass(cls) else state).items():
        object.__setattr__(made, name, value)  # a frozen dataclass refuses its own way
    return made


def _restore_named_tuple(cls: Any, state: dict[str, Any]) -> Any:  # noqa: ANN401 - any such class
    state = {**cls._field_defaults, **state}
    for name in cls._fields:
        if name not in state:
            raise _lacks(cls, name)
    return cls._make(state[name] for name in cls._fields)


def _fitted(cls: Any, state: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """Return the fields that the dataclass has today: stored, or by default."""
    fitted = {}
    for field in fields(cls):
        if field.name in state:
            fitted[field.name] = state[field.name]
        elif field.default is not MISSING:
            fitted[field.name] = field.default
        elif field.default_factory is not MISSING:
            fitted[field.name] = field.default_factory()
        elif field.init:
            raise _lacks(cls, field.name)
    return fitted


def _lacks(cls: type, name: str) -> PayloadError:
    return PayloadError(
        f"a stored {cls.__qualname__} has no {name}: if the class has gained that field since, "
        "give it a default"
    )
