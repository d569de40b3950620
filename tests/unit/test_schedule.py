"""Runs of a schedule that are lost, doubled or drift off the grid."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quplog.errors import UnsupportedFormat
from quplog.schedule import PERIOD_MIN_US, RUNS_MAX, Every, Missed, Tick, from_wire

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

RULES = st.builds(
    Every,
    st.integers(PERIOD_MIN_US, DAY),
    st.sampled_from(["once", "all", "skip"]),
    st.integers(0, PERIOD_MIN_US),
)


def test_the_first_run_is_after_one_period_or_now() -> None:
    assert Every(HOUR).first(5 * HOUR + 7) == 6 * HOUR + 7
    assert Every(HOUR).first(5 * HOUR + 7, start_now=True) == 5 * HOUR + 7


@pytest.mark.parametrize("missed", ["once", "all", "skip"])
def test_in_time_each_policy_runs_once(missed: Missed) -> None:
    rule = Every(HOUR, missed)
    assert rule.tick(10 * HOUR, 10 * HOUR) == Tick((10 * HOUR,), 11 * HOUR)
    assert rule.tick(10 * HOUR, 10 * HOUR + SECOND) == Tick((10 * HOUR,), 11 * HOUR)


@pytest.mark.parametrize("missed", ["once", "all", "skip"])
def test_too_early_nothing_happens(missed: Missed) -> None:
    assert Every(HOUR, missed).tick(10 * HOUR, 10 * HOUR - 1) == Tick((), 10 * HOUR)


def test_once_makes_one_run_of_all_that_were_missed() -> None:
    assert Every(HOUR).tick(10 * HOUR, 14 * HOUR + 1) == Tick((14 * HOUR,), 15 * HOUR)


def test_all_makes_up_for_each() -> None:
    tick = Every(HOUR, "all").tick(10 * HOUR, 13 * HOUR)
    assert tick == Tick((10 * HOUR, 11 * HOUR, 12 * HOUR, 13 * HOUR), 14 * HOUR)


def test_skip_makes_up_for_nothing() -> None:
    rule = Every(HOUR, "skip")
    assert rule.tick(10 * HOUR, 13 * HOUR + 30 * MINUTE) == Tick((), 14 * HOUR)
    assert rule.tick(10 * HOUR, 10 * HOUR + 30 * MINUTE) == Tick((), 11 * HOUR)


def test_skip_runs_what_is_due_just_now_after_a_long_outage() -> None:
    assert Every(HOUR, "skip").tick(10 * HOUR, 13 * HOUR + SECOND) == Tick((13 * HOUR,), 14 * HOUR)


@pytest.mark.parametrize(
    ("period", "late"),
    [(5 * SECOND, SECOND), (MINUTE, 6 * SECOND), (DAY, MINUTE)],
)
def test_skip_forgives_a_busy_machine_and_no_outage(period: int, late: int) -> None:
    rule = Every(period, "skip")
    assert rule.tick(period, period + late).runs == (period,)
    assert rule.tick(period, period + late + 1).runs == ()


def test_a_long_outage_is_made_up_for_in_several_ticks() -> None:
    rule, runs, next_us, ticks = Every(SECOND, "all"), list[int](), SECOND, 0
    while next_us <= 2500 * SECOND:
        tick = rule.tick(next_us, 2500 * SECOND)
        assert 0 < len(tick.runs) <= RUNS_MAX
        runs += tick.runs
        next_us, ticks = tick.next_us, ticks + 1
    assert ticks == 3
    assert runs == [n * SECOND for n in range(1, 2501)]
    assert next_us == 2501 * SECOND


@given(RULES, st.integers(0, 10 * DAY), st.integers(0, 10 * DAY))
def test_ticks_stay_on_the_grid_and_go_on(rule: Every, next_us: int, late_us: int) -> None:
    now_us = next_us + late_us
    tick = rule.tick(next_us, now_us)
    assert tick.next_us > next_us
    assert (tick.next_us - next_us) % rule.period_us == 0
    assert tick.next_us > now_us or len(tick.runs) == RUNS_MAX
    assert len(tick.runs) <= (RUNS_MAX if rule.missed == "all" else 1)
    assert all(next_us <= run <= now_us + rule.jitter_us for run in tick.runs)


@given(st.integers(PERIOD_MIN_US, DAY), st.lists(st.integers(1, 2 * DAY), max_size=20))
def test_all_loses_and_doubles_nothing_however_late_the_ticks(
    period: int, steps: list[int]
) -> None:
    rule, next_us, now_us, runs = Every(period, "all"), period, 0, list[int]()
    for step in steps:
        now_us += step
        tick = rule.tick(next_us, now_us)
        runs += tick.runs
        next_us = tick.next_us
    assert runs == [period * n for n in range(1, len(runs) + 1)]
    assert next_us == period * (len(runs) + 1)


def test_jitter_moves_the_run_and_not_the_grid() -> None:
    rule = Every(HOUR, jitter_us=MINUTE)
    assert rule.tick(10 * HOUR, 10 * HOUR, lambda: 0.5) == Tick(
        (10 * HOUR + 30 * SECOND,), 11 * HOUR
    )


def test_jitter_differs_from_run_to_run() -> None:
    numbers = iter([0.0, 0.5])
    tick = Every(HOUR, "all", HOUR).tick(HOUR, 2 * HOUR, lambda: next(numbers))
    assert tick.runs == (HOUR, 2 * HOUR + 30 * MINUTE)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"period_us": 0}, ValueError, "at least 1 ms"),
        ({"period_us": -HOUR}, ValueError, "at least 1 ms"),
        ({"period_us": 1.5}, TypeError, "period_us must be a whole number, not float"),
        ({"period_us": True}, TypeError, "period_us must be a whole number, not bool"),
        ({"period_us": 365_251 * DAY}, ValueError, "at most 1000 years"),
        ({"period_us": HOUR, "jitter_us": -1}, ValueError, "jitter of a schedule"),
        ({"period_us": HOUR, "jitter_us": HOUR + 1}, ValueError, "jitter of a schedule"),
        ({"period_us": HOUR, "missed": "twice"}, ValueError, "missed must be"),
        ({"period_us": HOUR, "missed": None}, ValueError, "missed must be"),
    ],
)
def test_a_rule_that_makes_no_sense(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Every(**options)


@given(RULES)
def test_the_wire_form_is_plain_and_gives_the_same_rule(rule: Every) -> None:
    wire = rule.to_wire()
    assert all(type(value) in (str, int) for value in wire.values())
    assert from_wire(wire) == rule


def test_another_rule_is_another_rule() -> None:
    rules = [Every(HOUR), Every(DAY), Every(HOUR, "all"), Every(HOUR, jitter_us=1)]
    assert len({str(rule.to_wire()) for rule in rules}) == len(set(rules)) == len(rules)


def test_what_is_left_of_too_many_runs_is_due_at_once() -> None:
    tick = Every(HOUR, "all").tick(10 * HOUR, 19 * HOUR, most=3)
    assert tick == Tick((10 * HOUR, 11 * HOUR, 12 * HOUR), 13 * HOUR)


@pytest.mark.parametrize(
    "wire",
    [
        {},
        {"kind": "cron", "expression": "0 9 * * *"},
        {"kind": ["every"]},
        {"kind": "every"},
        {"kind": "every", "period_us": HOUR, "until_us": DAY},
        {"kind": "every", "period_us": HOUR, "missed": "latest"},
        {"kind": "every", "period_us": "hour"},
        {"kind": "every", "period_us": HOUR, 5: 6},
        {"kind": "every", "period_us": 1 << 63},
        ["every"],
    ],
)
def test_a_rule_of_a_newer_version_is_refused_and_not_guessed(wire: dict[str, object]) -> None:
    with pytest.raises(UnsupportedFormat, match="update"):
        from_wire(wire)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Every(HOUR), "every 1 hour"),
        (Every(2 * DAY), "every 2 days"),
        (Every(90 * MINUTE), "every 90 minutes"),
        (Every(90 * SECOND), "every 90 seconds"),
        (Every(SECOND), "every 1 second"),
        (Every(1_500_000), "every 1.5 seconds"),
        (Every(1_234_567_891), "every 1234.567891 seconds"),
        (Every(HOUR, "all", MINUTE), "every 1 hour, jitter 1 minute, missed: all"),
    ],
)
def test_rules_read_well(rule: Every, words: str) -> None:
    assert str(rule) == words
