"""Times that are taken for other times than the user meant."""

from __future__ import annotations

import math
import time
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quplog.clock import LONGEST_US, SECOND_US, SystemClock, datetime_us, from_us, to_us


def test_the_system_clock_is_the_wall_clock() -> None:
    before = time.time()
    now = SystemClock().now_us() / SECOND_US
    assert before - 1 <= now <= time.time() + 1


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (0, 0),
        (-0.0, 0),
        (1, 1_000_000),
        (1.5, 1_500_000),
        (0.000_001, 1),
        (1e-9, 0),
        (timedelta(minutes=5), 300_000_000),
        (timedelta(microseconds=1), 1),
        (timedelta(days=365_250), LONGEST_US),
    ],
)
def test_lengths_of_time(value: timedelta | float, us: int) -> None:
    assert to_us(value, "delay") == us


@pytest.mark.parametrize("value", [-1, -0.5, -1e-12, -(10**400), timedelta(microseconds=-1)])
def test_negative_is_refused(value: timedelta | float) -> None:
    with pytest.raises(ValueError, match="delay must not be negative"):
        to_us(value, "delay")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="timeout must be a finite number"):
        to_us(value, "timeout")


@pytest.mark.parametrize("value", [10**400, 1e308, LONGEST_US, timedelta.max, 365_250 * 86_400 + 1])
def test_overflow_is_refused(value: timedelta | float) -> None:
    with pytest.raises(ValueError, match="delay must be at most 1000 years"):
        to_us(value, "delay")


@pytest.mark.parametrize("value", [True, False, None, "5", [1], 1j])
def test_other_types_are_refused(value: Any) -> None:
    words = f"delay must be a timedelta or seconds, not {type(value).__name__}"
    with pytest.raises(TypeError, match=words):
        to_us(value, "delay")


@given(st.integers(0, LONGEST_US))
def test_a_timedelta_is_exact(us: int) -> None:
    assert to_us(timedelta(microseconds=us), "delay") == us


def test_aware_datetimes_of_any_zone() -> None:
    moment = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    us = 1_774_747_800_000_000
    assert datetime_us(moment, "run_at") == us
    assert datetime_us(moment.astimezone(timezone(timedelta(hours=-5))), "run_at") == us
    assert datetime_us(moment.astimezone(ZoneInfo("Europe/Berlin")), "run_at") == us


def test_both_passes_of_a_repeated_hour_differ() -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    gap = datetime_us(first.replace(fold=1), "run_at") - datetime_us(first, "run_at")
    assert gap == 3600 * SECOND_US


def test_a_naive_datetime_is_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"run_at must be an aware datetime.*datetime.now\(UTC\)"):
        datetime_us(datetime(2026, 1, 1), "run_at")  # noqa: DTZ001


@pytest.mark.parametrize("value", [0, None, "2026-01-01", date(2026, 1, 1)])
def test_what_is_no_datetime_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="run_at must be a datetime"):
        datetime_us(value, "run_at")


def test_before_1970_is_not_taken_for_none() -> None:
    assert datetime_us(datetime(1969, 1, 1, tzinfo=UTC), "since") == 1
    assert datetime_us(datetime(1970, 1, 1, tzinfo=UTC), "since") == 1


def test_zero_is_none() -> None:
    assert from_us(0) is None


@given(st.integers(1, 253_402_300_799_999_999))
def test_there_and_back(us: int) -> None:
    moment = from_us(us)
    assert moment is not None
    assert moment.tzinfo is UTC
    assert datetime_us(moment, "run_at") == us


def test_what_no_datetime_can_hold_does_not_raise() -> None:
    last, first = from_us(2**63 - 1), from_us(-(2**63))
    assert last is not None
    assert last.year == 9999
    assert first is not None
    assert first.year == 1
