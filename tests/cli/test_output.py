"""The pieces that output is made of."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from quplog.cli.output import moment, size, write_json
from quplog.cli.stored import (
    WORDS_MAX,
    arguments_for_json,
    call_in_words,
    error_in_words,
    for_json,
    in_words,
)
from quplog.codec import encode_call, encode_result
from quplog.known_types import Types
from quplog.printable import plain


def test_every_character_that_is_not_printable_is_escaped() -> None:
    for code in [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x200E, 0x202E, 0x2028, 0xD800, 0xE0001]:
        shown = plain(f"a{chr(code)}b")
        assert shown.isascii(), hex(code)
        assert shown.isprintable(), hex(code)
        assert shown.startswith("a\\")
    assert plain("Grüße, 世界 🎉") == "Grüße, 世界 🎉"


def test_times_are_iso_8601_and_never_fail() -> None:
    assert moment(0) is None
    assert moment(1) == "1970-01-01T00:00:00.000001+00:00"
    assert moment(2**63 - 1) == f"{2**63 - 1} us"
    assert moment(-(2**63)) == f"{-(2**63)} us"


def test_sizes_have_units() -> None:
    assert [size(n) for n in (0, 1023, 1024, 1 << 20, 1 << 50)] == [
        *("0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1024.0 TiB")
    ]


def test_json_is_ascii_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"words": "\x1b\x7f\x9bü\ud800"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x7f" not in out
    assert json.loads(out) == {"words": "\x1b\x7f\x9bü\ud800"}


def result(value: object) -> bytes:
    return encode_result(value, Types())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (12**40, 12**40),
        (math.inf, "inf"),
        (b"\x00\xff", "00ff"),
        ((1, [2]), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        ({1: "one"}, {"1": "one"}),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(minutes=1), 60.0),
        (Decimal("1.50"), "1.50"),
        (UUID(int=7), str(UUID(int=7))),
    ],
)
def test_every_stored_value_has_a_place_in_json(value: object, shown: object) -> None:
    assert for_json(result(value)) == shown
    json.dumps(for_json(result(value)), allow_nan=False)


def test_calls_read_like_source() -> None:
    payload = encode_call("send", (42,), {"to": "ann"}, Types())
    assert call_in_words("send", payload) == "send(42, to='ann')"
    assert arguments_for_json(payload) == {"args": [42], "kwargs": {"to": "ann"}}


def test_long_values_are_cut_for_people_only() -> None:
    long = result("x" * 100_000)
    assert len(in_words(long)) < WORDS_MAX + 100
    assert for_json(long) == "x" * 100_000


@pytest.mark.parametrize("data", [b"\xc1", b"\xff" * 9, b"\x91" * 5000, b"\xd4\x10\x00", b"x"])
def test_bytes_that_nobody_wrote_are_shown_as_unreadable(data: bytes) -> None:
    json.dumps(for_json(data))
    assert isinstance(in_words(data), str)
    assert isinstance(call_in_words("task", data), str)
    assert isinstance(error_in_words(data), str)
