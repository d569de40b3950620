"""A new log with every job that can still be read of a damaged one, and what was lost.

    report = salvage("jobs", "jobs.new")

The records that are whole are read in order, and each job is followed through its states. A record
was only written when it was true, so it is believed also where the one before it is missing: a job
whose start stood in a damaged part has finished if its finish is there. Jobs keep their ids, what
they have returned, their errors and their place in the line; those that ran wait again, as after a
kill. The old directory is not written to, and nobody can open it meanwhile. The new one appears
under its name when it is complete and durable, and has been read again.

What cannot be known is said. Of a job that was waiting or running before a damaged part, the part
may have held its end. Which jobs that can be is bounded by three rules:

- a job that ran needs one record to end; one that waited needs two, in different frames, since a
  claim and its finish are never written at once;
- jobs are claimed in the order of their lane, and a claim takes 24 bytes: only the first so many of
  each lane can have been claimed in a part;
- a later record that names the job settles it.

These jobs are *uncertain*. To run them could do twice what was done, so they are held: stored in
a queue of their own, `<queue>.held`, which is paused. With `uncertain="run"` they stay where they
are.
"""

from __future__ import annotations

import heapq
import os
import shutil
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from quplog.errors import LogCorrupt
from quplog.log_store import (
    Damage,
    LogReader,
    LogScan,
    LogStore,
    SavedJob,
    ScannedOp,
    ScannedTrim,
    seed_log,
)
from quplog.states import JobState
from quplog.store import ScheduleChange

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
ID_JUMP = 32
"""A log goes on at the next multiple of this power of 2 if it may not know all ids given out."""
JUMPS = 1024
"""So many of these are left out if the records of such jumps may be lost too."""
HELD = ".held"
NAME_MAX = 255
CRASH = 2
"""The reason of a release that counts as a crash."""

