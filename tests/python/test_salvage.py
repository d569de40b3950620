"""Salvage gets out every job that is whole, none that is not, and says of which it is not sure."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from programs import PATIENCE

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "security"))
from forge import FRAME_HEADER, append, record

from quplog import JobNotFound, JobQueue, JobState, LogFull, LogLocked, NotALog
from quplog.log_store import LogScan, LogStore
from quplog.records import ScannedOp
from quplog.salvage import salvage
from quplog.salvage.report import SalvageReport
from quplog.store import Outcome, Put, PutSpec, ScheduleChange

SEGMENT = 65536
HOUR_US = 3600 * 1_000_000
SEND = PutSpec("send", queue="mail", retries=3, tags=("a", "b"))
STAMP = PutSpec("stamp", queue="post", priority=5)


class Known(NamedTuple):
    """A job, as a log has it."""

    state: JobState
    task: str
    queue: str
    priority: int
    attempt: int
    payload: bytes
    result: bytes | None
    errors: tuple[bytes, ...]


def read(directory: Path) -> dict[int, Known]:
    store = LogStore.open(directory, read_only=True)
    try:
        found = {}
        for record in store.find(limit=10_000):
            job = store.load(record.id)
            found[record.id] = Known(
                record.state,
                record.task,
                record.queue,
                record.priority,
                record.attempt,
                job.payload,
                job.result or None,
                job.errors,
            )
        return found
    finally:
        store.close()


class History:
    """A log with several segments in which everything happens that can, by a seed."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self._chance = random.Random(seed)  # noqa: S311  # nobody attacks this test
        self._ids: list[int] = []
        self._store = store = LogStore.open(directory, segment_size=SEGMENT)
        store.serve({"send": None, "stamp": None}, None)
        store.start()
        self._seat = store.seat()
        self._claimed = False

    def make(self, steps: int) -> None:
        for step in range(steps):
            self._put(self._chance.choice((1, 1, 1, 7)))
            if step % 3:
                self._work()
            if step % 17 == 11:
                self._store.cancel(self._chance.choice(self._ids), sync=False)
            if step == steps // 3:
                self._store.pause("post", paused=True)
                self._store.pause("post", paused=False)
                change = ScheduleChange("hourly", b"a rule", HOUR_US, 5, paused=True, expected=0)
                self._store.change_schedule(change, (), sync=False)
        self._store.sync()

    def compact(self) -> None:
        self._store.compact()

    def close(self) -> None:
        self._seat.close()
        self._store.close()

    def _payload(self) -> bytes:
        return self._chance.randbytes(self._chance.randrange(100, 1500))

    def _put(self, count: int) -> None:
        due_us = self._store.now_us() + HOUR_US if self._chance.random() < 0.2 else 0
        puts = [
            Put(self._chance.choice((SEND, STAMP)), self._payload(), due_us) for _ in range(count)
        ]
        self._ids += self._store.put(puts, sync=self._chance.random() < 0.3)

    def _work(self) -> None:
        outcome = Outcome.NONE
        if self._claimed:
            ends = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.RETRY, Outcome.SNOOZE)
            outcome = self._chance.choice((*ends, Outcome.SUCCEEDED, Outcome.RELEASE))
        later = outcome in {Outcome.RETRY, Outcome.SNOOZE}
        due_us = self._store.now_us() + HOUR_US if later else 0
        data = b"" if outcome in {Outcome.NONE, Outcome.RELEASE} else self._payload()
        self._claimed = self._seat.work(outcome, data, due_us, wait=False) is not None


