"""A storm: programs enqueue and run jobs on one log, and are killed one after the other.

The storm gives out work in rounds, kills one of the programs with SIGKILL in each, when the work of
that round has come so far as chance wants it, and starts another in its place. At the end it lets
all jobs run, stops the programs, and has `history` judge the log.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import history
from member import Lines, make_tasks

from quplog import JobQueue, JobState

MEMBER = Path(__file__).with_name("member.py")
PATIENCE = 120.0
"""Seconds without any progress after which the storm is given up."""

LULL = 2.0
"""Seconds after which a kill waits no longer for its round to come so far."""

POLL = 0.002
LATE = 12.0
BYTES = 400
"""What a job takes in the log, roughly."""
ALL_WELL = {JobState.SUCCEEDED}
NOT_YET_UP = 0.15
"""So often it is a program that is killed before it has said that it is at work."""


@dataclass(frozen=True)
class Plan:
    """What to try."""

    jobs: int
    kills: int
    seed: int
    roles: Sequence[str] = (*["produce"] * 4, *["work"] * 4)
    segments: int = 3
    """So many segments, roughly; from 4 on they are compacted."""
    keep: float | None = None
    """Seconds for which finished jobs are kept; None: as by default."""
    late: int = 0
    """So many jobs more are enqueued first and become due after LATE seconds."""


class Member:
    """One running program."""

    COMMAND: tuple[str | Path, ...] = (sys.executable, MEMBER)

    def __init__(self, log: Path, files: Path, name: str, role: str) -> None:
        self.name = name
        self.role = role
        self.process = subprocess.Popen(
            [*self.COMMAND, log, files, name, role],
            bufsize=0,  # what a dead program was not given is nobody's trouble
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._up = False

    @property
    def up(self) -> bool:
        """It has said that it is at work."""
        assert self.process.stdout is not None
        self._up = self._up or bool(self.process.stdout.read())
        if not self._up and self.process.poll() is not None:
            raise OSError(f"{self.name} ended by itself, with {self.process.returncode}")
        return self._up

    @property
    def who(self) -> str:
        """Its name in the log."""
        return f"{socket.gethostname()}:{self.process.pid}"

    def give(self, number: int) -> None:
        """Let it enqueue so many jobs."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n".encode())

    def kill(self) -> str:
        """Kill it; who it was, as the log knows it."""
        self.process.kill()
        self._close()
        return self.who

    def stop(self) -> int:
        """Let it end by itself; its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        self._close()
        return code

    def _close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(PATIENCE)


class LineCount:
    """How many lines files have by now."""

    def __init__(self) -> None:
        self._counts: dict[Path, tuple[int, int]] = {}

    def of(self, path: Path) -> int:
        """Counts only what came since the last look."""
        size, lines = self._counts.get(path, (0, 0))
        if path.exists():
            with path.open("rb") as file:
                file.seek(size)
                added = file.read()
            size, lines = size + len(added), lines + added.count(b"\n")
            self._counts[path] = size, lines
        return lines


class Storm:
    """One storm in the folder `place`, by this plan. `tell` is called after each kill."""

    def __init__(
        self,
        place: Path,
        plan: Plan,
        start: Callable[[Path, Path, str, str], Member] = Member,
        tell: Callable[[Storm], None] = lambda _: None,
    ) -> None:
        self.plan = plan
        self.log = place / "jobs"
        self.killed: set[str] = set()
        self.kills: Counter[str] = Counter()
        self.problems: list[str] = []
        self._files = place
        self._start_one = start
        self._tell = tell
        self._chance = random.Random(plan.seed)  # noqa: S311  # nobody attacks this test
        self._lines = LineCount()
        self._follower = history.Follower(self.log)
        self._members: list[Member] = []
        self._given: Counter[str] = Counter()
        self._began = time.monotonic()

    # What it sees

    @property
    def acked(self) -> int:
        """So many jobs were acknowledged."""
        return sum(self._acked(name) for name in self._given)

    @property
    def ran(self) -> int:
        """So many runs were written down."""
        return self._lines.of(self._files / "runs")

    def _acked(self, name: str) -> int:
        return self._lines.of(self._files / f"{name}.acks")

    def _outstanding(self) -> int:
        """Jobs that the programs that live were told to enqueue, and have not yet."""
        return sum(self._given[each.name] - self._acked(each.name) for each in self._members)

    # What it does

    def run(self) -> dict[str, object]:
        """All of it; what was tried, and what was violated."""
        size = max(1 << 16, self.plan.jobs * BYTES // self.plan.segments)
        keep = self.plan.keep
        with JobQueue(self.log, segment_size=size, keep_succeeded=keep, workers=0) as jq:
            jq.counts()  # it is open from now on, so that nobody ever has to recover it
            self._enqueue_late(jq)
            try:
                self._members = [self._start(index, 0) for index in range(len(self.plan.roles))]
                for round_ in range(1, self.plan.kills + 1):
                    self._round(round_)
                    self._tell(self)
                self._finish(jq)
            finally:
                for member in self._members:
                    member.kill()
        return self._judge()

    def _enqueue_late(self, jq: JobQueue) -> None:
        lines = Lines(self._files / "late.acks")
        work, *_ = make_tasks(jq, lines)
        for number in range(self.plan.late):
            text = f"late-{number}"
            lines.add(f"{work.using(delay=LATE).enqueue(text).id} {text}")

    def _start(self, index: int, round_: int) -> Member:
        role = self.plan.roles[index]
        name = f"{role.replace(',', '-')}-{index}-{round_}"
        self._given[name] = 0
        return self._start_one(self.log, self._files, name, role)

    def _round(self, number: int) -> None:
        share = max(1, self.plan.jobs // (self.plan.kills + 1) // len(self._producers()))
        left = self.plan.jobs - self.acked - self._outstanding()
        for member in self._producers():
            if left > 0:
                self._give(member, min(share, left))
                left -= share
        index = self._chance.randrange(len(self._members))
        if self._chance.random() >= NOT_YET_UP:
            self._wait(lambda: self._members[index].up)
        goal = self.acked + self.ran + self._chance.randrange(2 * share * len(self._producers()))
        lull = time.monotonic() + LULL
        while self.acked + self.ran < goal and time.monotonic() < lull and self._outstanding():
            self._follower.look(live=True)
            time.sleep(self._chance.uniform(0, POLL))
        victim = self._members[index]
        self.killed.add(victim.kill())
        self.kills[victim.role] += 1
        self._members[index] = self._start(index, number)

    def _producers(self) -> list[Member]:
        return [member for member in self._members if "produce" in member.role]

    def _give(self, member: Member, number: int) -> None:
        self._given[member.name] += number
        member.give(number)

    def _finish(self, jq: JobQueue) -> None:
        """Enqueue what is left, let everything run, and let the programs end."""
        self._wait(lambda: self._outstanding() <= 0)
        left = max(0, self.plan.jobs - self.acked)
        number = len(self._producers())
        for index, member in enumerate(self._producers()):
            self._give(member, (left + index) // number)  # which is `left` in all
        self._wait(lambda: self._outstanding() <= 0)
        self._wait(lambda: {state for state, n in jq.counts().items() if n} <= ALL_WELL)
        for member in self._members:
            if (code := member.stop()) != 0:
                self.problems.append(f"{member.name} ended with {code}")
        self._members = []

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Wait for it, as long as there is any progress."""
        before, since = (-1, -1), time.monotonic()
        while not ready():
            self._follower.look(live=True)
            now = self.acked, self.ran
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                raise TimeoutError(f"the storm stands still at {now} acknowledged and run")
            time.sleep(POLL)

    def _judge(self) -> dict[str, object]:
        self._follower.look()
        found = self._follower.history
        acks = history.read_acks(self._files.glob("*.acks"))
        runs = history.read_runs(self._files / "runs")
        breaches = history.breaches(found, acks=acks, runs=runs, killed=self.killed)
        if found.opens != 1:
            breaches.append(f"the log was recovered {found.opens - 1} times although others lived")
        return {
            "seed": self.plan.seed,
            "kills": dict(self.kills),
            "jobs": len(found.jobs),
            "acknowledged": len(acks),
            "runs": len(runs),
            "claims ended by": dict(found.ends),
            "copied by compaction": found.copies,
            "trimmed up to": min(int(path.stem, 16) for path in self.log.glob("*.log")),
            "seconds": round(time.monotonic() - self._began, 1),
            "violations": [*self.problems, *breaches],
        }
