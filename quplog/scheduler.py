"""Schedules in the store: how they are written, and how a due one becomes a job.

A schedule is stored as the rule and the whole job that it makes, so that any process can tick it,
also one that does not know the task. A tick is one frame: the job, and the schedule's next time,
written only if the schedule still stands where it was read. So a tick is never lost and never
doubled, whoever does it and whenever they die.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, cast

from msgpack import packb, unpackb
from msgpack.exceptions import UnpackException

from quplog.clock import from_us
from quplog.errors import JobNotFound, PayloadError, QuplogError, UnsupportedFormat
from quplog.job import JobSpec, PutOptions
from quplog.printable import plain
from quplog.schedule import RUNS_MAX, Rule, from_wire
from quplog.store import Put, PutSpec, ScheduleChange, Store, StoredSchedule
from quplog.task import UsingOptions, check_name, put_options

TICK_BYTES = 8 << 20
"""The payloads of one tick take about so much at most: it is one frame, which has a limit."""

logger = logging.getLogger("quplog")


@dataclass(frozen=True, slots=True)
class Recurring:
    """What a stored schedule says: the rule, and the job that it makes each time."""

    rule: Rule
    spec: PutSpec
    payload: bytes

    def to_bytes(self) -> bytes:
        """As the store keeps it; equal ones have equal bytes."""
        spec = self.spec
        job = [spec.task, spec.queue, spec.priority, spec.retries, list(spec.tags), self.payload]
        return cast("bytes", packb([self.rule.to_wire(), job]))

    @classmethod
    def from_bytes(cls, stored: bytes, schedule_id: str) -> Self:
        """Raises UnsupportedFormat if this version of quplog cannot read it.

        Its values are checked as a user's are: a log may have been forged, and what the store
        cannot put must not end the thread that ticks all the others.
        """
        try:
            wire, (task, queue, priority, retries, tags, payload) = unpackb(stored)
            base = PutOptions(PutSpec(check_name("task", task), schedule=schedule_id))
            options = UsingOptions(queue=queue, priority=priority, retries=retries, tags=tags)
            spec = put_options(base, options).spec
            return cls(from_wire(wire), spec, bytes(memoryview(payload)))  # text and numbers: no
        except (ValueError, TypeError, UnpackException) as error:
            message = f"schedule {schedule_id!r} cannot be read here: update quplog"
            raise UnsupportedFormat(message) from error


class Schedule:
    """A stored schedule, as it stood when `JobQueue.schedules()` or `schedule()` returned it."""

    __slots__ = ("_store", "_sync", "id", "next_at", "paused", "rule")

    def __init__(self, store: Store, stored: StoredSchedule, *, sync: bool) -> None:
        self._store = store
        self._sync = sync
        self.id = stored.id
        self.rule: str = _rule_text(stored)
        """In words: "every 1 hour"."""
        self.next_at: datetime | None = from_us(stored.next_us)
        """When its next job is due."""
        self.paused = stored.paused

    def pause(self) -> None:
        """Make no jobs until resume(). Raises JobNotFound if it was removed."""
        self._set_paused(paused=True)

    def resume(self) -> None:
        """Go on; what was due meanwhile counts as missed. Raises JobNotFound if it was removed."""
        self._set_paused(paused=False)

    def remove(self) -> bool:
        """Remove it; jobs that it has made stay. False: it had been removed already."""
        return self._store.remove_schedule(self.id, sync=self._sync)

    def __repr__(self) -> str:
        paused = ", paused" if self.paused else ""
        return f"<Schedule {plain(self.id)}: {self.rule}, next at {self.next_at}{paused}>"

    def _set_paused(self, *, paused: bool) -> None:
        while True:  # until nobody has changed it in between
            stored = find_schedule(self._store, self.id)
            if stored is None:
                message = f"there is no schedule {self.id!r} any more"
                raise JobNotFound(message)
            change = _change(stored, paused=paused)
            if self._store.change_schedule(change, (), sync=self._sync):
                self.paused = paused
                return


def find_schedule(store: Store, schedule_id: str) -> StoredSchedule | None:
    """The schedule of this id as it stands now."""
    return next((each for each in store.schedules() if each.id == schedule_id), None)


def write_schedule(
    store: Store, schedule_id: str, rule: Rule, job: JobSpec[Any], *, start_now: bool, sync: bool
) -> None:
    """See that the schedule is stored.

    The same again appends nothing and keeps the next time; a changed rule counts from the last
    tick; a changed job changes only what the next tick makes.
    """
    recurring = Recurring(rule, job.options.spec, job.payload)
    rule_bytes = recurring.to_bytes()
    while True:  # until nobody has changed it in between
        stored = find_schedule(store, schedule_id)
        if stored is not None and stored.rule == rule_bytes:
            return
        now_us = store.now_us()
        if stored is None:
            next_us = rule.first(now_us, start_now=start_now)
            change = ScheduleChange(schedule_id, rule_bytes, next_us, 0, False, 0)  # noqa: FBT003
        else:
            next_us = stored.next_us
            if _rule_of(stored) != rule:
                next_us = rule.first(stored.last_us or now_us)
            change = _change(stored, rule=rule_bytes, next_us=next_us)
        if store.change_schedule(change, (), sync=sync):
            return


class Ticker:
    """Turns the schedules whose time has come into their jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told: set[tuple[str, int]] = set()
        """The schedules, by id and version, of which it was said that they make no jobs."""

    def tick_due(self) -> None:
        """Tick every schedule whose time has come.

        One that only a newer version of quplog can read, or whose job the store does not take, is
        left as it stands, and the others tick on; the store asks again in a second.
        """
        for stored in self._store.schedules(due_only=True):
            try:
                self._tick(stored, Recurring.from_bytes(stored.rule, stored.id))
            except (UnsupportedFormat, PayloadError) as error:
                self._tell(stored, error)

    def _tick(self, stored: StoredSchedule, recurring: Recurring) -> None:
        now_us = self._store.now_us()
        most = max(1, min(RUNS_MAX, TICK_BYTES // max(1, len(recurring.payload))))
        tick = recurring.rule.tick(stored.next_us, now_us, most=most)
        puts = [
            Put(recurring.spec, recurring.payload, run_us if run_us > now_us else 0)
            for run_us in tick.runs
        ]
        change = _change(stored, next_us=tick.next_us, last_us=now_us)
        # False: somebody else was faster, or it was changed; it is looked at again when it is due.
        self._store.change_schedule(change, puts, sync=False)

    def _tell(self, stored: StoredSchedule, error: QuplogError) -> None:
        if (stored.id, stored.version) not in self._told:
            self._told.add((stored.id, stored.version))
            logger.warning("schedule %s makes no jobs: %s", plain(stored.id), error)


def _change(
    stored: StoredSchedule,
    *,
    rule: bytes = b"",
    next_us: int | None = None,
    last_us: int | None = None,
    paused: bool | None = None,
) -> ScheduleChange:
    """A change of what is given, provided that the rest still stands as it was read."""
    return ScheduleChange(
        stored.id,
        rule,
        stored.next_us if next_us is None else next_us,
        stored.last_us if last_us is None else last_us,
        stored.paused if paused is None else paused,
        stored.version,
    )


def _rule_of(stored: StoredSchedule) -> Rule | None:
    try:
        return Recurring.from_bytes(stored.rule, stored.id).rule
    except UnsupportedFormat:
        return None


def _rule_text(stored: StoredSchedule) -> str:
    rule = _rule_of(stored)
    return "of a newer version of quplog" if rule is None else str(rule)
