"""What has happened to one job, told from the records of the log.

Not every record that moves a job names it: opening the log again interrupts every run (its process
was gone), a new worker process in a dead one's place does so for that one's runs, and one record
makes due jobs ready. So the job is followed through its states, by the rules that the table in C
applies, and each step becomes an event.

One thing cannot be seen from one job: a record that makes due jobs ready takes only so many at a
time. If more were due at once, the step is shown at the first of these records, if it came at all.
"""

from __future__ import annotations

from typing import NamedTuple

from quplog.records import LogRecord
from quplog.states import JobState

PENDING = (JobState.SCHEDULED, JobState.RETRYING)


class Event(NamedTuple):
    """One step in a job's life."""

    time_us: int
    kind: str
    """The state that it entered, or: started, interrupted, snoozed, cancel requested, copied."""
    attempt: int
    """Which counted run it belongs to; 0 before the first."""
    worker: str | None
    """Who ran it: host, process id, slot."""
    lsn: int
    due_us: int = 0
    data: bytes = b""
    """The payload, result or error that came with it."""


class History:
    """The events of one job; give it every record of the log, in order."""

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        self.events: list[Event] = []
        """As the records tell them so far."""
        self._state: JobState | None = None
        self._attempt = 0
        self._due_us = 0
        self._token = 0
        self._seat = (0, 0)
        self._cancel_requested = False
        self._workers: dict[tuple[int, int], str] = {}

    def read(self, record: LogRecord) -> None:
        """Take in one record."""
        if record.type in {"open", "worker", "due"}:
            self._read_sweep(record)
        elif record.id == self.job_id:
            self._read_own(record)

    def events_up_to(self, state: JobState) -> list[Event]:
        """The events of a job that is now in `state`."""
        came_due = state in PENDING and self._state is JobState.READY
        return self.events[:-1] if came_due else self.events

    def _read_sweep(self, record: LogRecord) -> None:
        """Read a record that is about every job."""
        running = self._state is JobState.RUNNING
        if record.type == "worker":
            slot, generation = self._seat
            if running and record.slot == slot and generation < record.generation:
                self._interrupt(record)
            self._workers[record.slot, record.generation] = f"{record.name}:{record.number}"
        elif record.type == "open" and running:
            self._interrupt(record)
        elif record.type == "due" and self._state in PENDING and self._due_us <= record.due_us:
            self._enter(record, JobState.READY)

    def _read_own(self, record: LogRecord) -> None:
        """Read a record that names the job."""
        if record.type == "put":
            due = bool(record.due_us)
            self._enter(record, JobState.SCHEDULED if due else JobState.READY)
        elif record.type == "copy":
            self._copied(record)
        elif record.type == "claim" and self._state is JobState.READY:
            self._claimed(record)
        elif record.type == "cancel":
            self._asked_to_cancel(record)
        elif self._state is JobState.RUNNING and record.token == self._token:
            self._end_run(record)

    def _claimed(self, record: LogRecord) -> None:
        self._attempt += 1
        self._token = record.lsn
        self._seat = (record.slot, record.generation)
        self._state = JobState.RUNNING
        self._tell(record, "started", worker=True)

    def _end_run(self, record: LogRecord) -> None:
        """Read what ends the present run."""
        if record.type == "release":
            self._interrupt(record)
        elif record.type == "finish" and record.state is not None:
            self._enter(record, record.state, worker=True)
        elif record.type == "retry" and record.state is JobState.SCHEDULED:
            self._tell(record, "snoozed", worker=True)
            self._attempt -= 1
            self._state, self._due_us = record.state, record.due_us
        elif record.type == "retry" and record.state is not None:
            self._enter(record, record.state, worker=True)

    def _interrupt(self, record: LogRecord) -> None:
        """Note that the run was cut off; it does not count."""
        self._tell(record, "interrupted", worker=True)
        self._attempt -= 1
        if self._cancel_requested:
            self._enter(record, JobState.CANCELLED)
        else:
            self._enter(record, JobState.READY)

    def _asked_to_cancel(self, record: LogRecord) -> None:
        if self._state is JobState.RUNNING:
            self._cancel_requested = True
            self._tell(record, "cancel requested")
        elif self._state is not None and not self._state.is_final:
            self._enter(record, JobState.CANCELLED)

    def _copied(self, record: LogRecord) -> None:
        """Begin again with what a copy says: what was before it may be gone."""
        self._state = record.state
        self._attempt = record.attempt
        self._due_us = record.due_us
        self._token = record.token
        self._seat = (record.slot, record.generation)
        self._tell(record, "copied")

    def _enter(self, record: LogRecord, state: JobState, *, worker: bool = False) -> None:
        self._state = state
        self._due_us = record.due_us if state in PENDING else 0
        self._tell(record, str(state), worker=worker)

    def _tell(self, record: LogRecord, kind: str, *, worker: bool = False) -> None:
        name = self._workers.get(self._seat) if worker else None
        due_us = record.due_us if record.type in {"put", "retry"} else 0
        self.events.append(
            Event(record.time_us, kind, self._attempt, name, record.lsn, due_us, record.data)
        )
