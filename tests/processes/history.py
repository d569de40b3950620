"""What the log promises, checked on a whole history of it: the judge of the tests with processes.

Each promise is a function that returns the breaches it found, as sentences; none is good. The
history is what `LogReader` reads, op by op; beside it stand what those who enqueue were told
(`Ack`), what the jobs themselves wrote when they ran (`Run`), and which processes were killed.

A process is named as its WORKER record names it: "host:pid".
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from quplog import JobState
from quplog.log_store import LogReader
from quplog.records import LogRecord

FINAL = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
RELEASE_REASONS = {1: "stop", 2: "crash", 3: "cancel"}
BATCH = re.compile(r"(?P<batch>[a-z][\w.-]*)#(?P<number>\d+)/(?P<size>\d+)$")
"""How a payload ends whose job was enqueued with others, in one step: which one of how many."""


class Ack(NamedTuple):
    """An enqueue that returned: this id, for a job with this text among its arguments."""

    id: int
    text: str


class Run(NamedTuple):
    """What a job wrote while it ran."""

    who: str
    id: int
    text: str


@dataclass
class Stint:
    """A claim, and how it ended: "finish", "retry", "stop", "crash", "open", or "": not yet."""

    token: int
    slot: int
    generation: int
    who: str
    ended: str = ""


@dataclass
class JobHistory:
    """All that the log says of one job."""

    id: int
    frame_lsn: int
    payload: bytes
    due_us: int
    stints: list[Stint] = field(default_factory=list)
    state: JobState | None = None
    """Its final state; None: it has none yet."""

    @property
    def live(self) -> Stint | None:
        """The claim that stands."""
        return self.stints[-1] if self.stints and not self.stints[-1].ended else None


@dataclass
class History:
    """The jobs and workers of a log, as its records tell of them one after the other."""

    jobs: dict[int, JobHistory] = field(default_factory=dict)
    workers: dict[int, tuple[int, str]] = field(default_factory=dict)
    """By slot: the generation and the name of whoever has it; no name: nobody since an OPEN."""
    gone: dict[int, tuple[int, str]] = field(default_factory=dict)
    """By slot: who had it before the last OPEN. Compaction goes on to copy its record."""
    last_id: int = 0
    opens: int = 0
    copies: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)
    """Records that may not stand where they stand."""

    def add(self, record: LogRecord) -> None:
        """Take the next record."""
        take = _TAKE.get(record.type)
        if take is not None:
            take(self, record)

    def breach(self, record: LogRecord, what: str) -> None:
        self.breaches.append(f"{record.type} of job {record.id} at {record.lsn}: {what}")

    def job(self, record: LogRecord) -> JobHistory | None:
        job = self.jobs.get(record.id)
        if job is None:
            self.breach(record, "the log knows no such job")
        return job

    def live(self) -> Iterable[tuple[JobHistory, Stint]]:
        for job in self.jobs.values():
            if job.live is not None:
                yield job, job.live


# ---- the records --------------------------------------------------------------------------------


def _put(history: History, record: LogRecord) -> None:
    if record.id in history.jobs:
        history.breach(record, "the id was given before")
    elif record.id < history.last_id:
        history.breach(record, f"{history.last_id} was given before it")
    history.last_id = max(history.last_id, record.id)
    history.jobs[record.id] = JobHistory(record.id, record.frame_lsn, record.data, record.due_us)


def _claim(history: History, record: LogRecord) -> None:
    job = history.job(record)
    if job is None:
        return
    generation, who = history.workers.get(record.slot, (0, "nobody"))
    if generation != record.generation:
        history.breach(record, f"slot {record.slot} is of generation {generation}, {who}")
    if job.live is not None:
        history.breach(record, f"the claim of {job.live.who} at {job.live.token} stands")
    if job.state is not None:
        history.breach(record, f"it had {job.state}")
    if job.due_us > record.time_us:
        history.breach(record, "it is not due yet")
    job.stints.append(Stint(record.lsn, record.slot, record.generation, who))


def _end(history: History, record: LogRecord, how: str) -> JobHistory | None:
    """The claim that stands ends, which the record has to name."""
    job = history.job(record)
    if job is None:
        return None
    if job.live is None:
        history.breach(record, "nobody has claimed it")
        return None
    if job.live.token != record.token:
        history.breach(record, f"it names {record.token}, but {job.live.token} stands")
        return None
    job.live.ended = how
    history.ends[how] += 1
    return job


def _finish(history: History, record: LogRecord) -> None:
    job = _end(history, record, "finish")
    if job is not None:
        job.state = record.state


def _retry(history: History, record: LogRecord) -> None:
    job = _end(history, record, "retry")
    if job is not None:
        job.due_us = record.due_us


def _release(history: History, record: LogRecord) -> None:
    _end(history, record, RELEASE_REASONS.get(record.reason, f"reason {record.reason}"))


def _cancel(history: History, record: LogRecord) -> None:
    job = history.job(record)
    if job is not None and job.live is None and job.state is None:
        job.state = JobState.CANCELLED


def _copy(history: History, record: LogRecord) -> None:
    """Compaction says again what is: nothing else than what was."""
    job = history.job(record)
    if job is None:
        return
    history.copies += 1
    told = record.state if record.state in FINAL else None
    if job.state is not told:
        history.breach(record, f"it had {job.state}, and is copied as {record.state}")
    token = job.live.token if job.live is not None else 0
    if (record.token if record.state is JobState.RUNNING else 0) != token:
        history.breach(record, f"the claim of {token} stands, but {record.token} is copied")
    if record.data != job.payload and not (told and not record.data):
        history.breach(record, f"{job.payload!r} is copied as {record.data!r}")


def _worker(history: History, record: LogRecord) -> None:
    who = f"{record.name}:{record.number}"
    generation, before = history.workers.get(record.slot, (0, "nobody"))
    if generation == record.generation and before == who:
        return
    if not before and history.gone.get(record.slot) == (record.generation, who):
        return
    if record.generation <= generation:
        history.breach(record, f"slot {record.slot} had generation {generation} before")
    for job, stint in history.live():
        if stint.slot == record.slot:
            history.breach(record, f"{who} takes the slot in which job {job.id} still runs")
            stint.ended = "crash"
    history.workers[record.slot] = record.generation, who


def _open(history: History, _: LogRecord) -> None:
    history.opens += 1
    for _job, stint in history.live():
        stint.ended = "open"
        history.ends["open"] += 1
    # Nobody was there when the log was opened: who claims now has to take a slot first.
    history.gone |= {slot: worker for slot, worker in history.workers.items() if worker[1]}
    history.workers = {slot: (number, "") for slot, (number, _) in history.workers.items()}


_TAKE: Mapping[str, Callable[[History, LogRecord], None]] = {
    "put": _put,
    "claim": _claim,
    "finish": _finish,
    "retry": _retry,
    "release": _release,
    "cancel": _cancel,
    "copy": _copy,
    "worker": _worker,
    "open": _open,
}


def replay(records: Iterable[LogRecord]) -> History:
    """The history that these records tell."""
    history = History()
    for record in records:
        history.add(record)
    return history


class Follower:
    """Reads a log while it is written, so that it knows also what will be trimmed."""

    def __init__(self, path: Path) -> None:
        self.history = History()
        self._path = path
        self._frame = self._last = 0

    def look(self, *, live: bool = False) -> None:
        """Read what has come since the last look. `live`: a frame may just be being written."""
        with LogReader(self._path, self._frame) as reader:
            for record in reader:
                if record.lsn > self._last:
                    self.history.add(record)
                    self._frame, self._last = record.frame_lsn, record.lsn
            report = reader.report()
        if report.message or (report.damage_lsn and not live):
            damage = f"the log is damaged at {report.damage_lsn}: {report.message}"
            self.history.breaches.append(damage)


def read_history(path: Path) -> History:
    """The history of the log in this directory, of which nothing may have been trimmed."""
    follower = Follower(path)
    follower.look()
    return follower.history


# ---- the promises -------------------------------------------------------------------------------


def lost(history: History, acks: Iterable[Ack]) -> list[str]:
    """No acknowledged job is lost, and each acknowledgement is of a job of its own."""
    found = []
    told: dict[int, str] = {}
    for ack in acks:
        job = history.jobs.get(ack.id)
        if ack.id in told:
            found.append(f"job {ack.id} was acknowledged for {told[ack.id]!r} and {ack.text!r}")
        told[ack.id] = ack.text
        if job is None:
            found.append(f"job {ack.id} ({ack.text!r}) was acknowledged and is lost")
        elif ack.text.encode() not in job.payload:
            found.append(f"job {ack.id} was acknowledged for {ack.text!r}: it is {job.payload!r}")
    return found


def unfinished(history: History) -> list[str]:
    """Every job has finished, and well."""
    return [
        f"job {job.id} has not succeeded: {job.state or job.live or 'it was not run'}"
        for job in history.jobs.values()
        if job.state is not JobState.SUCCEEDED
    ]


def taken_from_the_living(history: History, killed: Collection[str]) -> list[str]:
    """A claim is cut off only if its process was killed: its name or its host."""
    return [
        f"job {job.id} was taken from {stint.who}, which was not killed: {stint.ended}"
        for job in history.jobs.values()
        for stint in job.stints
        if stint.ended not in ("finish", "retry")
        and stint.who not in killed
        and stint.who.rpartition(":")[0] not in killed
    ]


def strange_runs(history: History, runs: Iterable[Run]) -> list[str]:
    """Jobs run as the log says: each claim at most once, by its worker, none after the finish."""
    by_job: defaultdict[int, list[Run]] = defaultdict(list)
    found = []
    for run in runs:
        job = history.jobs.get(run.id)
        by_job[run.id].append(run)
        if job is None:
            found.append(f"{run.who} ran job {run.id}, which the log does not know")
        elif run.text.encode() not in job.payload:
            found.append(f"{run.who} ran job {run.id} as {run.text!r}: it is {job.payload!r}")
    for job in history.jobs.values():
        ran = [run.who for run in by_job[job.id]]
        if not _is_explained(ran, job.stints):
            claims = [(stint.who, stint.ended) for stint in job.stints]
            found.append(f"job {job.id} was run by {ran}, but the log says {claims}")
    return found


def _is_explained(ran: Sequence[str], stints: Sequence[Stint]) -> bool:
    """Each run belongs to a claim, in this order; only a claim that was cut off may have none."""
    left = list(ran)
    for stint in reversed(stints):
        if left and left[-1] == stint.who:
            left.pop()
        elif stint.ended in ("finish", "retry"):
            return False
    return not left


def torn_batches(history: History) -> list[str]:
    """What was enqueued in one step stands in one frame, whole."""
    frames: defaultdict[str, set[int]] = defaultdict(set)
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    sizes: dict[str, int] = {}
    for job in history.jobs.values():
        match = BATCH.search(job.payload.decode("utf-8", "replace"))
        if match:
            batch = match["batch"]
            frames[batch].add(job.frame_lsn)
            numbers[batch].append(int(match["number"]))
            sizes[batch] = int(match["size"])
    return [
        f"of {batch!r} there are {sorted(numbers[batch])} of {size}, in {len(frames[batch])} frames"
        for batch, size in sizes.items()
        if len(frames[batch]) != 1 or sorted(numbers[batch]) != list(range(1, size + 1))
    ]


def doubled(history: History) -> list[str]:
    """Nothing was enqueued twice: all texts differ."""
    counts = Counter(job.payload for job in history.jobs.values())
    return [f"{payload!r} stands {n} times in the log" for payload, n in counts.items() if n > 1]


def breaches(
    history: History,
    *,
    acks: Sequence[Ack],
    runs: Sequence[Run],
    killed: Collection[str],
) -> list[str]:
    """All promises together, of a log whose jobs have all come to their end."""
    return [
        *history.breaches,
        *lost(history, acks),
        *unfinished(history),
        *taken_from_the_living(history, killed),
        *strange_runs(history, runs),
        *torn_batches(history),
        *doubled(history),
    ]


# ---- what was written beside the log ------------------------------------------------------------


def whole_lines(path: Path) -> list[str]:
    """The lines of a file whose writer may have been killed in the middle of one."""
    return path.read_text("utf-8").split("\n")[:-1] if path.exists() else []


def read_acks(paths: Iterable[Path]) -> list[Ack]:
    """Lines of "id text"."""
    words = (line.split() for path in paths for line in whole_lines(path))
    return [Ack(int(job_id), text) for job_id, text in words]


def read_runs(path: Path) -> list[Run]:
    """Lines of "host:pid id text"."""
    words = (line.split() for line in whole_lines(path))
    return [Run(who, int(job_id), text) for who, job_id, text in words]
