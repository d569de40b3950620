"""What is kept of the jobs and what is lost, now that all was read.

Only the end of a log says where it begins (the last TRIM), and what had been acknowledged as
durable.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from quplog.log_store import LogScan
from quplog.salvage.rescue import ID_JUMP_BITS, Rescue, RescuedJob, length_of

COPY_BYTES = 128
"""What the copy of a job takes at least."""
PUT_BYTES = 40
"""What the record of a new job takes at least."""
JUMPS = 1024
"""So many jumps are left room for, where the records of ids that jumped may be lost too."""


class Verdict:
    """What is kept of the jobs, now that it is known where the log begins and what was durable."""

    def __init__(self, scan: LogScan, rescue: Rescue) -> None:
        self._rescue = rescue
        self.report = scan.report()
        self.damages = [(damage, scan.judge(damage)) for damage in rescue.damages]
        first = rescue.first_lsn
        self._keeps_leftovers = any(
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
        self.next_id = ((self._last_id() >> ID_JUMP_BITS) + jumps << ID_JUMP_BITS) + 1

    def _is_kept(self, lsn: int) -> bool:
        return lsn >= self._rescue.first_lsn or self._keeps_leftovers

    def _is_uncertain(self, job: RescuedJob) -> bool:
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

    def traceless(self) -> int:
        """How many jobs can have stood in what is lost, of which no id is missing elsewhere."""
        return sum(self._room(number) for number in range(len(self.damages)))

    def _room(self, number: int) -> int:
        """New jobs, if no later record counts them; copies, if the log was compacted."""
        damage, loss = self.damages[number]
        if number in self._rescue.unnumbered and loss == "durable":
            least = PUT_BYTES
        elif self._rescue.first_lsn and loss != "nothing":
            least = COPY_BYTES
        else:
            return 0
        return damage.op_count if damage.kind == "frame" else length_of(damage) // least + 1

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
