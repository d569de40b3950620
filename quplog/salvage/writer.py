"""Puts what was rescued into the new log; holds the jobs that may have finished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quplog.errors import LogCorrupt
from quplog.log_store import LogScan, LogStore
from quplog.records import SavedJob
from quplog.salvage.report import Progress
from quplog.salvage.rescue import PENDING, Place, RescuedJob, place_of
from quplog.salvage.verdict import Verdict
from quplog.states import JobState
from quplog.store import ScheduleChange

HELD = ".held"
"""What is added to the name of a queue for its jobs that are held."""
NAME_MAX = 255
"""Bytes that the name of a queue can have."""


class Writer:
    """Puts what was rescued into the new log."""

    def __init__(self, scan: LogScan, verdict: Verdict, *, hold: bool) -> None:
        self._scan = scan
        self._verdict = verdict
        self._hold = hold
        self.counts = dict.fromkeys(JobState, 0)
        self.held_queues: set[str] = set()
        self.unreadable: list[int] = []
        self.senseless: list[int] = []
        """The LSNs of records that the new log did not take."""

    def write_settings(self, store: LogStore, settings: list[Place]) -> None:
        """Everything but jobs."""
        for place in [*settings, *(place_of(queue.op) for queue in self._verdict.queues)]:
            with self._leaving_out(place.lsn):
                store.restore_op(self._scan.load(*place))
        for schedule in self._verdict.schedules:
            op = schedule.op
            change = ScheduleChange(
                op.name, schedule.rule, op.due_us, op.last_us, op.paused, expected=0
            )
            with self._leaving_out(op.lsn):
                if schedule.rule:
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
            with self._leaving_out(job.put.lsn):
                self._write_job(store, saved)

    def _write_job(self, store: LogStore, saved: SavedJob) -> None:
        if saved.id in self._verdict.uncertain and self._hold:
            saved = saved._replace(queue=held_queue(saved.queue))
            if saved.queue not in self.held_queues:
                self.held_queues.add(saved.queue)
                store.pause(saved.queue, paused=True)
        store.restore(saved)
        self.counts[saved.state] += 1

    @contextmanager
    def _leaving_out(self, lsn: int) -> Iterator[None]:
        """What the new log does not take, no log ever took: the record at `lsn` was forged."""
        try:
            yield
        except (ValueError, OverflowError):
            self.senseless.append(lsn)

    def _saved(self, job: RescuedJob) -> SavedJob:
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


def held_queue(queue: str) -> str:
    """The queue in which jobs of this queue are held."""
    name = queue
    while len(name.encode()) + len(HELD) > NAME_MAX:
        name = name[1:]
    return name + HELD
