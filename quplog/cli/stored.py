"""Stored bytes (arguments, results, errors) for a reader that knows none of the program's classes.

Everything here takes what a log holds, sound or not, and never raises: what cannot be read is said
to be unreadable, and why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from quplog.codec import decode_error, decode_to_show
from quplog.errors import PayloadError

WORDS_MAX = 2000
"""Characters of one value that are shown to a person; JSON has all of it."""
DECIMAL_BITS = 14_000
"""A number of more bits is hexadecimal text: Python writes no decimal of more than 4300 digits."""
_UNSHOWABLE = (PayloadError, RecursionError, ValueError)
"""ValueError: Python's words for a number of too many digits."""


def for_json(data: bytes) -> object:
    """The value as JSON can say it.

    Tuples and sets become lists, bytes hexadecimal text, times ISO 8601, time spans seconds, and
    objects the text of their source.
    """
    try:
        return _json(decode_to_show(data))
    except _UNSHOWABLE as error:
        return {"unreadable": str(error)}


def arguments_for_json(payload: bytes) -> object:
    """A job's payload: {"args": [...], "kwargs": {...}}, or the fields of a task object."""
    value = for_json(payload)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {"args": value[1:], "kwargs": value[0]}
    return value


def in_words(data: bytes) -> str:
    """The value as Python would write it."""
    try:
        return _cut(repr(decode_to_show(data)))
    except _UNSHOWABLE as error:
        return f"unreadable: {error}"


def call_in_words(task: str, payload: bytes) -> str:
    """The call that a payload stores: send(42, to='ann')."""
    try:
        value = decode_to_show(payload)
        if isinstance(value, Mapping):
            value = [value]
        if not (isinstance(value, list) and value and isinstance(value[0], Mapping)):
            return _cut(repr(value))
        words = [repr(argument) for argument in value[1:]]
        words += [f"{name}={argument!r}" for name, argument in value[0].items()]
    except _UNSHOWABLE as error:
        return f"unreadable: {error}"
    return _cut(f"{task}({', '.join(words)})")


def error_in_words(data: bytes) -> str:
    """The text of a stored exception: its traceback, or what there is of it."""
    try:
        error = decode_error(data)
    except PayloadError as failure:
        return f"unreadable: {failure}"
    return error.traceback or f"{error.kind}: {error.message}"


def _json(value: object) -> object:  # noqa: PLR0911 - a table of types
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if value.bit_length() <= DECIMAL_BITS else hex(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return value.hex()
        case Mapping():
            return {
                key if isinstance(key, str) else repr(key): _json(item)
                for key, item in value.items()
            }
        case list() | tuple():
            return [_json(item) for item in value]
        case set() | frozenset():
            return sorted((_json(item) for item in value), key=repr)
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case _:
            return str(value)


def _cut(words: str) -> str:
    if len(words) <= WORDS_MAX:
        return words
    return f"{words[:WORDS_MAX]} ... ({len(words)} characters)"
