"""What the records that are left of a log make of its jobs. Reads no file: it is told, op by op.

A record was only written when it was true. So a job ends where a record says so, whether or not the
one of its start is there. A damaged part, in its turn, casts a doubt on the jobs that it may have
started or ended; a later record of the job lifts it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from quplog.records import Damage, ScannedOp, ScannedTrim
from quplog.states import JobState

FIRST_OP = 4096 + 48
"""Where the first op of a log stands that was never compacted: behind a segment's header."""
CLAIM_BYTES = 24
"""What a claim takes at least."""
TWO_FRAMES_BYTES = 152
"""What a claim and a finish take at least, each in a frame."""
PARTS_LOOKED_AT = 100
"""In so many damaged parts the lanes are looked at; after that, every job that waits is uncertain.

To look at all lanes takes time in proportion to the jobs.
"""
ID_JUMP_BITS = 32
"""A log that may not know all ids given out goes on at the next multiple of 2 to this power."""
ID_END = 1 << 61
"""No log ever gave out such ids: what names one was forged."""
CRASH = 2
"""The reason of a release that counts as a crash."""


class Place(NamedTuple):
    """Where an op stands, for `LogScan.load`."""

    lsn: int
    length: int
    check: int


@dataclass(slots=True)
class RescuedJob:
    """A job as the records tell it so far."""

    id: int
    state: JobState
    task: str
    queue: str
    priority: int
    put: Place
    created_us: int
    due_us: int
    ready_lsn: int
    attempt: int = 0
    crashes: int = 0
    started_us: int = 0
    finished_us: int = 0
    finish_lsn: int = 0
    token: int = 0
    seat: tuple[int, int] = (0, 0)
    cancel_requested: bool = False
    finish: Place | None = None
    errors: list[Place] = field(default_factory=list)
    frames_before: int = 0
    """How many frames the damaged parts could hold that lie before its last record."""
    suspect: int | None = None
    """The number of the damage since which its state is a guess; None: it is not."""

    @property
    def place_in_line(self) -> tuple[int, int, int]:
        """What its lane is ordered by."""
        return -self.priority, self.ready_lsn, self.id


PENDING = (JobState.SCHEDULED, JobState.RETRYING)


@dataclass(slots=True)
class Kept:
    """A schedule, or the settings of a queue, and where they were last set."""

    op: ScannedOp
    rule: bytes = b""


def length_of(damage: Damage) -> int:
    """How much of the log it is about."""
    return damage.end_lsn - damage.lsn


def place_of(op: ScannedOp) -> Place:
    """Where it stands."""
    return Place(op.lsn, op.length, op.check)


