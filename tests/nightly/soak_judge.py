"""What was measured in a soak, against what it may be: the limits, and the figures for people.

Whether a series is bounded is bounded.py's answer; here stands what is asked of which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bounded import Limit, Point, Series, second_half, slope, unbounded
from samples import MEASURES, Samples

JUDGED_FROM = 300
"""Seconds that a soak lasts at least in which growth is judged."""
ROOMY = {"memory": 512 << 20, "descriptors": 300, "threads": 100, "held": 64 << 20}
"""What each program of a shorter one may take at most."""
ROOMY_DISK = 128 << 20
"""And its log."""
RECENT = 30
"""Measurements: what counted so long ago may still stand in the log."""
HOUR = 3600
MIB = 1 << 20
ANY = float("inf")
"""A limit that is none."""


class SoakJudge:
    """The limits for a soak of so many seconds, with segments of so many bytes."""

    def __init__(self, samples: Samples, seconds: int, segment: int) -> None:
        self._samples = samples
        self._seconds = seconds
        self._segment = segment

    def violations(self, lasting: Iterable[str]) -> list[str]:
        """What is not bounded: of each program that lived to the end, and of the log."""
        found: list[str] = []
        for who in lasting:
            for measure in MEASURES:
                series = self._samples.series[who, measure]
                found += unbounded(f"{measure} of {who}", series, self._limit(measure, series))
        disk = self._samples.series["log", "disk"]
        if self._seconds < JUDGED_FROM:
            return found + unbounded("the log", disk, Limit(ANY, ceiling=ROOMY_DISK))
        found += unbounded("the log on the disk", disk, Limit(3 * self._segment, 0.25))
        more = Limit(ANY, ceiling=0)
        found += unbounded("the log beyond what counts of it", self._beyond(disk), more)
        return found

    def _limit(self, measure: str, series: Series) -> Limit:
        if self._seconds < JUDGED_FROM:
            return Limit(ANY, ceiling=ROOMY[measure])
        if measure == "memory":
            begun = [point.value for point in series if point not in second_half(series)]
            return Limit(4 * MIB, 0.05, 1.5 * max(begun, default=0) + 16 * MIB)
        if measure == "held":
            return Limit(4 * self._segment, ceiling=8 * self._segment)
        return Limit(4, 0.25, ceiling=100)

    def _beyond(self, disk: Series) -> Series:
        """What the log takes beyond twice what compaction promises for its live jobs."""
        live = self._samples.series["log", "live"]
        beyond = []
        for number, point in enumerate(disk):
            most = max(each.value for each in live[max(0, number - RECENT) : number + 1])
            allowed = 2 * max(4 * self._segment, 3 * most) + 2 * MIB
            beyond.append(Point(point.at, point.value - allowed))
        return beyond

    def figures(self) -> dict[str, object]:
        """The most, and the growth, of each series."""
        return {
            "most": self._each(lambda series: max(point.value for point in series)),
            "growth an hour": self._each(lambda series: slope(second_half(series)) * HOUR),
        }

    def _each(self, figure: Callable[[Series], float]) -> dict[str, int]:
        """One figure of each series, by its name."""
        named = self._samples.series.items()
        return {f"{measure} of {who}": round(figure(series)) for (who, measure), series in named}
