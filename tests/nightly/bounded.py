"""Whether what was measured again and again is bounded: the judge of the soak. Pure.

A series is bounded if neither holds:

  it grows    the slope of its second half (Theil-Sen: the median of the slopes between its points,
              which neither an outlier nor the teeth of a saw turn), over the length of that half,
              is more than the limit allows: a number, or a share of what there is. The first half
              is the time in which caches fill. Not judged if the limit allows any growth.
  it is high  a value of the second half is above the limit's ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import inf
from statistics import median
from typing import NamedTuple

POINTS = 200
"""So many points of a series count: their pairs are all looked at."""
ENOUGH = 8
"""Points that the second half has at least: fewer are no series."""


class Point(NamedTuple):
    """A value, and when it was measured, in seconds."""

    at: float
    value: float


Series = Sequence[Point]


class Limit(NamedTuple):
    """How far the second half of a series may have grown, and how high it may be."""

    growth: float
    """At most by this, or by this share of what it is in the middle, whichever is more."""
    share: float = 0.0
    ceiling: float = inf


def second_half(series: Series) -> Series:
    """What was measured in the second half of the time."""
    middle = (series[0].at + series[-1].at) / 2 if series else 0.0
    return [point for point in series if point.at >= middle]


def slope(series: Series) -> float:
    """By how much it grows in a second; of a few points spread over all of it."""
    step = max(1, len(series) // POINTS)
    slopes = [
        (after.value - before.value) / (after.at - before.at)
        for before, after in combinations(series[::step], 2)
        if after.at > before.at
    ]
    return median(slopes) if slopes else 0.0


def unbounded(name: str, series: Series, limit: Limit) -> list[str]:
    """Why it is not bounded, as sentences; none is good."""
    half = second_half(series)
    found = _growing(name, half, limit) if limit.growth < inf else []
    highest = max((point.value for point in half), default=0.0)
    if highest > limit.ceiling:
        found.append(f"{name} was {highest:,.0f}: at most {limit.ceiling:,.0f} is allowed")
    return found


def _growing(name: str, half: Series, limit: Limit) -> list[str]:
    if len(half) < ENOUGH:
        return [f"{name}: {len(half)} measurements are too few to judge by"]
    seconds = half[-1].at - half[0].at
    growth = slope(half) * seconds
    allowed = max(limit.growth, limit.share * median(point.value for point in half))
    if growth <= allowed:
        return []
    return [f"{name} grew by {growth:,.0f} in {seconds:,.0f} s: {allowed:,.0f} is allowed"]
