"""Time: the clock that is asked for it, and the one way in which people's times become numbers.

Inside quplog a time is a whole number of microseconds since 1970-01-01 UTC (0: none), a length of
time a whole number of microseconds. What users pass (a timedelta, seconds, an aware datetime) is
checked and turned into that here, at the door, with errors that name the option.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND_US = 1_000_000

# A thousand years: added to any time of today it is still a date, and fits into 63 bits.
LONGEST_US = 365_250 * 86_400 * SECOND_US
_TOO_LONG = LONGEST_US // SECOND_US + 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time. Tests put their own in its place."""

    def now_us(self) -> int:
        """Return the present, in microseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The wall clock of the machine."""

    def now_us(self) -> int:
        """Return the present, in microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000


def to_us(value: timedelta | float, option: str) -> int:
    """Turn a length of time, a timedelta or seconds, into microseconds (rounded to the nearest).

    `option` is what the user called it. Raises TypeError for anything else (True and False too),
    ValueError if it is negative, not finite, or longer than a thousand years.

    >>> to_us(1.5, "delay"), to_us(timedelta(minutes=5), "delay")
    (1500000, 300000000)
    """
    if isinstance(value, timedelta):
        length = value // _MICROSECOND
    elif isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{option} must be a timedelta or seconds, not {type(value).__name__}"
        raise TypeError(message)
    elif isinstance(value, float) and not math.isfinite(value):
        message = f"{option} must be a finite number of seconds, not {value}"
        raise ValueError(message)
    elif value < 0:
        length = -1
    else:
        length = round(min(value, _TOO_LONG) * SECOND_US)
    if length < 0:
        message = f"{option} must not be negative, and is {value}"
        raise ValueError(message)
    if length > LONGEST_US:
        message = f"{option} must be at most 1000 years"
        raise ValueError(message)
    return length


def monotonic_us() -> int:
    """The time on the clock that no one sets: for measuring, and for the deadlines of waits."""
    return time.monotonic_ns() // 1000


def deadline_after(timeout: timedelta | float, option: str) -> int:
    """When a wait of this length ends, on the monotonic clock. Errors as for `to_us`."""
    return monotonic_us() + to_us(timeout, option)


def datetime_us(value: datetime, option: str) -> int:
    """Turn an aware datetime into microseconds since 1970-01-01 UTC.

    Earlier than that counts as the first microsecond after it, since 0 means "none". `option` is
    what the user called it. Raises TypeError if it is no datetime, ValueError if it is naive.

    >>> datetime_us(datetime(1970, 1, 2, tzinfo=UTC), "run_at")
    86400000000
    """
    if not isinstance(value, datetime):
        message = f"{option} must be a datetime, not {type(value).__name__}"
        raise TypeError(message)
    if value.utcoffset() is None:
        message = (
            f"{option} must be an aware datetime, and {value} has no time zone: "
            f"use datetime.now(UTC), or {option}.astimezone() for this machine's local time"
        )
        raise ValueError(message)
    return max(1, (value - _EPOCH) // _MICROSECOND)


def from_us(us: int) -> datetime | None:
    """Turn microseconds since 1970-01-01 UTC into an aware UTC datetime; None for 0 ("none").

    Never raises: what lies behind the last datetime (year 9999) is given as the last.

    >>> from_us(86_400_000_000)
    datetime.datetime(1970, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if us == 0:
        return None
    try:
        return _EPOCH + timedelta(microseconds=us)
    except OverflowError:
        return _LAST if us > 0 else _FIRST