Uncertain = Literal["hold", "run"]
Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it was, and how much there is."""


@dataclass(frozen=True, slots=True)
class SalvageReport:
    """What was read, what was lost, and what the new log holds."""

    frames: int
    ops: int
    bytes: int
    end_lsn: int
    durable_lsn: int
    damages: list[tuple[Damage, str]]
    """Each with what it cost: nothing, torn or durable."""
    jobs: dict[JobState, int]
    """In the new log, by state."""
    uncertain: list[int]
    """Jobs that may have finished, or been started, in a part that is damaged."""
    held_queues: list[str]
    """The paused queues of the new log in which they wait; none if they run."""
    unreadable: list[int]
    """Jobs that were read once and could not be read again."""
    lost: list[range]
    """Ids of jobs that were stored and are not known to have finished."""
    lost_finished: list[int]
    """Ids of jobs that are known to have finished, and of which nothing else is left."""
    lost_schedules: list[str]
    """Schedules whose rule is gone."""
    stale: list[str]
    """Schedules and queues that may have been changed in a damaged part."""
    next_id: int

    @property
    def lost_something(self) -> bool:
        """Whether anything was lost that had been acknowledged as durable."""
        return bool(self.unreadable) or any(loss == "durable" for _, loss in self.damages)


def salvage(
    directory: str | os.PathLike[str],
    new_directory: str | os.PathLike[str],
    *,
    uncertain: Uncertain = "hold",
    progress: Progress | None = None,
) -> SalvageReport:
    """Write a new log with what is left of a damaged one.

    Raises LogLocked if somebody has the old log open; NotALog; UnsupportedFormat; FileExistsError
    if `new_directory` exists and is not empty; ValueError if one directory is in the other; LogFull
    or OSError: then there is no new directory.
    """
    tell = progress or (lambda _what, _done, _total: None)
    target = _Target(Path(directory), Path(new_directory))
    with LogScan(directory, alone=True) as scan:
        rescue = _read(scan, tell)
        with target:
            outcome = _write(scan, rescue, target.incomplete, uncertain, tell)
            _check(target.incomplete, outcome.jobs)
            target.complete()
        return outcome


# ---- the new directory --------------------------------------------------------------------------


class _Target:
    """The new directory, under another name until it is complete."""

    def __init__(self, old: Path, new: Path) -> None:
        source, self._path = old.resolve(), new.resolve()
        if source == self._path or source in self._path.parents or self._path in source.parents:
            message = f"{new} and {old} are not apart: name a directory elsewhere"
            raise ValueError(message)
        if new.exists() and (not new.is_dir() or any(new.iterdir()) or new.is_mount()):
            message = f"{new} exists and is not an empty directory: name a new one"
            raise FileExistsError(message)
        self.incomplete = self._path.with_name(f"{self._path.name}.incomplete")
        if self.incomplete.exists():
            message = (
                f"{self.incomplete} is left from a salvage that was cut short: remove it first"
            )
            raise FileExistsError(message)

    def __enter__(self) -> None:
        """Make it."""
        self.incomplete.mkdir(mode=0o700)

    def complete(self) -> None:
        """Give it its name, durably."""
        _sync_directory(self.incomplete)
        self.incomplete.rename(self._path)
        _sync_directory(self._path.parent)

    def __exit__(self, *_: object) -> None:
        """Remove it, if it did not become complete."""
        shutil.rmtree(self.incomplete, ignore_errors=True)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---- what is known of a job ---------------------------------------------------------------------


class _Place(NamedTuple):
    """Where an op stands, for `LogScan.load`."""

    lsn: int
    length: int
    check: int


@dataclass(slots=True)
class _Job:
    """A job as the records tell it so far."""

    id: int
    state: JobState
    task: str
    queue: str
    priority: int
    put: _Place
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
    finish: _Place | None = None
    errors: list[_Place] = field(default_factory=list)
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
class _Kept:
    """A schedule, or the settings of a queue, and where they were last set."""

    op: ScannedOp
    rule: bytes = b""


# ---- reading ------------------------------------------------------------------------------------


class _Rescue:
    """What the records that are left make of the jobs. Give it all that a scan finds, in order."""

    def __init__(self) -> None:
        self.jobs: dict[int, _Job] = {}
        self.schedules: dict[str, _Kept] = {}
        self.queues: dict[str, _Kept] = {}
        self.settings: list[_Place] = []
        self.damages: list[Damage] = []
        self.orphans: dict[int, tuple[int, JobState | None]] = {}
        """Jobs that are named and not known: the LSN of the last record, and how they ended."""
        self.gaps: list[range] = []
        """Ids that were given out by records that are not there."""
        self.next_id = 0
        """0: not known, since the log does not begin with its first record."""
        self.first_lsn = 0
        self._time_us = 0
        self._running: dict[int, _Job] = {}
        self._due: list[tuple[int, int]] = []
        self._succeeded: list[tuple[int, int]] = []
        """Heaps, of the LSN of the finish and the id; cancelled jobs are among these."""
        self._failed: list[tuple[int, int]] = []
        self._waiting: list[int] = []
        """Damages that were passed and whose end in time is not known yet."""
        self._begin_lsn = 0
        self._first_put = 0
        self._gap_open = False
        self._frames = 0
        self._claims = 0
        self._apply = {
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
        if self._waiting:
            self._suspect(found.time_us)
        self._time_us = found.time_us
        if isinstance(found, ScannedTrim):
            self.first_lsn = max(self.first_lsn, found.first_lsn)
            self._note_id(found.next_id)
        else:
            self._apply[found.type](found)

    def finish(self) -> None:
        """Everything was read."""
        if self._waiting:
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

    def _store(self, op: ScannedOp, state: JobState, created_us: int, ready_lsn: int) -> _Job:
        job = _Job(
            id=op.id,
            state=state,
            task=op.task,
            queue=op.queue,
            priority=op.priority,
            put=_place(op),
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

    def _run_of(self, op: ScannedOp) -> _Job | None:
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
            job.errors.append(_place(op))
        job.finish = _place(op)
        self._end(job, op.state or JobState.SUCCEEDED, op.lsn)

    def _read_retry(self, op: ScannedOp) -> None:
        job = self._run_of(op)
        if job is None:
            return
        if op.state is JobState.SCHEDULED:
            job.attempt -= 1
        else:
            job.errors.append(_place(op))
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
        self.settings.append(_place(op))

    def _read_queue(self, op: ScannedOp) -> None:
        self.queues[op.queue] = _Kept(op)

    def _read_schedule(self, op: ScannedOp) -> None:
        if op.state is JobState.CANCELLED:
            self.schedules.pop(op.name, None)
            return
        kept = self.schedules.get(op.name)
        self.schedules[op.name] = _Kept(op, op.data or (kept.rule if kept else b""))

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

    def _named(self, op: ScannedOp) -> _Job | None:
        """The job that a record names: what it says is certain."""
        job = self.jobs.get(op.id)
        if job is None:
            self.orphans[op.id] = (op.lsn, op.state if op.type == "finish" else None)
        else:
            job.suspect = None
            job.frames_before = self._frames
        return job

    def _enter(self, job: _Job, state: JobState) -> None:
        job.state = state
        if state is JobState.RUNNING:
            self._running[job.id] = job
        else:
            self._running.pop(job.id, None)
        if state in PENDING:
            heapq.heappush(self._due, (job.due_us, job.id))

    def _end(self, job: _Job, state: JobState, lsn: int) -> None:
        job.finish_lsn, job.finished_us = lsn, self._time_us
        self._enter(job, state)
        self._note_finish(lsn, job.id, state)

    def _note_finish(self, lsn: int, job_id: int, state: JobState | None) -> None:
        heap = self._failed if state is JobState.FAILED else self._succeeded
        heapq.heappush(heap, (lsn, job_id))

    def _release(self, job: _Job, lsn: int, *, crashed: bool) -> None:
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
        size = damage.end_lsn - damage.lsn
        if size <= 0 or damage.kind == "header":
            return
        if damage.end_lsn <= self._begin_lsn:  # told last: the beginning is missing
            if damage.lsn == 0 and self._first_put:
                self.gaps.append(range(1, self._first_put))
            return
        self._gap_open = True
        if damage.kind == "frame":
            self._frames += 1
            self._claims += damage.op_count
        else:
            self._frames += 1 if size < TWO_FRAMES_BYTES else 2
            self._claims += size // CLAIM_BYTES
        self._waiting.append(len(self.damages) - 1)

    def _suspect(self, until_us: int | None) -> None:
        """Mark the jobs that may have been started or ended in the parts that were just passed.

        `until_us`: when the next record was written; None: there is none.
        """
        number = self._waiting[0]
        self._waiting.clear()
        for job in self._running.values():
            self._mark(job, number, needed=1)
        if number >= PARTS_LOOKED_AT:
            candidates: Iterable[_Job] = (
                job for job in self.jobs.values() if not job.state.is_final
            )
        else:
            candidates = self._first_in_line(until_us)
        for job in candidates:
            self._mark(job, number, needed=2)

    def _mark(self, job: _Job, number: int, *, needed: int) -> None:
        if job.suspect is None and self._frames - job.frames_before >= needed:
            job.suspect = number

    def _first_in_line(self, until_us: int | None) -> Iterator[_Job]:
        """The jobs that may have been claimed: so many of each lane as the parts could hold."""
        lanes: dict[tuple[str, str], list[_Job]] = {}
        due: dict[tuple[str, str], list[_Job]] = {}
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
        if known and new > known and self._gap_open:
            begin = known if known >> ID_JUMP == new >> ID_JUMP else new >> ID_JUMP << ID_JUMP | 1
            self.gaps.append(range(begin, new))
        if known or new > 1:
            self.next_id = max(known, new)
        self._gap_open = False


def _place(op: ScannedOp) -> _Place:
    return _Place(op.lsn, op.length, op.check)


def _read(scan: LogScan, tell: Progress) -> _Rescue:
    rescue = _Rescue()
    size = scan.size()
    for number, found in enumerate(scan):
        rescue.read(found)
        if number % 1000 == 0:
            tell("reading", scan.report().bytes, size)
    rescue.finish()
    return rescue


# ---- what that comes to -------------------------------------------------------------------------


class _Verdict:
    """What is kept of the jobs, now that it is known where the log begins and what was durable."""

    def __init__(self, scan: LogScan, rescue: _Rescue) -> None:
        self._rescue = rescue
        self.report = scan.report()
        self.damages = [(damage, scan.judge(damage)) for damage in rescue.damages]
        first = rescue.first_lsn
        self._leftovers_count = any(
            loss == "durable" and damage.end_lsn > first for damage, loss in self.damages
        )
        """A part is lost that may have held the copies of what stood before `first_lsn`."""
        self._lost_any = any(loss != "nothing" for _, loss in self.damages)
        self.jobs = [job for job in rescue.jobs.values() if self._is_kept(job.put.lsn)]
        self.jobs.sort(key=lambda job: job.id)
        self.uncertain = {job.id for job in self.jobs if self._is_uncertain(job)}
        self.schedules = [s for s in rescue.schedules.values() if self._is_kept(s.op.lsn)]
        self.queues = [q for q in rescue.queues.values() if self._is_kept(q.op.lsn)]
        jumps = JUMPS if self._loss_from(0) else 1
        self.next_id = ((self._last_id() >> ID_JUMP) + jumps << ID_JUMP) + 1

    def _is_kept(self, lsn: int) -> bool:
        return lsn >= self._rescue.first_lsn or self._leftovers_count

    def _is_uncertain(self, job: _Job) -> bool:
        if job.state.is_final:
            return False
        if job.put.lsn < self._rescue.first_lsn:
            return True
        return job.suspect is not None and self._loss_from(job.suspect)

    def _loss_from(self, number: int) -> bool:
        """Whether what had been acknowledged was lost in this damage or one behind it."""
        return any(loss == "durable" for _, loss in self.damages[number:])

    def _last_id(self) -> int:
        return max([self._rescue.next_id, *self._rescue.jobs, *self._rescue.orphans])

    def lost(self) -> list[range]:
        """The ids of jobs that are gone and are not known to have finished."""
        if not self._lost_any:
            return []
        known = sorted(self._rescue.jobs.keys() | set(self.lost_finished()))
        gaps = [part for gap in self._rescue.gaps for part in _without(gap, known)]
        covered = {job_id for job_id in self._open_orphans() if any(job_id in g for g in gaps)}
        alone = [range(i, i + 1) for i in self._open_orphans() if i not in covered]
        return sorted([*gaps, *alone], key=lambda part: part.start)

    def _open_orphans(self) -> list[int]:
        orphans = self._rescue.orphans.items()
        return sorted(i for i, (lsn, end) in orphans if end is None and self._is_kept(lsn))

    def lost_finished(self) -> list[int]:
        """The ids of jobs of which only the end is known."""
        orphans = self._rescue.orphans.items() if self._lost_any else ()
        return sorted(i for i, (lsn, end) in orphans if end is not None and self._is_kept(lsn))

    def stale(self) -> list[str]:
        """Schedules and queues that a damaged part may have changed."""
        last = max((d.lsn for d, loss in self.damages if loss == "durable"), default=0)
        schedules = [f"schedule {s.op.name}" for s in self.schedules if s.op.lsn < last]
        return sorted(schedules + [f"queue {q.op.queue}" for q in self.queues if q.op.lsn < last])


def _without(gap: range, known: list[int]) -> Iterator[range]:
    """The parts of a range in which none of the (sorted) numbers lie."""
    begin = gap.start
    at = bisect_left(known, begin)
    while at < len(known) and known[at] < gap.stop:
        if known[at] > begin:
            yield range(begin, known[at])
        begin = known[at] + 1
        at += 1
    if begin < gap.stop:
        yield range(begin, gap.stop)


# ---- writing ------------------------------------------------------------------------------------


def _write(
    scan: LogScan, rescue: _Rescue, directory: Path, uncertain: Uncertain, tell: Progress
) -> SalvageReport:
    verdict = _Verdict(scan, rescue)
    seed_log(directory, verdict.report.end_lsn, verdict.next_id)
    writer = _Writer(scan, verdict, hold=uncertain == "hold")
    with ExitStack() as stack:
        store = LogStore.open(directory)
        stack.callback(store.close)
        writer.write_settings(store, rescue.settings)
        writer.write_jobs(store, tell)
    return SalvageReport(
        frames=verdict.report.frames,
        ops=verdict.report.ops,
        bytes=verdict.report.bytes,
        end_lsn=verdict.report.end_lsn,
        durable_lsn=verdict.report.durable_lsn,
        damages=verdict.damages,
        jobs=writer.counts,
        uncertain=sorted(verdict.uncertain),
        held_queues=sorted(writer.held_queues),
        unreadable=writer.unreadable,
        lost=verdict.lost(),
        lost_finished=verdict.lost_finished(),
        lost_schedules=sorted(s.op.name for s in verdict.schedules if not s.rule),
        stale=verdict.stale(),
        next_id=verdict.next_id,
    )


class _Writer:
    """Puts what was rescued into the new log."""

    def __init__(self, scan: LogScan, verdict: _Verdict, *, hold: bool) -> None:
        self._scan = scan
        self._verdict = verdict
        self._hold = hold
        self.counts = dict.fromkeys(JobState, 0)
        self.held_queues: set[str] = set()
        self.unreadable: list[int] = []

    def write_settings(self, store: LogStore, settings: list[_Place]) -> None:
        """Everything but jobs."""
        for place in settings:
            store.restore_op(self._scan.load(*place))
        for queue in self._verdict.queues:
            store.restore_op(self._scan.load(*_place(queue.op)))
        for schedule in self._verdict.schedules:
            op = schedule.op
            if schedule.rule:
                change = ScheduleChange(
                    op.name, schedule.rule, op.due_us, op.last_us, op.paused, expected=0
                )
                store.change_schedule(change, (), sync=False)

    def write_jobs(self, store: LogStore, tell: Progress) -> None:
        """All jobs, in order of their ids."""
        jobs = self._verdict.jobs
        for number, job in enumerate(jobs):
            if number % 1000 == 0:
                tell("writing", number, len(jobs))
            try:
                saved = self._saved(job)
            except (LogCorrupt, OSError):  # the device gave it once, and does not any more
                self.unreadable.append(job.id)
                continue
            if job.id in self._verdict.uncertain and self._hold:
                saved = saved._replace(queue=_held(job.queue))
                if saved.queue not in self.held_queues:
                    self.held_queues.add(saved.queue)
                    store.pause(saved.queue, paused=True)
            store.restore(saved)
            self.counts[saved.state] += 1

    def _saved(self, job: _Job) -> SavedJob:
        pending = job.state in PENDING
        return SavedJob(
            id=job.id,
            state=job.state,
            task=job.task,
            queue=job.queue,
            put_lsn=job.put.lsn,
            ready_lsn=job.ready_lsn,
            finish_lsn=job.finish_lsn,
            created_us=job.created_us,
            due_us=job.due_us if pending else 0,
            started_us=job.started_us,
            finished_us=job.finished_us if job.state.is_final else 0,
            attempt=max(job.attempt, 0),
            crashes=min(job.crashes, 255),
            put=self._scan.load(*job.put),
            finish=self._scan.load(*job.finish) if job.finish else b"",
            errors=[(place.lsn, self._scan.load(*place)) for place in job.errors],
        )


def _held(queue: str) -> str:
    """The queue in which jobs of this queue are held."""
    name = queue
    while len(name.encode()) + len(HELD) > NAME_MAX:
        name = name[1:]
    return name + HELD


def _check(directory: Path, counts: dict[JobState, int]) -> None:
    """Read the new log as anybody would. Raises LogCorrupt if it is not what was written."""
    with LogReader(directory) as reader:
        while reader.skip(10_000):
            pass
        message = reader.report().message
    store = LogStore.open(directory, read_only=True)
    try:
        found = store.counts()
    finally:
        store.close()
    if message or found != counts:
        raise LogCorrupt(message or f"{directory} holds {found}, and not {counts} as written")
