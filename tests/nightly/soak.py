"""Hours of work on one log, with bounded memory, disk and descriptors, plotted over the time.

    python tests/nightly/soak.py --seconds 14400 --rate 200 --seed 1 --plot build/soak.png

Programs of their own enqueue and run jobs (with results, retries, failures, schedules, a queue that
is paused now and then), only look, or open and close the log again and again; the log is compacted
all the time. Some of them live to the end; beside those, one that enqueues and one that runs jobs
are killed with SIGKILL or stopped, and others take their place. Each second all are measured. At
the end everybody is killed at once, the log is recovered, and what is left runs.

No acknowledged job may be lost, none finished twice (soak_ledger.py). What is measured has to be
bounded (soak_judge.py): of each program that lives to the end, and of the log's directory, also
compared with what counts of it. A soak of less than JUDGED_FROM seconds says nothing about growth,
which caches that fill and a slow machine would decide; only ceilings hold for it, far above what is
usual.

All measurements stand in a CSV file beside the picture. Without matplotlib (pip install --group
soak) there is no picture.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import proof
from samples import Samples, of_directory
from soak_judge import SoakJudge
from soak_ledger import Ledger
from soak_plot import draw, write_csv

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "processes"))
from member import Lines
from soak_member import SIDE, make_tasks
from storm import Member

from quplog import JobQueue

LASTING = ("produce", "work", "look", "reopen")
"""The roles of the programs that live to the end."""
PASSING = ("produce", "work")
"""Those that are killed and stopped in between."""
KEEP = 5.0
"""Seconds for which finished jobs are kept: the log is read here before they can be trimmed."""
AFTERMATH = 30.0
LATE = 300
"""So many jobs are due only near the end, and are copied forward until then."""
TICK = 0.05
BACKLOG = 10.0
"""Nothing is enqueued while so many seconds' jobs wait: a slow machine is no leak."""
NUDGE = 0.5
"""Seconds between the turns of those who look, and who open and close."""
PATIENCE = 120.0
JOB_BYTES = 700
"""What a job takes in the log at most, all its records together, on the average."""
SEGMENT_LEAST, SEGMENT_MOST = 1 << 16, 1 << 20


class SoakMember(Member):
    """One running program of the soak."""

    COMMAND = (sys.executable, Path(__file__).with_name("soak_member.py"))


