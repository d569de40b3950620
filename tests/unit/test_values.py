"""Single values that come back as something else."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quplog.values import Code, pack_value, unpack_value

BERLIN = ZoneInfo("Europe/Berlin")

OFFSETS = st.builds(
    timezone,
    st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)),
)
ZONES = st.one_of(st.none(), st.just(UTC), OFFSETS, st.timezones())


def there_and_back(value: object) -> object:
    packed = pack_value(value)
    assert packed is not None
    return unpack_value(*packed)


@given(
    st.one_of(
        st.integers(),
        st.integers(-(2**200), 2**200),
        st.dates(),
        st.timedeltas(),
        st.uuids(),
        st.decimals(allow_nan=False),
    )
)
def test_values_come_back_equal_and_of_the_same_type(value: object) -> None:
    copy = there_and_back(value)
    assert copy == value
    assert type(copy) is type(value)


@given(st.datetimes(timezones=ZONES, allow_imaginary=True), st.sampled_from([0, 1]))
def test_datetimes_keep_wall_time_zone_and_fold(value: datetime, fold: int) -> None:
    value = value.replace(fold=fold)
    copy = there_and_back(value)
    assert isinstance(copy, datetime)
    assert copy.replace(tzinfo=None) == value.replace(tzinfo=None)
    assert (copy.fold, copy.utcoffset()) == (fold, value.utcoffset())
    if isinstance(value.tzinfo, ZoneInfo):
        assert copy.tzinfo is value.tzinfo


@given(st.times(timezones=ZONES), st.sampled_from([0, 1]))
def test_times_keep_zone_and_fold(value: time, fold: int) -> None:
    value = value.replace(fold=fold)
    copy = there_and_back(value)
    assert isinstance(copy, time)
    assert copy.replace(tzinfo=None) == value.replace(tzinfo=None)
    assert (copy.fold, copy.utcoffset()) == (fold, value.utcoffset())
    if isinstance(value.tzinfo, ZoneInfo):
        assert copy.tzinfo is value.tzinfo


def test_a_decimal_keeps_its_digits_and_not_a_number() -> None:
    assert str(there_and_back(Decimal("1.500"))) == "1.500"
    assert str(there_and_back(Decimal("sNaN"))) == "sNaN"
    assert str(there_and_back(Decimal("-0"))) == "-0"
    nan = there_and_back(Decimal("NaN"))
    assert isinstance(nan, Decimal)
    assert math.isnan(nan)


@pytest.mark.parametrize("value", [0, -1, 127, 128, -128, -129, 2**64, -(2**63) - 1, 2**999])
def test_integers_at_the_edges_of_bytes(value: int) -> None:
    assert there_and_back(value) == value


def test_a_zone_whose_rules_have_changed_keeps_the_moment() -> None:
    written_by_old_rules = b"02026-07-01T12:00:00+05:00 Europe/Berlin"
    value = unpack_value(Code.DATETIME, written_by_old_rules)
    assert isinstance(value, datetime)
    assert value == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert value.tzinfo is BERLIN


def test_a_zone_that_is_not_known_here() -> None:
    value = unpack_value(Code.DATETIME, b"02026-07-01T12:00:00+05:00 Europe/Atlantis")
    assert value == datetime(2026, 7, 1, 7, tzinfo=UTC)
    with pytest.raises(LookupError, match="does not know the time zone 'Europe/Atlantis'"):
        unpack_value(Code.TIME, b"012:00:00 Europe/Atlantis")
    assert unpack_value(Code.DATETIME, b"02026-07-01T12:00:00+05:00 ../../etc/passwd") == value


class Nowhere(tzinfo):
    """A zone that cannot tell its offset, as those of other libraries for a bare time."""

    def utcoffset(self, _: datetime | None, /) -> None:
        return None

    dst = tzname = utcoffset


def test_a_zone_that_would_be_lost_is_refused() -> None:
    with pytest.raises(ValueError, match=r"its tzinfo.*would be lost"):
        pack_value(time(12, tzinfo=Nowhere()))


class FakeDatetime(datetime):
    """As a tool that fakes the time hands out."""

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        return f"a format of its own ({sep}, {timespec})"


def test_a_subclass_comes_back_as_the_plain_class() -> None:
    copy = there_and_back(FakeDatetime(2026, 1, 1, tzinfo=UTC))
    assert copy == datetime(2026, 1, 1, tzinfo=UTC)
    assert type(copy) is datetime


@pytest.mark.parametrize("value", ["text", 1.5, None, True, [1], (1,), object(), UUID])
def test_what_is_not_ours_is_left_to_others(value: object) -> None:
    assert pack_value(value) is None


def test_a_newer_kind_of_value_is_said_to_be_newer() -> None:
    with pytest.raises(LookupError, match="newer version of quplog"):
        unpack_value(99, b"")


def test_the_numbers_in_logs_do_not_change() -> None:
    assert [(code.name, code.value) for code in Code if code < Code.TUPLE] == [
        *[("INTEGER", 1), ("DATETIME", 2), ("DATE", 3), ("TIME", 4), ("TIMEDELTA", 5)],
        *[("UUID", 6), ("DECIMAL", 7)],
    ]
    assert [(code.name, code.value) for code in Code if code >= Code.TUPLE] == [
        *[("TUPLE", 16), ("SET", 17), ("FROZENSET", 18), ("ENUM", 19), ("FLAG", 20)],
        ("OBJECT", 21),
    ]
    assert pack_value(date(2026, 1, 2)) == (Code.DATE, b"2026-01-02")
    assert pack_value(2**64) == (Code.INTEGER, b"\x01" + bytes(8))
    assert pack_value(timedelta(1, 2, 3)) == (
        Code.TIMEDELTA,
        b"\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03",
    )
    assert pack_value(datetime(2026, 1, 2, 3, tzinfo=BERLIN)) == (
        Code.DATETIME,
        b"02026-01-02T03:00:00+01:00 Europe/Berlin",
    )
