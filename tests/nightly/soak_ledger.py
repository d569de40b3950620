"""The judge of a soak's jobs, in bounded memory: what is settled is judged and then let go of.

It follows the log as `history` does, and what the programs write beside it. A job that finished
longer ago than AFTERMATH has been forgotten by the log: it is judged, and no record may speak of
it again. That a finished job is claimed or finished once more is then a job that is not known.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "processes"))
import history
from history import Ack, History, JobHistory, LogRecord, Run
from soak_member import COUNTED_RUNS

from quplog import JobState

SECOND_US = 1_000_000
FINAL_RECORDS = {"finish", "cancel"}


@dataclass
class Soaking(History):
    """A history that knows each job's task, and in which order jobs came to their end."""

    tasks: dict[int, str] = field(default_factory=dict)
    ended: deque[tuple[int, int]] = field(default_factory=deque)
    """(time, id) of the jobs that have their final state."""
    now_us: int = 0

    def add(self, record: LogRecord) -> None:
        super().add(record)
        self.now_us = max(self.now_us, record.time_us)
        if record.type == "put":
            self.tasks[record.id] = record.task
        elif record.type in FINAL_RECORDS:
            job = self.jobs.get(record.id)
            if job is not None and job.state is not None:
                self.ended.append((record.time_us, record.id))


class Tail:
    """The whole lines that were appended to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def lines(self) -> list[str]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._at += len(whole) + len(newline)
        return whole.decode().splitlines()


class Ledger:
    """What is known of the jobs of a soak, and what was wrong with them."""

    def __init__(self, log: Path, files: Path, aftermath: float) -> None:
        self.acked: Counter[str] = Counter()
        """By the name of who was told so."""
        self.excused: set[str] = set()
        """The programs that were killed or stopped, as the log names them."""
        self.settled = 0
        self.ends: Counter[str] = Counter()
        self.violations: list[str] = []
        self._aftermath_us = int(aftermath * SECOND_US)
        self._files = files
        self._follower = history.Follower(log)
        self.history = self._follower.history = Soaking()
        self._acks: dict[str, Tail] = {}
        self._gone: set[str] = set()
        self._tail = Tail(files / "runs")
        self._runs: defaultdict[int, list[Run]] = defaultdict(list)

    @property
    def pending(self) -> int:
        """Jobs that have not come to their end."""
        return len(self.history.jobs) - len(self.history.ended)

    def follow(self, name: str) -> None:
        """Read what this program writes down of acknowledged jobs."""
        self._acks[name] = Tail(self._files / f"{name}.acks")

    def let_go(self, name: str, who: str) -> None:
        """Excuse a program that has ended for a run that ended with it; it writes no more."""
        self.excused.add(who)
        self._gone.add(name)

    def look(self, *, live: bool = True) -> None:
        """Read all that is new and judge what is settled by it."""
        acks = [ack for name in self._acks for ack in self._new_acks(name)]
        for name in self._gone:
            del self._acks[name]
        self._gone.clear()
        self._follower.look(live=live)  # after the acknowledgements: their jobs have to be there
        self.violations += history.lost(self.history, acks)
        for who, job_id, text in map(str.split, self._tail.lines()):
            self._runs[int(job_id)].append(Run(who, int(job_id), text))
        self._settle(self.history.now_us - self._aftermath_us)

    def close(self) -> None:
        """Judge all that is left: everything has come to its end, and nobody writes any more."""
        self.look(live=False)
        self._settle(self.history.now_us + 1)
        found = [f"job {job_id} has not come to its end" for job_id in self.history.jobs]
        found += [f"job {job_id} ran, which the log does not know" for job_id in self._runs]
        self.violations += found
        self.violations += self.history.breaches

    def _new_acks(self, name: str) -> Iterable[Ack]:
        for line in self._acks[name].lines():
            job_id, text = line.split()
            self.acked[name] += 1
            yield Ack(int(job_id), text)

    def _settle(self, before_us: int) -> None:
        """Judge the jobs that came to their end before then, and let go of them."""
        ended = self.history.ended
        settled = History()
        while ended and ended[0][0] < before_us:
            _, job_id = ended.popleft()
            settled.jobs[job_id] = self.history.jobs.pop(job_id)
        runs = [run for job_id in settled.jobs for run in self._runs.pop(job_id, ())]
        self.violations += history.strange_runs(settled, runs)
        self.violations += history.taken_from_the_living(settled, self.excused)
        for job in settled.jobs.values():
            self.violations += wrong_end(job, self.history.tasks.pop(job.id, "?"))
            self.ends[str(job.state)] += 1
        self.settled += len(settled.jobs)


def wrong_end(job: JobHistory, task: str) -> Sequence[str]:
    """It ended as its task does, after as many counted runs."""
    counted = sum(stint.ended in ("finish", "retry") for stint in job.stints)
    wanted = JobState.FAILED if task == "fail" else JobState.SUCCEEDED
    if job.state is wanted and counted == COUNTED_RUNS.get(task):
        return []
    return [f"job {job.id} ({task}) {job.state} after {counted} runs"]
