"""Rules of recurring jobs: from a rule and a time to the next run. Pure.

A schedule keeps the time of its next run, `next_us`. When that has come, somebody asks its rule:
`tick(next_us, now_us)` gives the runs that are to be put now and the new `next_us`, and both are
written in one step. So a rule holds no state, and nobody has to remember what ran.

A run is *missed* if its time went by while nobody was there to tick: if the tick comes later than
a tenth of the period, but at least 1 s (a busy machine is no outage) and at most 1 min. Then
`missed` says what happens:

    "once"  all that were missed together are one run now (the default)
    "all"   each that was missed is run, in order
    "skip"  none is run; the next one is the next that comes in time

`next_us` stays on the grid of the first run: a late tick does not move the later ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import random as uniform
from typing import Any, Final, Literal, NamedTuple, Protocol, get_args

from quplog.clock import LONGEST_US, SECOND_US
from quplog.errors import UnsupportedFormat
from quplog.printable import plain

Missed = Literal["once", "all", "skip"]

RUNS_MAX: Final = 1000
"""The most runs that one tick puts; more are put by the ticks after it, at once."""

PERIOD_MIN_US: Final = 1000

_LATE_MIN_US: Final = SECOND_US
_LATE_MAX_US: Final = 60 * SECOND_US
_UNITS: Final = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


class Tick(NamedTuple):
    """What a due schedule does: a job for each of `runs` (their due times), then `next_us`."""

    runs: tuple[int, ...]
    next_us: int


class Rule(Protocol):
    """What every kind of rule can do. Equal rules are the same rule; str() is for people."""

    def first(self, now_us: int, *, start_now: bool = False) -> int:
        """Return the time of the first run of a schedule that is made now."""
        ...

    def tick(
        self,
        next_us: int,
        now_us: int,
        random: Callable[[], float] = uniform,
        *,
        most: int = RUNS_MAX,
    ) -> Tick:
        """Return what is to happen now to a schedule whose next run is at `next_us`.

        `random` gives numbers from 0 up to 1, for jitter. Before `next_us` nothing happens. There
        are at most `most` runs; what is left of more is due at once.
        """
        ...

    def to_wire(self) -> dict[str, str | int]:
        """Return it as plain values, for `from_wire`."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """Run once in each period, `period_us` (1 ms to 1000 years) apart.

    Each run is put off by a random time of up to `jitter_us`, at most a period. Values that make
    no sense raise TypeError or ValueError.

    >>> str(Every(3_600_000_000)), Every(10_000_000).tick(next_us=50_000_000, now_us=50_000_400)
    ('every 1 hour', Tick(runs=(50000000,), next_us=60000000))
    """

    period_us: int
    missed: Missed = "once"
    jitter_us: int = 0

    def __post_init__(self) -> None:
        """Check the values, since they come from a user or from the log."""
        for name, value in (("period_us", self.period_us), ("jitter_us", self.jitter_us)):
            if isinstance(value, bool) or not isinstance(value, int):
                message = f"{name} must be a whole number, not {type(value).__name__}"
                raise TypeError(message)
        if self.period_us < PERIOD_MIN_US:
            message = "the period of a schedule must be at least 1 ms"
            raise ValueError(message)
        if self.period_us > LONGEST_US:
            message = "the period of a schedule must be at most 1000 years"
            raise ValueError(message)
        if not 0 <= self.jitter_us <= self.period_us:
            message = "the jitter of a schedule must be from 0 to its period"
            raise ValueError(message)
        check_missed(self.missed)

    def first(self, now_us: int, *, start_now: bool = False) -> int:
        """Return the time of the first run: after one period, or now."""
        return now_us if start_now else now_us + self.period_us

    def tick(
        self,
        next_us: int,
        now_us: int,
        random: Callable[[], float] = uniform,
        *,
        most: int = RUNS_MAX,
    ) -> Tick:
        """Return the runs that are due, as `missed` says, and the next one on the grid."""
        if now_us < next_us:
            return Tick((), next_us)
        count = (now_us - next_us) // self.period_us + 1
        if self.missed == "all":
            count = min(count, most)
        after_us = next_us + count * self.period_us
        last_us = after_us - self.period_us
        if self.missed == "all":
            times = range(next_us, after_us, self.period_us)
        elif self.missed == "skip" and now_us - last_us > self._late_us():
            times = range(0)
        else:
            times = range(last_us, last_us + 1)
        if not self.jitter_us:
            return Tick(tuple(times), after_us)
        return Tick(tuple(time + int(self.jitter_us * random()) for time in times), after_us)

    def _late_us(self) -> int:
        return min(max(self.period_us // 10, _LATE_MIN_US), _LATE_MAX_US)

    def to_wire(self) -> dict[str, str | int]:
        """Return it as plain values, for `from_wire`."""
        return {
            "kind": "every",
            "period_us": self.period_us,
            "missed": self.missed,
            "jitter_us": self.jitter_us,
        }

    def __str__(self) -> str:
        """Say it in words, with what differs from the defaults."""
        words = [f"every {_length(self.period_us)}"]
        if self.jitter_us:
            words.append(f"jitter {_length(self.jitter_us)}")
        if self.missed != "once":
            words.append(f"missed: {self.missed}")
        return ", ".join(words)


def check_missed(missed: object) -> None:
    """Raise ValueError unless it is one of "once", "all" and "skip"."""
    if missed not in get_args(Missed):
        message = f'missed must be "once", "all" or "skip", not {missed!r}'
        raise ValueError(message)


def from_wire(wire: Mapping[str, object]) -> Rule:
    """Return the rule that `to_wire` wrote.

    Raises UnsupportedFormat for a rule that this version does not know: such a schedule is left to
    a program that does.
    """
    kind = wire.get("kind") if isinstance(wire, Mapping) else wire
    if kind != "every":
        message = f"quplog knows no schedule of the kind {kind!r} yet: update it"
        raise UnsupportedFormat(message)
    fields: dict[str, Any] = {str(name): value for name, value in wire.items() if name != "kind"}
    try:
        return Every(**fields)
    except (TypeError, ValueError) as error:
        message = f"quplog cannot read a stored schedule yet ({plain(str(error))}): update it"
        raise UnsupportedFormat(message) from error


def _length(us: int) -> str:
    for name, seconds in _UNITS:
        count, rest = divmod(us, seconds * SECOND_US)
        if not rest:
            return f"{count} {name}" if count == 1 else f"{count:,} {name}s"
    return f"{us / SECOND_US:f}".rstrip("0") + " seconds"
