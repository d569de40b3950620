"""Jobs that are retried too often, too seldom, too soon or never."""

from __future__ import annotations

import math
import pickle
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quplog.retry import (
    RETRIES_MAX,
    Backoff,
    BackoffOption,
    Cancel,
    Directive,
    Retry,
    RetryPolicy,
    Snooze,
)


def delays(backoff: BackoffOption, attempts: int) -> list[float | None]:
    policy = RetryPolicy(retries=attempts, backoff=backoff)
    return [policy.decide(n, OSError(), random=lambda: 0.0) for n in range(1, attempts + 1)]


def test_the_default_grows_up_to_its_maximum() -> None:
    assert delays(Backoff(), 8) == [1, 4, 16, 64, 256, 1024, 3600, 3600]


def test_backoff_takes_timedeltas() -> None:
    backoff = Backoff(timedelta(minutes=1), 2, timedelta(minutes=3), 0)
    assert delays(backoff, 3) == [60, 120, 180]


def test_jitter_only_shortens_so_the_maximum_holds() -> None:
    backoff = Backoff(initial=10, maximum=10, jitter=0.5)
    assert backoff.delay(1, lambda: 0.0) == 10
    assert backoff.delay(1, lambda: 0.5) == 7.5


@given(
    st.floats(0, 1e6),
    st.floats(1, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 1),
    st.integers(1, RETRIES_MAX),
    st.floats(0, 1, exclude_max=True),
)
def test_no_attempt_overflows_or_leaves_the_range(  # noqa: PLR0917
    initial: float, factor: float, more: float, jitter: float, attempt: int, random: float
) -> None:
    backoff = Backoff(initial, factor, initial + more, jitter)
    rounding = 0.000_001
    assert 0 <= backoff.delay(attempt, lambda: random) <= initial + more + rounding


def test_no_wait_stays_no_wait_for_ever() -> None:
    assert Backoff(initial=0).delay(RETRIES_MAX) == 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"initial": -1}, ValueError, "initial must not be negative"),
        ({"initial": "1"}, TypeError, "initial must be a timedelta or seconds"),
        ({"maximum": math.inf}, ValueError, "maximum must be a finite number"),
        ({"initial": 5, "maximum": 4}, ValueError, r"maximum \(4\) must not be less than initial"),
        ({"factor": 0.5}, ValueError, "factor must be from 1"),
        ({"factor": math.nan}, ValueError, "factor must be from 1"),
        ({"factor": None}, TypeError, "factor must be a number, not NoneType"),
        ({"jitter": 1.1}, ValueError, "jitter must be from 0 to 1"),
        ({"jitter": True}, TypeError, "jitter must be a number, not bool"),
    ],
)
def test_a_backoff_that_makes_no_sense(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Backoff(**options)


def test_retries_count_the_runs_after_the_first() -> None:
    policy = RetryPolicy(retries=2, backoff=5)
    assert [policy.decide(attempt, OSError()) for attempt in (1, 2, 3, 4)] == [5, 5, None, None]
    assert RetryPolicy(retries=0).decide(1, OSError()) is None


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (5, [5, 5, 5]),
        (timedelta(minutes=1), [60, 60, 60]),
        ([1, timedelta(minutes=1)], [1, 60, 60]),
        ((0.5,), [0.5, 0.5, 0.5]),
        (lambda attempt: attempt * 10, [10, 20, 30]),
        (lambda attempt: timedelta(minutes=attempt), [60, 120, 180]),
    ],
)
def test_every_form_of_backoff(backoff: BackoffOption, waits: list[float]) -> None:
    assert delays(backoff, 3) == waits


def test_only_the_listed_exceptions_are_retried() -> None:
    policy = RetryPolicy(backoff=1, retry_on=(OSError, KeyError), give_up_on=FileNotFoundError)
    assert policy.decide(1, OSError()) == 1
    assert policy.decide(1, ConnectionError()) == 1
    assert policy.decide(1, KeyError()) == 1
    assert policy.decide(1, ValueError()) is None
    assert policy.decide(1, FileNotFoundError()) is None


def test_asking_for_a_retry_overrules_the_lists_but_not_the_count() -> None:
    policy = RetryPolicy(retries=1, backoff=7, retry_on=OSError, give_up_on=Exception)
    assert policy.decide(1, Retry(60)) == 60
    assert policy.decide(1, Retry(0)) == 0
    assert policy.decide(1, Retry()) == 7
    assert policy.decide(2, Retry(60)) is None


def test_a_backoff_function_that_returns_nonsense_is_named() -> None:
    with pytest.raises(ValueError, match="what backoff returns must not be negative"):
        RetryPolicy(backoff=lambda _: -1).decide(1, OSError())


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"retries": -1}, ValueError, "retries must be from 0 to 65,534, not -1"),
        ({"retries": RETRIES_MAX + 1}, ValueError, "retries must be from 0"),
        ({"retries": 2.0}, TypeError, "retries must be a whole number, not float"),
        ({"retries": True}, TypeError, "retries must be a whole number, not bool"),
        ({"backoff": None}, TypeError, "backoff must be a Backoff"),
        ({"backoff": "5"}, TypeError, "backoff must be a Backoff"),
        ({"backoff": Backoff}, TypeError, "backoff must be a Backoff"),
        ({"backoff": True}, TypeError, "backoff must be a timedelta or seconds, not bool"),
        ({"backoff": -1}, ValueError, "backoff must not be negative"),
        ({"backoff": []}, ValueError, "backoff must not be an empty sequence"),
        ({"backoff": [1, "2"]}, TypeError, r"backoff\[1\] must be a timedelta or seconds"),
        ({"retry_on": "OSError"}, TypeError, "retry_on must be an exception type"),
        ({"retry_on": [OSError]}, TypeError, "retry_on must be an exception type"),
        ({"give_up_on": (OSError, 5)}, TypeError, "give_up_on must be an exception type"),
        ({"give_up_on": OSError()}, TypeError, "give_up_on must be an exception type"),
    ],
)
def test_wrong_options_are_named(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        RetryPolicy(**options)


def test_directives_check_their_delay_where_they_are_made() -> None:
    with pytest.raises(ValueError, match="delay must not be negative"):
        Snooze(-1)
    with pytest.raises(TypeError, match="delay must be a timedelta or seconds"):
        Retry("soon")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="reason must be text"):
        Cancel(5)  # type: ignore[arg-type]


def test_directives_can_be_raised_and_hold_seconds() -> None:
    with pytest.raises(Directive) as caught:
        raise Snooze(timedelta(hours=1))
    assert caught.value.delay == 3600  # type: ignore[attr-defined]
    assert (Retry(2, "busy").delay, Retry(2, "busy").reason) == (2, "busy")
    assert Retry().delay is None


@pytest.mark.parametrize("directive", [Retry(2, "busy"), Snooze(1.5), Cancel("withdrawn"), Retry()])
def test_directives_survive_the_way_to_another_process(directive: Directive) -> None:
    copy = pickle.loads(pickle.dumps(directive))  # noqa: S301
    assert (type(copy), vars(copy), str(copy)) == (type(directive), vars(directive), str(directive))
