"""When a job that failed runs again: backoff, the retry policy, and what a task can ask for. Pure.

Attempts count from 1. A policy looks at the attempt that has just failed and at its exception, and
says how long to wait, or that this was the last one. A task decides for itself by raising or
returning `Retry`, `Snooze` or `Cancel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import random as uniform
from typing import TypeAlias

from quplog.clock import SECOND_US, to_us

RETRIES_MAX = 65_534
"""The largest `retries=` that a store can keep."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow: `initial`, then `factor` times as long each time, up to `maximum`.

    `initial` and `maximum` are a timedelta or seconds. Each wait is made shorter by a random part
    of up to `jitter` (0 to 1) of it, so that jobs that failed together do not all come back
    together. Values that make no sense raise TypeError or ValueError.

    >>> [Backoff(jitter=0).delay(attempt) for attempt in (1, 2, 3, 10)]
    [1.0, 4.0, 16.0, 3600.0]
    """

    initial: timedelta | float = 1
    factor: float = 4
    maximum: timedelta | float = 3600
    jitter: float = 0.1

    def __post_init__(self) -> None:
        """Check the values, since they come from a user."""
        if to_us(self.maximum, "maximum") < to_us(self.initial, "initial"):
            message = f"maximum ({self.maximum}) must not be less than initial ({self.initial})"
            raise ValueError(message)
        _check_number("factor", self.factor, 1, 1_000_000)
        _check_number("jitter", self.jitter, 0, 1)

    def delay(self, attempt: int, random: Callable[[], float] = uniform) -> float:
        """Return the seconds to wait after the failed `attempt`.

        `random` gives numbers from 0 up to 1.
        """
        initial, maximum = _seconds(self.initial, "initial"), _seconds(self.maximum, "maximum")
        try:
            delay = min(initial * float(self.factor) ** (attempt - 1), maximum)
        except OverflowError:  # the power is larger than any float, so larger than the maximum
            delay = maximum if initial else 0.0
        return delay * (1 - self.jitter * random())


BackoffOption: TypeAlias = (
    Backoff | timedelta | float | Sequence[timedelta | float] | Callable[[int], timedelta | float]
)
"""What `backoff=` takes: a Backoff, one wait, a wait per attempt (the last repeats), or a function
of the failed attempt that returns the wait."""

ExceptionTypes: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]


class Directive(Exception):  # noqa: N818 - what a task asks for is no error
    """What a task can raise or return to say what is to happen to its job."""


class Retry(Directive):
    """Run the job again after `delay` (a timedelta or seconds; None: as its backoff says).

    It uses up an attempt; after the last one the job has failed. `reason` is kept with the job.

        raise Retry(delay=60, reason="the bank is closed")
    """

    def __init__(self, delay: timedelta | float | None = None, reason: str | None = None) -> None:
        super().__init__(delay, reason)
        self.delay = None if delay is None else _seconds(delay, "delay")
        """In seconds."""
        self.reason = _text(reason)

    def __str__(self) -> str:
        """Give the reason, if there is one."""
        return self.reason or "the task asked to be retried"


class Snooze(Directive):
    """Run the job again after `delay` (a timedelta or seconds), without using up an attempt.

    return Snooze(timedelta(hours=1))
    """

    def __init__(self, delay: timedelta | float) -> None:
        super().__init__(delay)
        self.delay = _seconds(delay, "delay")
        """In seconds."""

    def __str__(self) -> str:
        """Say what was asked for."""
        return f"the task asked to be run again in {self.delay:g} s"


class Cancel(Directive):
    """Cancel the job: it does not run again. `reason` is kept with it.

    return Cancel("the order was withdrawn")
    """

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(reason)
        self.reason = _text(reason)

    def __str__(self) -> str:
        """Give the reason, if there is one."""
        return self.reason or "the task cancelled its job"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Whether, and when, a job runs again after an attempt that failed.

    `retries`: how many attempts there are after the first, at most. `backoff`: see BackoffOption.
    `retry_on`: only these exceptions are retried (None: all). `give_up_on`: these never are, even
    if they are among `retry_on`. Wrong options raise TypeError or ValueError.

    >>> policy = RetryPolicy(retries=2, backoff=(1, 60), give_up_on=KeyError)
    >>> [policy.decide(attempt, OSError()) for attempt in (1, 2, 3)]
    [1.0, 60.0, None]
    """

    retries: int = 3
    backoff: BackoffOption = field(default_factory=Backoff)
    retry_on: ExceptionTypes | None = None
    give_up_on: ExceptionTypes = ()

    def __post_init__(self) -> None:
        """Check the options, since they come from a user."""
        check_retries(self.retries)
        _check_backoff(self.backoff)
        if self.retry_on is not None:
            _check_exceptions("retry_on", self.retry_on)
        _check_exceptions("give_up_on", self.give_up_on)

    def decide(
        self,
        attempt: int,
        exception: BaseException,
        random: Callable[[], float] = uniform,
    ) -> float | None:
        """Return the seconds to wait after `attempt` ended with `exception`; None: give up.

        A `Retry` is an exception that is retried whatever `retry_on` and `give_up_on` say, and may
        bring its own delay. If `backoff` is the user's function, what it raises is raised here,
        and so are the TypeError or ValueError for a wait of it that makes no sense.
        """
        if attempt > self.retries:
            return None
        if isinstance(exception, Retry):
            if exception.delay is not None:
                return exception.delay
        elif isinstance(exception, self.give_up_on) or (
            self.retry_on is not None and not isinstance(exception, self.retry_on)
        ):
            return None
        return self._wait(attempt, random)

    def _wait(self, attempt: int, random: Callable[[], float]) -> float:
        backoff = self.backoff
        if isinstance(backoff, Backoff):
            return backoff.delay(attempt, random)
        if isinstance(backoff, timedelta | int | float):
            return _seconds(backoff, "backoff")
        if isinstance(backoff, Sequence):
            return _seconds(backoff[min(attempt, len(backoff)) - 1], "backoff")
        return _seconds(backoff(attempt), "what backoff returns")


