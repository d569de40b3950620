"""The judge of the soak finds what grows without end, and nothing in what goes up and down."""

from __future__ import annotations

import random
from itertools import pairwise
from math import inf

import pytest
from bounded import ENOUGH, Limit, Point, second_half, slope, unbounded

MIB = 1 << 20
LIMIT = Limit(4 * MIB, 0.05, 200 * MIB)


def series(value: object, seconds: int = 900) -> list[Point]:
    """A measurement each second; `value` is a function of the time."""
    assert callable(value)
    return [Point(float(at), float(value(at))) for at in range(seconds)]


def test_what_stands_still_is_bounded() -> None:
    assert unbounded("memory", series(lambda _: 50 * MIB), LIMIT) == []


def test_a_leak_is_found() -> None:
    (said,) = unbounded("memory", series(lambda at: 50 * MIB + 20_000 * at), LIMIT)
    assert said.startswith("memory grew by 8,980,000 in 449 s")


def test_a_leak_below_noise_and_teeth_is_found() -> None:
    chance = random.Random(1)  # noqa: S311  # nobody attacks this test

    def saw(at: int) -> float:
        return 50 * MIB + 20_000 * at + 8 * MIB * (at % 60) / 60 + chance.uniform(-2, 2) * MIB

    assert unbounded("memory", series(saw), LIMIT)


def test_noise_teeth_and_an_outlier_are_no_leak() -> None:
    for seed in range(20):
        chance = random.Random(seed)  # noqa: S311  # as above

        def saw(at: int, chance: random.Random = chance) -> float:
            outlier = 90 * MIB if at == 880 else 0
            return 50 * MIB + 8 * MIB * (at % 60) / 60 + chance.uniform(-2, 2) * MIB + outlier

        assert unbounded("memory", series(saw), LIMIT) == []


def test_what_fills_in_the_first_half_is_no_leak() -> None:
    assert unbounded("memory", series(lambda at: min(at, 300) * MIB / 4), LIMIT) == []


def test_a_height_that_is_reached_once_is_found() -> None:
    (said,) = unbounded("memory", series(lambda at: (300 if at == 700 else 50) * MIB), LIMIT)
    assert "at most 209,715,200 is allowed" in said


def test_a_share_of_what_there_is_is_allowed() -> None:
    steps = series(lambda at: 1000 + at / 10)
    assert unbounded("disk", steps, Limit(10)) != []
    assert unbounded("disk", steps, Limit(10, share=0.1)) == []


def test_one_more_descriptor_in_30_seconds_is_found() -> None:
    leak = series(lambda at: 20 + at // 30)
    assert unbounded("descriptors", leak, Limit(4, 0.25, 100))


@pytest.mark.parametrize("count", range(ENOUGH))
def test_too_few_measurements_are_told(count: int) -> None:
    (said,) = unbounded("memory", series(lambda _: 1, count), LIMIT)
    assert "too few" in said


def test_without_a_limit_of_growth_only_the_ceiling_counts() -> None:
    leak = series(lambda at: at * MIB)
    assert unbounded("memory", leak, Limit(inf)) == []
    assert unbounded("memory", [], Limit(inf, ceiling=1)) == []
    assert len(unbounded("memory", leak, Limit(inf, ceiling=1))) == 1


def test_the_slope_is_that_of_most_pairs() -> None:
    assert slope(series(lambda at: 3 * at)) == 3
    assert slope(series(lambda at: -1e9 if at == 5 else 3 * at)) == pytest.approx(3, rel=0.01)
    assert slope([]) == slope([Point(1.0, 2.0)]) == 0
    half = second_half(series(lambda at: at))
    assert half[0].at >= 449.5
    assert all(one.at < other.at for one, other in pairwise(half))