class Soak:
    """One soak in the folder `place`."""

    def __init__(self, place: Path, seconds: int, rate: int, seed: int) -> None:
        self.samples = Samples()
        self.kills: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()
        self.events: list[tuple[float, str]] = []
        """When somebody was killed, stopped or paused, and what it was."""
        self.log = place / "jobs"
        self.ledger = Ledger(self.log, place, AFTERMATH)
        self._files = place
        self._seconds = seconds
        self._rate = rate
        self._chance = random.Random(seed)  # noqa: S311  # nobody attacks this test
        size = rate * seconds * JOB_BYTES // 50
        self.segment = min(SEGMENT_MOST, max(SEGMENT_LEAST, size))
        self._judge = SoakJudge(self.samples, seconds, self.segment)
        self._members: dict[str, Member] = {}
        self._given: Counter[str] = Counter()
        self._started = 0
        self._began = time.monotonic()
        self._credit = self._nudged = 0.0
        self._turns = 0

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def run(self, tell: Callable[[Soak], None]) -> None:
        """All of it."""
        jq = JobQueue(
            self.log, segment_size=self.segment, keep_succeeded=KEEP, keep_failed=KEEP, workers=0
        )
        self._enqueue_late(jq)  # it is open from now on, so that nobody ever has to recover it
        try:
            for role in LASTING:
                self._start(role, role)
            for role in PASSING:
                self._start(f"passing {role}", role)
            self._soak(jq, tell)
            jq.queue(SIDE).resume()
            jq.close()
            self._end()
        finally:
            for member in self._members.values():
                member.kill()

    def _enqueue_late(self, jq: JobQueue) -> None:
        self.ledger.follow("late")
        acks = Lines(self._files / "late.acks")
        work = make_tasks(jq, acks)["work"].using(delay=0.9 * self._seconds)
        texts = [f"late.{number}" for number in range(LATE)]
        jobs = jq.enqueue_many([work.job(text) for text in texts])
        acks.add(*(f"{job.id} {text}" for job, text in zip(jobs, texts, strict=True)))

    def _soak(self, jq: JobQueue, tell: Callable[[Soak], None]) -> None:
        """Let them work, measure them, and disturb them, until the time is over."""
        disturb = self._disturbances(jq)
        next_sample = next_event = 0.0
        before = 0.0
        while (now := self.now) < self._seconds:
            self._pace(now - before)
            before = now
            self.ledger.look()
            if now >= next_sample:
                self._measure(jq)
                tell(self)
                next_sample = now + min(1.0, self._seconds / 40)
            if now >= next_event:
                next(disturb)
                next_event = now + self._chance.uniform(0.5, 1.5) * min(10, self._seconds / 6)
            time.sleep(TICK)

    def _pace(self, seconds: float) -> None:
        """Give out what is to be done in so much time."""
        if self.now - self._nudged > NUDGE and self._acked("reopen") >= self._turns:
            self._nudged = self.now
            self._turns += 1
            for name in ("look", "reopen"):
                self._members[name].give(1)
        producers = [name for name, each in self._members.items() if each.role == "produce"]
        outstanding = sum(self._given[name] - self._acked(name) for name in producers)
        if self.ledger.pending + outstanding > self._rate * BACKLOG:
            return
        self._credit += self._rate * seconds
        share = int(self._credit / len(producers))
        self._credit -= share * len(producers)
        for name in producers if share else ():
            self._given[name] += share
            self._members[name].give(share)

    def _acked(self, name: str) -> int:
        """So many jobs were acknowledged to the program that is in this place now."""
        return self.ledger.acked[self._members[name].name]

    def _measure(self, jq: JobQueue) -> None:
        at = self.now
        for name, member in self._members.items():
            if member.process.poll() is not None:
                raise OSError(f"{member.name} ended by itself, with {member.process.returncode}")
            self.samples.add_process(name, member.process.pid, at)
        self.samples.add("log", "disk", at, of_directory(self.log))
        self.samples.add("log", "live", at, JOB_BYTES * sum(jq.counts().values()))

    # What happens in between

    def _disturbances(self, jq: JobQueue) -> Iterator[None]:
        """Without end: each step kills, stops, pauses or resumes."""
        while True:
            yield
            for role in self._chance.sample(PASSING, len(PASSING)):
                self._kill(f"passing {role}")
                yield
            jq.queue(SIDE).pause()
            self._note("pause")
            yield
            jq.queue(SIDE).resume()
            self._note("resume")
            yield
            self._stop(f"passing {self._chance.choice(PASSING)}")

    def _kill(self, name: str) -> None:
        member = self._members[name]
        self._wait(lambda: member.up)
        self.ledger.let_go(member.name, member.kill())
        self.kills[member.role] += 1
        self._note(f"kill {member.role}")
        self._start(name, member.role)

    def _stop(self, name: str) -> None:
        member = self._members[name]
        self._wait(lambda: member.up)
        self._let_end(member)
        self.stops[member.role] += 1
        self._note(f"stop {member.role}")
        self._start(name, member.role)

    def _let_end(self, member: Member) -> None:
        if (code := member.stop()) != 0:
            self.ledger.violations.append(f"{member.name} ended with {code}")
        self.ledger.let_go(member.name, member.who)

    def _start(self, name: str, role: str) -> None:
        """Start a program; `name` is its place, and its own name has a number."""
        self._started += 1
        own = f"{role}-{self._started}"
        self.ledger.follow(own)
        self._given[name] = 0
        self._members[name] = SoakMember(self.log, self._files, own, role)

    def _note(self, what: str) -> None:
        self.events.append((self.now, what))

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Wait for it; what is written meanwhile is read, so that nothing is trimmed unread."""
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"in {PATIENCE} s nothing came of it")
            self.ledger.look()
            time.sleep(TICK)

    # The end

    def _end(self) -> None:
        """Kill everybody at once, recover the log, let the rest run, and judge the jobs."""
        for member in self._members.values():
            member.process.kill()
        for member in self._members.values():
            self.ledger.let_go(member.name, member.kill())
        self._members = {}
        self._start("last", "work")
        last = self._members["last"]
        self._wait(lambda: last.up)
        jq = JobQueue(self.log, workers=0)
        jq.unschedule("tick")
        self._wait(lambda: self.ledger.pending == 0)
        self._let_end(self._members.pop("last"))
        jq.close()
        self.ledger.close()
        times = self.ledger.history.opens - 1
        if times != 1:  # at the end, after all had been killed
            self.ledger.violations.append(f"the log was recovered {times} times, not once")

    # What came of it

    def violations(self) -> list[str]:
        """Of the jobs, and of what was measured."""
        return [*self.ledger.violations, *self._judge.violations(LASTING)]

    def tried(self) -> dict[str, object]:
        """The figures."""
        history = self.ledger.history
        return {
            "jobs": self.ledger.settled,
            "ended as": dict(self.ledger.ends),
            "claims ended by": dict(history.ends),
            "kills": dict(self.kills),
            "stops": dict(self.stops),
            "opened and closed again": self._turns,
            "copied by compaction": history.copies,
            "trimmed up to": min(int(path.stem, 16) for path in self.log.glob("*.log")),
            "segment": self.segment,
            **self._judge.figures(),
        }


def parse() -> argparse.Namespace:
    parser = proof.parser(
        "Let programs work on one log for hours, and look whether memory, disk and descriptors "
        "are bounded, and whether a job is lost or finished twice.",
        seconds=proof.Size(14_400, "how long"),
        rate=proof.Size(200, "how many jobs a second"),
    )
    parser.add_argument(
        "--plot",
        type=Path,
        default=proof.ROOT / "build" / "soak.png",
        metavar="FILE",
        help="draw what was measured (.png or .svg), and list it in a .csv (build/soak.png)",
    )
    return parser.parse_args()


def prove(arguments: argparse.Namespace, place: Path, answer: proof.Answer) -> None:
    soak = Soak(place, arguments.seconds, arguments.rate, arguments.seed)
    way = proof.Progress("seconds", arguments.seconds)

    def show(soak: Soak) -> None:
        ledger = soak.ledger
        done = f", {ledger.settled} jobs settled, {ledger.pending} wait, {len(soak.events)} events"
        way.show(int(soak.now), done)

    try:
        soak.run(show)
        answer.tried |= soak.tried()
        answer.violations += soak.violations()
    except BaseException:
        answer.tried["settled"] = soak.ledger.settled
        answer.violations += soak.ledger.violations
        raise
    finally:
        table = write_csv(soak.samples, arguments.plot.with_suffix(".csv"))
        answer.tried["measurements"] = str(table)
        answer.tried["picture"] = draw(soak.samples, soak.events, arguments.plot)


def main() -> int:
    arguments = parse()
    with proof.Answer("soak", arguments.seed) as answer, answer.place("soak") as place:
        prove(arguments, place, answer)
    return answer.code


if __name__ == "__main__":
    sys.exit(main())
