"""A job as the application sees it: `Job`, a snapshot of one, and `JobSpec`, one not stored yet.

A Job is frozen: it says how the job stood when the object was made, and `refresh()` returns a newer
one. Enqueueing must return at once, so a fresh Job knows only what its enqueue knew (which is all
there is to know of a job that never ran); what has to be read from the store is read when it is
first asked for, and then kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar, cast

from quplog.clock import deadline_after, from_us
from quplog.codec import Types, decode_error, decode_result
from quplog.errors import JobCancelled, JobFailed, JobNotFound, PayloadError
from quplog.printable import plain, plain_lines
from quplog.states import JobState
from quplog.store import Details, PutSpec, Record, Store

__all__ = ["Job", "JobLink", "JobSpec", "JobState", "PutOptions"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PutOptions:
    """How jobs are put: what they have in common, when they are due, and how durable it is."""

    spec: PutSpec
    delay_us: int = 0
    run_at_us: int = 0
    sync: bool | None = None
    """None: as the queue was opened."""
    is_later: bool = field(init=False)
    """Whether it is due later than it is put."""

    def __post_init__(self) -> None:
        """Derive once what every enqueue asks."""
        object.__setattr__(self, "is_later", bool(self.delay_us or self.run_at_us))

    def due_us(self, now_us: int) -> int:
        """When a job that is put now becomes ready; 0: at once."""
        due_us = now_us + self.delay_us if self.delay_us else self.run_at_us
        return due_us if due_us > now_us else 0


class JobSpec(Generic[R]):
    """A job that is ready to be enqueued: what `task.job(...)` returns.

    Give it to `JobQueue.enqueue`, `enqueue_many` or `schedule`. Its arguments are encoded already,
    so later changes to them make no difference.
    """

    __slots__ = ("options", "payload")

    def __init__(self, options: PutOptions, payload: bytes) -> None:
        self.options = options
        self.payload = payload

    def __repr__(self) -> str:
        return f"<JobSpec {self.options.spec.task}, {len(self.payload)} bytes>"


@dataclass(frozen=True, slots=True)
class JobLink:
    """What all Jobs of one open queue need to look after themselves."""

    store: Store
    types: Types
    sync: bool
    finished: Callable[[int], Awaitable[None]]
    """Returns when the job is finished, without blocking the event loop."""


class Job(Generic[R]):
    """One job, as it stood when this object was made.

    Times are aware datetimes in UTC, or None. Reading a field may raise JobNotFound if the job has
    been forgotten in the meantime (finished jobs are kept for `keep_succeeded` or `keep_failed`).

    >>> job = send_order_email.enqueue(42, to="a@b.c")      # doctest: +SKIP
    >>> job.state, job.refresh().state                      # doctest: +SKIP
    (<JobState.READY: 'ready'>, <JobState.SUCCEEDED: 'succeeded'>)
    """

    __slots__ = ("_details", "_due_us", "_id", "_link", "_record", "_spec")

    def __init__(self, link: JobLink, job_id: int, spec: PutSpec, due_us: int) -> None:
        self._link = link
        self._id = job_id
        self._spec: PutSpec | None = spec
        self._due_us = due_us
        self._record: Record | None = None
        self._details: Details | None = None

    @classmethod
    def from_record(cls, link: JobLink, record: Record) -> Job[R]:
        """The snapshot that the store has just given."""
        job: Job[R] = cls.__new__(cls)
        job._link = link
        job._id = record.id
        job._spec = None
        job._due_us = record.due_us
        job._record = record
        job._details = None
        return job

    @classmethod
    def from_details(cls, link: JobLink, details: Details) -> Job[R]:
        """The snapshot that the store has just given, with all that it reads from the log."""
        job: Job[R] = cls.from_record(link, details.record)
        job._details = details
        return job

    @classmethod
    def load(cls, link: JobLink, job_id: int) -> Job[R]:
        """The job as it is now. Raises JobNotFound."""
        return cls.from_details(link, link.store.load(job_id))

    def enqueued_as(self, job_id: int) -> None:
        """Tell a Job that was made inside a transaction which job it became."""
        self._id = job_id

    @property
    def id(self) -> int:
        """The job's number, from 1 on. Raises JobNotFound until its transaction is done."""
        if not self._id:
            message = "not enqueued yet: its transaction has not ended, or was given up"
            raise JobNotFound(message)
        return self._id

    @property
    def task(self) -> str:
        """The name of the task that runs it."""
        return self._snapshot().task

    @property
    def queue(self) -> str:
        """The name of the queue that it waits in."""
        return self._snapshot().queue

    @property
    def state(self) -> JobState:
        """Where it is in its life."""
        return self._snapshot().state

    @property
    def attempt(self) -> int:
        """0 before the first run, 1 during it and after it, and so on."""
        return self._snapshot().attempt

    @property
    def priority(self) -> int:
        """From -100 to 100; of the jobs that are ready the highest goes first."""
        return self._snapshot().priority

    @property
    def tags(self) -> tuple[str, ...]:
        """The application's own labels."""
        return self._spec.tags if self._spec is not None else self._read().tags

    @property
    def created_at(self) -> datetime | None:
        """When it was enqueued."""
        return from_us(self._snapshot().created_us or self._read().record.created_us)

    @property
    def due_at(self) -> datetime | None:
        """When it becomes ready, if it is scheduled or retrying."""
        return from_us(self._snapshot().due_us)

    @property
    def started_at(self) -> datetime | None:
        """When its last run began."""
        return from_us(self._snapshot().started_us)

    @property
    def finished_at(self) -> datetime | None:
        """When it succeeded, failed or was cancelled."""
        return from_us(self._snapshot().finished_us)

    @property
    def errors(self) -> tuple[str, ...]:
        """The tracebacks of its failed attempts, oldest first: at most the last 20."""
        if self._snapshot().attempt == 0:
            return ()
        return tuple(decode_error(error).traceback for error in self._read().errors)

    @property
    def error(self) -> str | None:
        """The traceback of the last failed attempt."""
        errors = self.errors
        return errors[-1] if errors else None

    def result(self, timeout: timedelta | float | None = None) -> R:
        """Wait until the job is finished, and return what it returned.

        `timeout` is a timedelta or seconds; None waits without end. Raises JobFailed (with the
        job's own traceback), JobCancelled, JobNotFound if it was forgotten, PayloadError if what it
        returned cannot be read here or was not kept on a full disk, and TimeoutError.
        """
        store = self._link.store
        deadline_us = 0 if timeout is None else deadline_after(timeout, "timeout")
        if not store.wait_job(self.id, deadline_us):
            message = f"job {self.id} ({plain(self.task)}) is not finished after {timeout} s"
            raise TimeoutError(message)
        return self._outcome()

    async def aresult(self) -> R:
        """The same as `result()`, without blocking the event loop.

        To wait for a limited time, use `asyncio.timeout()` or `asyncio.wait_for()`.
        """
        await self._link.finished(self.id)
        return self._outcome()

    def cancel(self) -> bool:
        """Cancel it if it has not begun; ask it to stop if it is running.

        A running job sees `current_job().cancelled`. False: it had already finished.
        """
        return self._link.store.cancel(self.id, sync=self._link.sync)

    def refresh(self) -> Job[R]:
        """The job as it is now. Raises JobNotFound if it has been forgotten."""
        return Job.load(self._link, self.id)

    def __repr__(self) -> str:
        if not self._id:
            return f"<Job not enqueued yet, {plain(self.task)}>"
        return f"<Job {self._id} {plain(self.task)} {self.state}>"

    def _snapshot(self) -> Record:
        """What is known without asking the store; a fresh job's creation time is not."""
        record = self._record
        if record is None:
            assert self._spec is not None  # noqa: S101  # a Job without spec was given its record
            record = self._record = _fresh(self._id, self._spec, self._due_us)
        return record

    def _read(self) -> Details:
        if self._details is None:
            self._details = self._link.store.load(self.id)
        return self._details

    def _outcome(self) -> R:
        details = self._link.store.load(self.id)
        subject = f"job {self.id} ({plain(details.record.task)})"
        if details.result_dropped:
            message = f"{subject} succeeded, but the disk was full: what it returned was not kept"
            raise PayloadError(message)
        if details.record.state is JobState.SUCCEEDED:
            return cast("R", decode_result(details.result or b"", self._link.types))
        if details.record.state is JobState.CANCELLED:
            reason = f": {plain(decode_error(details.result).message)}" if details.result else ""
            message = f"{subject} was cancelled{reason}"
            raise JobCancelled(message, self.id)
        if not details.errors:
            message = f"{subject} failed"
            raise JobFailed(message, self.id, "")
        error = decode_error(details.errors[-1])
        message = f"{subject} failed: {plain(error.kind)}: {plain(error.message)}"
        raise JobFailed(message, self.id, plain_lines(error.traceback))


def _fresh(job_id: int, spec: PutSpec, due_us: int) -> Record:
    return Record(
        id=job_id,
        task=spec.task,
        queue=spec.queue,
        state=JobState.SCHEDULED if due_us else JobState.READY,
        attempt=0,
        retries=spec.retries,
        priority=spec.priority,
        created_us=0,
        due_us=due_us,
        started_us=0,
        finished_us=0,
        cancel_requested=False,
    )