@pytest.fixture(scope="module", params=[1, 2])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log as a kill leaves it, with a job that runs; one was compacted, and one was not.

    Not to be changed.
    """
    directory = tmp_path_factory.mktemp("whole") / "log"
    history = History(directory, request.param)
    history.make(120)
    if request.param == 2:
        history.compact()
        history.make(60)
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    history.close()
    return copy


def interrupted(jobs: dict[int, Known]) -> dict[int, Known]:
    """The same jobs when nobody runs them any more."""
    return {
        job_id: job._replace(state=JobState.READY, attempt=job.attempt - 1)
        if job.state is JobState.RUNNING
        else job
        for job_id, job in jobs.items()
    }


def without_what_is_not_copied(jobs: dict[int, Known]) -> dict[int, Known]:
    """A job that cannot run again has no payload once it is copied."""
    done = (JobState.SUCCEEDED, JobState.CANCELLED)
    return {
        job_id: job._replace(payload=b"") if job.state in done else job
        for job_id, job in jobs.items()
    }


# ---- whole logs ---------------------------------------------------------------------------------


def test_nothing_is_lost_of_a_whole_log(whole: Path, tmp_path: Path) -> None:
    report = salvage(whole, tmp_path / "new")
    assert not report.lost_something
    assert (report.damages, report.uncertain, report.lost, report.lost_finished) == ([], [], [], [])
    before = without_what_is_not_copied(interrupted(read(whole)))
    assert read(tmp_path / "new") == before
    counts = dict.fromkeys(JobState, 0)
    for job in before.values():
        counts[job.state] += 1
    assert report.jobs == counts
    for state in (JobState.FAILED, JobState.RETRYING, JobState.SCHEDULED):
        assert counts[state], "or nothing was shown"


def test_schedules_and_queues_are_as_they_were(whole: Path, tmp_path: Path) -> None:
    salvage(whole, tmp_path / "new")
    stores = [LogStore.open(path, read_only=True) for path in (whole, tmp_path / "new")]
    old, new = (
        [(s.id, s.rule, s.next_us, s.last_us, s.paused) for s in store.schedules()]
        for store in stores
    )
    assert old == new == [("hourly", b"a rule", HOUR_US, 5, True)]
    assert [store.stats().segment_size for store in stores] == [SEGMENT, SEGMENT]
    for store in stores:
        store.close()


def test_the_old_directory_is_not_written_to(whole: Path, tmp_path: Path) -> None:
    def photograph() -> dict[str, tuple[bytes, int]]:
        files = (path for path in whole.rglob("*") if path.is_file())
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    before = photograph()
    salvage(whole, tmp_path / "new")
    assert photograph() == before


def test_a_salvaged_log_goes_on(make: Callable[..., JobQueue], path: Path, tmp_path: Path) -> None:
    jq = make(workers=0)
    done: list[int] = []
    task = jq.task()(done.append)
    old = [task.enqueue(number) for number in range(3)]
    jq.close()
    salvage(path, tmp_path / "new")
    again = JobQueue(tmp_path / "new", workers=0)
    task = again.task()(done.append)
    new = [task.enqueue(number) for number in range(3, 5)]
    again.drain(timeout=60)
    assert done == [0, 1, 2, 3, 4], "the old ones first, in their order"
    assert [again.job(job.id).state for job in (*old, *new)] == [JobState.SUCCEEDED] * 5
    assert min(job.id for job in new) > 1 << 32
    again.compact()
    again.close()
    salvage(tmp_path / "new", tmp_path / "newer")
    assert {job.state for job in read(tmp_path / "newer").values()} == {JobState.SUCCEEDED}


def test_a_job_that_was_forgotten_does_not_come_back(
    make: Callable[..., JobQueue], path: Path, tmp_path: Path
) -> None:
    jq = make(keep_succeeded=0)
    task = jq.task()(int)
    with jq:
        kept, forgotten = task.using(delay=3600).enqueue(1), task.enqueue(2)
        give_up = time.monotonic() + PATIENCE
        with suppress(JobNotFound):
            while time.monotonic() < give_up:  # the helper forgets it within a second or so
                forgotten.refresh()
                time.sleep(0.01)
    salvage(path, tmp_path / "new")
    assert list(read(tmp_path / "new")) == [kept.id]


# ---- damaged logs -------------------------------------------------------------------------------


def damage(directory: Path, chance: random.Random) -> None:
    """Do something to the files of a log that a device or a person might do."""
    files = sorted(directory.glob("*.log"))
    file = chance.choice(files)
    content = bytearray(file.read_bytes())
    used = len(bytes(content).rstrip(b"\0"))
    match chance.choice(("bits", "bits", "sector", "garbage", "truncate", "remove", "headers")):
        case "bits":
            for _ in range(chance.choice((1, 1, 3))):
                content[chance.randrange(4096, used)] ^= 1 << chance.randrange(8)
        case "sector":
            at = chance.randrange(4096, used) // 512 * 512
            content[at : at + 512] = bytes(512)
        case "garbage":
            at = chance.randrange(4096, used) // 512 * 512
            content[at : at + 512] = chance.randbytes(512)
        case "truncate":
            del content[chance.randrange(used) :]
        case "remove" if len(files) > 1:
            file.unlink()
            return
        case _:
            content[:4096] = bytes(4096)
    file.write_bytes(content)


def ops_of(directory: Path) -> list[ScannedOp]:
    with LogScan(directory) as scan:
        return [found for found in scan if isinstance(found, ScannedOp)]


def check(
    ops: list[ScannedOp],
    left: set[int],
    truth: dict[int, Known],
    new: dict[int, Known],
    report: SalvageReport,
) -> None:
    """`left`: the LSNs of the records that were not damaged."""
    stored = {op.id for op in ops if op.type in {"put", "copy"} and op.lsn in left}
    cancels = {op.id for op in ops if op.type == "cancel" and op.lsn not in left}
    durable = {op.lsn for op in ops if op.lsn < report.durable_lsn}
    ends = {op.id: op.lsn for op in ops if op.type == "finish"}
    lost = {job_id for part in report.lost for job_id in part} | set(report.lost_finished)
    assert set(new) == stored & set(truth), "every job that is whole, and no other"
    assert not lost & set(new)
    known = {op.id for op in ops if op.type == "put" and op.lsn in durable}
    known |= {job_id for job_id in truth if job_id < max(new, default=0)}
    gone = (known & set(truth)) - set(new) - lost
    assert len(gone) <= report.traceless, "what is lost is named, or counted"
    assert set(report.uncertain) <= set(new)
    for job_id, job in new.items():
        was = truth[job_id]
        held = job_id in report.uncertain and not job.state.is_final
        assert (job.task, job.priority) == (was.task, was.priority)
        assert job.queue == (f"{was.queue}.held" if held else was.queue)
        if job.payload:
            assert was.payload in {job.payload, b""}
        if job.state.is_final:
            assert (job.state, job.result, job.errors[-1:]) == (
                was.state,
                was.result,
                was.errors[-1:],
            )
        elif was.state.is_final and job_id not in cancels:
            assert held or ends[job_id] not in durable, "a job that had finished would run again"


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_log_gives_every_job_that_is_whole_and_none_that_is_not(
    whole: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  # nobody attacks this test
    copy, new = tmp_path / "copy", tmp_path / "new"
    shutil.copytree(whole, copy)
    for _ in range(chance.choice((1, 1, 2, 5))):
        damage(copy, chance)
    left = {op.lsn for op in ops_of(copy)}
    report = salvage(copy, new)
    check(ops_of(whole), left, interrupted(read(whole)), read(new), report)
    assert report.lost_something == any(loss == "durable" for _, loss in report.damages)


@pytest.mark.parametrize("seed", range(4))
def test_jobs_that_may_have_finished_are_held_or_run_as_asked(
    whole: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  # nobody attacks this test
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    for _ in range(3):
        damage_a_sector(copy, chance)
    held = salvage(copy, tmp_path / "held")
    run = salvage(copy, tmp_path / "run", uncertain="run")
    assert held.uncertain, "or nothing was shown"
    assert held.uncertain == run.uncertain
    assert run.held_queues == []
    there, here = read(tmp_path / "held"), read(tmp_path / "run")
    assert there.keys() == here.keys()
    for job_id, job in there.items():
        moved = job_id in held.uncertain
        assert job == here[job_id]._replace(
            queue=f"{here[job_id].queue}.held" if moved else here[job_id].queue
        )
    store = LogStore.open(tmp_path / "held", read_only=True)
    assert all(store.paused(queue) for queue in held.held_queues)
    store.close()


def damage_a_sector(directory: Path, chance: random.Random) -> None:
    file = chance.choice(sorted(directory.glob("*.log")))
    content = bytearray(file.read_bytes())
    at = chance.randrange(4096, len(bytes(content).rstrip(b"\0"))) // 512 * 512
    content[at : at + 512] = chance.randbytes(512)
    file.write_bytes(content)


def test_a_log_of_which_no_segment_is_left_gives_none(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    for file in copy.glob("*.log"):
        file.unlink()
    with pytest.raises(NotALog):
        salvage(copy, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def flip(directory: Path, *lsns: int) -> None:
    """Damage the records that stand there; the log is one segment."""
    (file,) = directory.glob("*.log")
    content = bytearray(file.read_bytes())
    for lsn in lsns:
        content[lsn + 20] ^= 1
    file.write_bytes(content)


def test_new_jobs_at_the_damaged_end_of_a_log_are_counted(
    make: Callable[..., JobQueue], path: Path, tmp_path: Path
) -> None:
    jq = make(workers=0)
    task = jq.task()(int)
    for number in range(10):
        task.enqueue(number)
    jq.close()
    puts = [op.lsn for op in ops_of(path) if op.type == "put"]
    flip(path, *puts[-2:])
    report = salvage(path, tmp_path / "new")
    assert len(read(tmp_path / "new")) == 8
    assert (report.lost, report.traceless) == ([], 2)


def test_jobs_of_the_oldest_segment_are_counted_when_that_is_missing(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    history = History(directory, seed=2)
    history.make(120)
    history.compact()
    history.make(120)
    history.close()
    truth = set(read(directory))
    oldest = min(directory.glob("*.log"))
    assert int(oldest.stem, 16) > 0
    oldest.unlink()
    report = salvage(directory, tmp_path / "new")
    lost = {job_id for part in report.lost for job_id in part} | set(report.lost_finished)
    gone = truth - set(read(tmp_path / "new")) - lost
    assert 0 < len(gone) <= report.traceless


# ---- forged logs --------------------------------------------------------------------------------

PUT, CANCEL, SCHEDULE = 3, 8, 13
FORGED = {
    "an id that no log gives out": record(CANCEL, struct.pack("<Q", (1 << 64) - 1)),
    "a time before 1970": record(
        SCHEDULE, struct.pack("<BBHIqq", 0, 1, 0, 4, -5, 0) + b"s" + b"rule"
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_record_that_no_log_takes_is_left_out_and_named(
    name: str, make: Callable[..., JobQueue], path: Path, tmp_path: Path
) -> None:
    jq = make(workers=0)
    task = jq.task()(int)
    jobs = [task.enqueue(number) for number in range(3)]
    jq.close()
    lsn = append(path, FORGED[name]) + FRAME_HEADER
    report = salvage(path, tmp_path / "new")
    assert list(read(tmp_path / "new")) == [job.id for job in jobs]
    assert report.senseless == [lsn]
    assert report.lost_something


def test_a_forged_job_costs_no_other(
    make: Callable[..., JobQueue], path: Path, tmp_path: Path
) -> None:
    jq = make(workers=0)
    task = jq.task()(int)
    jobs = [task.enqueue(number) for number in range(3)]
    jq.close()
    put = record(PUT, struct.pack("<qIHBBHbxI", 0, 2, 0, 1, 1, 0, 0, 0) + b"tq\x91\x80")
    lsn = append(path, put, first_id=(1 << 62) - 3) + FRAME_HEADER
    report = salvage(path, tmp_path / "new")
    assert list(read(tmp_path / "new")) == [job.id for job in jobs]
    assert report.senseless == [lsn]
    assert report.next_id < 1 << 62


# ---- wrong use ----------------------------------------------------------------------------------


def test_a_log_that_somebody_has_open_is_not_salvaged(
    make: Callable[..., JobQueue], path: Path, tmp_path: Path
) -> None:
    jq = make(workers=0)
    jq.task()(print).enqueue("hello")
    with pytest.raises(LogLocked):
        salvage(path, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nobody_opens_a_log_while_it_is_salvaged(whole: Path, tmp_path: Path) -> None:
    refused: list[str] = []

    def try_to_open(what: str, _done: int, _total: int) -> None:
        with pytest.raises(LogLocked):
            LogStore.open(whole, lock_timeout_us=1).close()
        refused.append(what)

    salvage(whole, tmp_path / "new", progress=try_to_open)
    assert set(refused) == {"reading", "writing"}


@pytest.mark.parametrize("name", ["", "new/within", ".."])
def test_the_two_directories_are_to_be_apart(whole: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not apart"):
        salvage(whole, whole / name)


def test_nothing_that_is_there_is_written_over(whole: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    letter = new / "letter"
    letter.write_text("dear")
    with pytest.raises(FileExistsError, match="not an empty directory"):
        salvage(whole, new)
    with pytest.raises(FileExistsError, match="not an empty directory"):
        salvage(whole, letter)
    assert letter.read_text() == "dear"


def test_what_a_killed_salvage_left_is_named(whole: Path, tmp_path: Path) -> None:
    left = tmp_path / "new.incomplete"
    left.mkdir()
    with pytest.raises(FileExistsError, match="cut short"):
        salvage(whole, tmp_path / "new")
    left.rmdir()
    salvage(whole, tmp_path / "new")
    assert not left.exists()


def test_a_disk_that_is_too_small_leaves_no_new_log(whole: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(LogFull):
            salvage(whole, small / "new")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