def check_retries(retries: int) -> None:
    """Raise TypeError or ValueError unless it is a whole number from 0 to RETRIES_MAX."""
    if isinstance(retries, bool) or not isinstance(retries, int):
        message = f"retries must be a whole number, not {type(retries).__name__}"
        raise TypeError(message)
    if not 0 <= retries <= RETRIES_MAX:
        message = f"retries must be from 0 to {RETRIES_MAX:,}, not {retries}"
        raise ValueError(message)


def _check_backoff(backoff: object) -> None:
    if isinstance(backoff, Backoff):
        return
    if isinstance(backoff, timedelta | int | float):
        to_us(backoff, "backoff")
    elif isinstance(backoff, Sequence) and not isinstance(backoff, str | bytes):
        if not backoff:
            message = "backoff must not be an empty sequence: give at least one wait"
            raise ValueError(message)
        for number, wait in enumerate(backoff):
            to_us(wait, f"backoff[{number}]")
    elif isinstance(backoff, type) or not callable(backoff):
        message = (
            "backoff must be a Backoff, a timedelta or seconds, a sequence of them, or a function "
            f"of the attempt, not {backoff!r}"
        )
        raise TypeError(message)


def _check_exceptions(option: str, value: object) -> None:
    members = value if isinstance(value, tuple) else (value,)
    for member in members:
        if not (isinstance(member, type) and issubclass(member, BaseException)):
            message = f"{option} must be an exception type or a tuple of them, not {member!r}"
            raise TypeError(message)


def _check_number(option: str, value: object, lowest: int, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{option} must be a number, not {type(value).__name__}"
        raise TypeError(message)
    if not lowest <= value <= highest:
        message = f"{option} must be from {lowest} to {highest:,}, not {value}"
        raise ValueError(message)


def _seconds(value: timedelta | float, option: str) -> float:
    return to_us(value, option) / SECOND_US


def _text(reason: str | None) -> str | None:
    if reason is not None and not isinstance(reason, str):
        message = f"reason must be text, not {type(reason).__name__}"
        raise TypeError(message)
    return reason