class Rescue:
    """What the records that are left make of the jobs. Give it all that a scan finds, in order."""

    def __init__(self) -> None:
        self.jobs: dict[int, RescuedJob] = {}
        self.schedules: dict[str, Kept] = {}
        self.queues: dict[str, Kept] = {}
        self.settings: list[Place] = []
        self.damages: list[Damage] = []
        self.orphans: dict[int, tuple[int, JobState | None]] = {}
        """Jobs that are named and not known: the LSN of the last record, and how they ended."""
        self.gaps: list[range] = []
        """Ids that were given out by records that are not there."""
        self.senseless: list[int] = []
        """The LSNs of records that no quplog writes, although their sums hold."""
        self.next_id = 0
        """0: not known, since the log does not begin with its first record."""
        self.first_lsn = 0
        self._time_us = 0
        self._running: dict[int, RescuedJob] = {}
        self._due: list[tuple[int, int]] = []
        self._succeeded: list[tuple[int, int]] = []
        """Heaps, of the LSN of the finish and the id; cancelled jobs are among these."""
        self._failed: list[tuple[int, int]] = []
        self._passed: list[int] = []
        """Damages that were passed and whose end in time is not known yet."""
        self._begin_lsn = 0
        """Of the first thing that was read; 0: nothing was."""
        self._first_put = 0
        """The id of the first job that was put; 0: none was."""
        self.unnumbered: set[int] = set()
        """The numbers of the damages behind which no record says yet which ids were given out."""
        self._frames = 0
        self._claims = 0
        """How many of each the damaged parts so far could hold."""
        self._readers = {
            name: getattr(self, f"_read_{name}")
            for name in (
                *("put", "copy", "claim", "finish", "retry", "release", "cancel", "forget"),
                *("settings", "queue", "schedule", "due", "open", "worker"),
            )
        }

    def read(self, found: ScannedOp | ScannedTrim | Damage) -> None:
        """Take in one thing."""
        if self._begin_lsn == 0:
            self._begin_lsn = found.lsn
            self.next_id = 1 if 0 < found.lsn <= FIRST_OP else 0
        if isinstance(found, Damage):
            self._note_damage(found)
            return
        if self._passed:
            self._suspect(found.time_us)
        self._time_us = found.time_us
        if (found.next_id if isinstance(found, ScannedTrim) else found.id) >= ID_END:
            self.senseless.append(found.lsn)
        elif isinstance(found, ScannedTrim):
            self.first_lsn = max(self.first_lsn, found.first_lsn)
            self._note_id(found.next_id)
        else:
            self._readers[found.type](found)

    def finish(self) -> None:
        """Everything was read."""
        if self._passed:
            self._suspect(None)
        for job in list(self._running.values()):  # nobody runs it in the new log
            self._release(job, job.token, crashed=False)

    # What records say

    def _read_put(self, op: ScannedOp) -> None:
        self._note_id(op.id)
        self.next_id = max(self.next_id, op.id + 1)
        self._first_put = self._first_put or op.id
        if op.id not in self.jobs:
            state = JobState.SCHEDULED if op.due_us else JobState.READY
            self._store(op, state, op.time_us, op.lsn)

    def _read_copy(self, op: ScannedOp) -> None:
        self.orphans.pop(op.id, None)
        self.next_id = max(self.next_id, op.id + 1) if self.next_id else 0
        job = self._store(op, op.state or JobState.READY, op.created_us, op.ready_lsn)
        job.attempt, job.crashes = op.attempt, op.crashes
        job.started_us, job.finished_us = op.started_us, op.finished_us
        job.finish_lsn, job.token, job.seat = op.finish_lsn, op.token, (op.slot, op.generation)
        job.cancel_requested = op.cancel_requested
        if job.state.is_final:
            self._note_finish(job.finish_lsn, job.id, job.state)

    def _store(self, op: ScannedOp, state: JobState, created_us: int, ready_lsn: int) -> RescuedJob:
        job = RescuedJob(
            id=op.id,
            state=state,
            task=op.task,
            queue=op.queue,
            priority=op.priority,
            put=place_of(op),
            created_us=created_us,
            due_us=op.due_us,
            ready_lsn=ready_lsn,
            frames_before=self._frames,
        )
        self.jobs[op.id] = job
        self._enter(job, state)
        return job

    def _read_claim(self, op: ScannedOp) -> None:
        job = self._named(op)
        if job is None or job.state.is_final:
            return
        job.attempt += 1
        job.started_us = op.time_us
        job.token, job.seat = op.lsn, (op.slot, op.generation)
        self._enter(job, JobState.RUNNING)

    def _run_of(self, op: ScannedOp) -> RescuedJob | None:
        """The job whose run this record ends. If its claim is missing, it is made up for."""
        job = self._named(op)
        if job is None or job.state.is_final or op.token < job.token:
            return None
        if job.state is not JobState.RUNNING or job.token != op.token:
            job.attempt += 1
            job.started_us, job.token = op.time_us, op.token
        return job

    def _read_finish(self, op: ScannedOp) -> None:
        job = self._run_of(op)
        if job is None:
            self._note_finish(op.lsn, op.id, op.state)
            return
        if op.state is JobState.FAILED:
            job.errors.append(place_of(op))
        job.finish = place_of(op)
        self._end(job, op.state or JobState.SUCCEEDED, op.lsn)

    def _read_retry(self, op: ScannedOp) -> None:
        job = self._run_of(op)
        if job is None:
            return
        if op.state is JobState.SCHEDULED:
            job.attempt -= 1
        else:
            job.errors.append(place_of(op))
        job.due_us = op.due_us
        self._enter(job, op.state or JobState.RETRYING)

    def _read_release(self, op: ScannedOp) -> None:
        job = self._run_of(op)
        if job is not None:
            self._release(job, op.lsn, crashed=op.reason == CRASH)

    def _read_cancel(self, op: ScannedOp) -> None:
        job = self._named(op)
        if job is None or job.state.is_final:
            return
        if job.state is JobState.RUNNING:
            job.cancel_requested = True
        else:
            self._end(job, JobState.CANCELLED, op.lsn)

    def _read_forget(self, op: ScannedOp) -> None:
        for at in range(0, len(op.data), 8):
            self._forget(int.from_bytes(op.data[at : at + 8], "little"))
        for heap, below in (
            (self._succeeded, op.succeeded_below),
            (self._failed, op.failed_below),
        ):
            while heap and heap[0][0] < below:
                lsn, job_id = heapq.heappop(heap)
                job = self.jobs.get(job_id)
                if job is None or (job.state.is_final and job.finish_lsn == lsn):
                    self._forget(job_id)

    def _forget(self, job_id: int) -> None:
        self.jobs.pop(job_id, None)
        self.orphans.pop(job_id, None)
        self._running.pop(job_id, None)

    def _read_settings(self, op: ScannedOp) -> None:
        self.settings.append(place_of(op))

    def _read_queue(self, op: ScannedOp) -> None:
        self.queues[op.queue] = Kept(op)

    def _read_schedule(self, op: ScannedOp) -> None:
        if op.state is JobState.CANCELLED:
            self.schedules.pop(op.name, None)
            return
        kept = self.schedules.get(op.name)
        self.schedules[op.name] = Kept(op, op.data or (kept.rule if kept else b""))

    def _read_due(self, op: ScannedOp) -> None:
        while self._due and self._due[0][0] <= op.due_us:
            due_us, job_id = heapq.heappop(self._due)
            job = self.jobs.get(job_id)
            if job and job.state in PENDING and job.due_us == due_us:
                job.ready_lsn = op.lsn
                job.state = JobState.READY

    def _read_open(self, op: ScannedOp) -> None:
        for job in list(self._running.values()):
            self._release(job, op.lsn, crashed=False)

    def _read_worker(self, op: ScannedOp) -> None:
        for job in list(self._running.values()):
            slot, generation = job.seat
            if slot == op.slot and generation < op.generation:
                self._release(job, op.lsn, crashed=True)

    # How a job moves

    def _named(self, op: ScannedOp) -> RescuedJob | None:
        """The job that a record names: what it says is certain."""
        job = self.jobs.get(op.id)
        if job is None:
            self.orphans[op.id] = (op.lsn, op.state if op.type == "finish" else None)
        else:
            job.suspect = None
            job.frames_before = self._frames
        return job

    def _enter(self, job: RescuedJob, state: JobState) -> None:
        job.state = state
        if state is JobState.RUNNING:
            self._running[job.id] = job
        else:
            self._running.pop(job.id, None)
        if state in PENDING:
            heapq.heappush(self._due, (job.due_us, job.id))

    def _end(self, job: RescuedJob, state: JobState, lsn: int) -> None:
        job.finish_lsn, job.finished_us = lsn, self._time_us
        self._enter(job, state)
        self._note_finish(lsn, job.id, state)

    def _note_finish(self, lsn: int, job_id: int, state: JobState | None) -> None:
        heap = self._failed if state is JobState.FAILED else self._succeeded
        heapq.heappush(heap, (lsn, job_id))

    def _release(self, job: RescuedJob, lsn: int, *, crashed: bool) -> None:
        """A run that was interrupted does not count, and its job is ready at its old place."""
        job.attempt -= 1
        job.crashes += crashed
        if job.cancel_requested:
            self._end(job, JobState.CANCELLED, lsn)
        else:
            self._enter(job, JobState.READY)

    # What is damaged

    def _note_damage(self, damage: Damage) -> None:
        self.damages.append(damage)
        if damage.kind == "frame" and damage.op_count == 0:
            return
        size = length_of(damage)
        if size <= 0 or damage.kind == "header":
            return
        if damage.end_lsn <= self._begin_lsn:  # told last: the beginning is missing
            if damage.lsn == 0 and self._first_put:
                self.gaps.append(range(1, self._first_put))
            elif damage.lsn:
                self.first_lsn = max(self.first_lsn, damage.lsn)  # as headers behind it say
                self.unnumbered.add(len(self.damages) - 1)
            return
        self.unnumbered.add(len(self.damages) - 1)
        if damage.kind == "frame":
            self._frames += 1
            self._claims += damage.op_count
        else:
            self._frames += 1 if size < TWO_FRAMES_BYTES else 2
            self._claims += size // CLAIM_BYTES
        self._passed.append(len(self.damages) - 1)

    def _suspect(self, until_us: int | None) -> None:
        """Mark the jobs that may have been started or ended in the parts that were just passed.

        `until_us`: when the next record was written; None: there is none.
        """
        number = self._passed[0]
        self._passed.clear()
        for job in self._running.values():
            self._mark(job, number, needed=1)
        if number >= PARTS_LOOKED_AT:
            candidates: Iterable[RescuedJob] = (
                job for job in self.jobs.values() if not job.state.is_final
            )
        else:
            candidates = self._first_in_line(until_us)
        for job in candidates:
            self._mark(job, number, needed=2)

    def _mark(self, job: RescuedJob, number: int, *, needed: int) -> None:
        if job.suspect is None and self._frames - job.frames_before >= needed:
            job.suspect = number

    def _first_in_line(self, until_us: int | None) -> Iterator[RescuedJob]:
        """The jobs that may have been claimed: so many of each lane as the parts could hold."""
        lanes: dict[tuple[str, str], list[RescuedJob]] = {}
        due: dict[tuple[str, str], list[RescuedJob]] = {}
        for job in self.jobs.values():
            lane = (job.queue, job.task)
            if job.state is JobState.READY:
                lanes.setdefault(lane, []).append(job)
            elif job.state in PENDING and (until_us is None or job.due_us <= until_us):
                due.setdefault(lane, []).append(job)
        for jobs in lanes.values():
            yield from heapq.nsmallest(self._claims, jobs, key=lambda job: job.place_in_line)
        for jobs in due.values():
            yield from heapq.nsmallest(
                self._claims, jobs, key=lambda job: (-job.priority, job.due_us, job.id)
            )

    def _note_id(self, new: int) -> None:
        """All ids below this one were given out. Those that no record has shown are missing."""
        known = self.next_id
        if known and new > known and self.unnumbered:
            jumped = new >> ID_JUMP_BITS != known >> ID_JUMP_BITS
            begin = (new >> ID_JUMP_BITS << ID_JUMP_BITS) + 1 if jumped else known
            self.gaps.append(range(begin, new))
        if known or new > 1:
            self.next_id = max(known, new)
        self.unnumbered.clear()
