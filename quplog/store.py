"""The seam between quplog and where jobs are kept: the `Store` protocol.

Everything above this floor talks to jobs through these verbs; `log_store.LogStore` keeps them in
the embedded log, and another engine can keep them elsewhere. The rules of the seam: verbs take
batches where a batch can be one unit; job ids are 63-bit integers that the store gives; times are
the store's own clock, in whole microseconds since 1970 (0 means "none"); payloads, results and
errors are opaque bytes; an error says whether its outcome is known (`QuplogError.outcome_known`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from quplog.states import JobState


class Outcome(IntEnum):
    """How a run ended. The numbers are those of `enum quplog_outcome`."""

    NONE = 0
    SUCCEEDED = 1
    FAILED = 2
    CANCELLED = 3
    RETRY = 4
    SNOOZE = 5
    RELEASE = 6


@dataclass(frozen=True, slots=True)
class PutSpec:
    """What all jobs of one task and one set of options have in common."""

    task: str
    queue: str = "default"
    priority: int = 0
    retries: int = 3
    tags: tuple[str, ...] = ()
    schedule: str | None = None


class Put(NamedTuple):
    """One job to store. `due_us` 0: ready at once."""

    spec: PutSpec
    payload: bytes
    due_us: int = 0


class Claim(NamedTuple):
    """One job that a worker is to run. `token` fences it against later runs."""

    id: int
    token: int
    task: str
    queue: str
    payload: bytes
    attempt: int
    retries: int
    created_us: int
    started_us: int
    unreadable: Exception | None = None
    """Why the payload cannot be read back, if it cannot: such a job can only fail."""


@dataclass(frozen=True, slots=True)
class Record:
    """A job as the store knows it."""

    id: int
    task: str
    queue: str
    state: JobState
    attempt: int
    retries: int
    priority: int
    created_us: int
    due_us: int
    started_us: int
    finished_us: int
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class Details:
    """What of a job has to be read from where it is kept."""

    record: Record
    payload: bytes
    tags: tuple[str, ...]
    result: bytes | None
    errors: tuple[bytes, ...]
    result_dropped: bool = False
    """It succeeded, but there was no room to keep what it returned."""


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """A schedule; `version` changes with each change, for compare and set."""

    id: str
    rule: bytes
    version: int
    next_us: int
    last_us: int
    paused: bool


class ScheduleChange(NamedTuple):
    """Create, replace or advance a schedule if its version is still `expected` (0: none yet).

    An empty `rule` keeps the stored one.
    """

    id: str
    rule: bytes
    next_us: int
    last_us: int
    paused: bool
    expected: int


class Seat(Protocol):
    """The place of one thread that runs jobs; it remembers its claim."""

    def work(
        self,
        outcome: Outcome,
        data: bytes = b"",
        due_us: int = 0,
        *,
        claim: bool = True,
        wait: bool = True,
    ) -> Claim | None:
        """Write the outcome of the present claim and claim the next job, in one step.

        None: there is nothing to claim (not waiting), or the store is stopping. Raises StaleClaim
        if another run has taken the job over; then nothing was claimed either.
        """
        ...

    def release(self) -> None:
        """From another thread: give the present claim back, without using an attempt."""
        ...

    def close(self) -> None:
        """Leave the seat; a claim that is left goes back."""
        ...


class Store(Protocol):
    """The verbs. Each may be called from any thread at any time."""

    def put(self, puts: Sequence[Put], *, sync: bool, wait: bool = True) -> range:
        """Store all jobs or none; their ids, in order. Durable on return if `sync`.

        Not to `wait`: raise LogLocked at once if another writer is in the way.
        """
        ...

    def put_one(
        self,
        spec: PutSpec,
        payload: bytes,
        due_us: int,
        sync: bool,  # noqa: FBT001  # by position: a keyword costs time at every enqueue
    ) -> int:
        """Store one job, without what a batch costs; its id."""
        ...

    def sync(self) -> None:
        """Return when all that was stored before is durable."""
        ...

    def compact(self) -> None:
        """Give back now the space of what no longer counts; a started pool does so by itself."""
        ...

    def serve(self, tasks: Mapping[str, object], queues: Sequence[str] | None) -> None:
        """Claim jobs of these tasks (more may be added later) from these queues (None: all)."""
        ...

    def seat(self) -> Seat:
        """Return a new seat for a thread that runs jobs."""
        ...

    def start(self) -> None:
        """Begin to claim, or begin again after stop()."""
        ...

    def stop(self) -> None:
        """Claim nothing more; waiting seats return None, `keep` returns False."""
        ...

    def keep(self) -> bool:
        """Do the helper's duty until a schedule is due (True) or the store stops (False)."""
        ...

    def load(self, job_id: int) -> Details:
        """Return all that is known of one job. Raises JobNotFound."""
        ...

    def find(
        self,
        *,
        state: JobState | None = None,
        task: str | None = None,
        queue: str | None = None,
        since_us: int = 0,
        until_us: int = 0,
        after: int = 0,
        limit: int = 100,
    ) -> list[Record]:
        """Return the jobs that match, in order of their ids, from the one after `after` on."""
        ...

    def counts(self, queue: str | None = None) -> dict[JobState, int]:
        """Return how many jobs are in each state, in one queue or in all."""
        ...

    def cancel(self, job_id: int, *, sync: bool) -> bool:
        """Cancel a pending job, ask a running one to stop; False if it had already finished."""
        ...

    def cancel_requested(self, job_id: int) -> bool:
        """Return whether somebody asked the running job to stop. Raises JobNotFound."""
        ...

    def wait_job(self, job_id: int, deadline_us: int) -> bool:
        """Wait until it is finished; False at the deadline (`clock.deadline_after`; 0: none)."""
        ...

    def wait_finished(self, seen: int) -> int:
        """Wait until any job has finished since `seen` (at first 0); the number for next time."""
        ...

    def wait_idle(self, deadline_us: int) -> bool:
        """Wait until nothing runs and nothing is ready that somebody here can run."""
        ...

    def schedules(self, *, due_only: bool = False) -> list[StoredSchedule]:
        """Return all schedules, or those whose time has come."""
        ...

    def change_schedule(self, change: ScheduleChange, puts: Sequence[Put], *, sync: bool) -> bool:
        """Make the change and the jobs in one step; False (and nothing) if it had moved on."""
        ...

    def remove_schedule(self, schedule_id: str, *, sync: bool) -> bool:
        """Remove a schedule; False if there is none of this id."""
        ...

    def pause(self, queue: str, *, paused: bool) -> None:
        """Let nobody claim from the queue, or let them again."""
        ...

    def paused(self, queue: str) -> bool:
        """Return whether the queue is paused."""
        ...

    def now_us(self) -> int:
        """Return the time of the store's clock."""
        ...

    def close(self) -> None:
        """Make everything durable and let go; later calls raise LogClosed."""
        ...
