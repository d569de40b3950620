"""A full disk: nothing more is taken in, nothing is lost, and workers go on until there is room.

The disks are small, and full to the last block.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from disks import Disk, ext4, tmpfs
from watched import PATIENCE, Programs, eventually, switches

from quplog import JobQueue, JobState, LogFull, PayloadError
from quplog.log_store import LogReader

SEGMENT = 256 * 1024

OPTIONS = f"segment_size={SEGMENT}, keep_succeeded=0"

WORKER = f"""
    jq = JobQueue("disk/jobs", workers=2, {OPTIONS})

    @jq.task()
    def work(n: int, data: bytes) -> None:
        tell(n)

    jq.start()
    tell("up")
    threading.Event().wait()
    """


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """4 MiB, or what ext4 leaves of 8."""
    place = tmp_path / "disk"
    made = tmpfs(place, "4m") if request.param == "tmpfs" else ext4(place, "8m", tmp_path / "image")
    with made as disk:
        yield disk


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Disk]:
    with tmpfs(tmp_path / "disk", "4m") as disk:
        yield disk


def producer(disk: Disk, *, keep_succeeded: float = 0) -> JobQueue:
    path = disk.path / "jobs"
    return JobQueue(path, workers=0, segment_size=SEGMENT, keep_succeeded=keep_succeeded)


def fill_up(jq: JobQueue, disk: Disk) -> dict[int, int]:
    """Enqueue until not even the smallest is taken in; the numbers of the jobs by their ids."""
    work = jq.task(name="work")(print)
    acknowledged: dict[int, int] = {}
    for size in (4000, 0):
        refused = None
        while refused is None:
            n = len(acknowledged)
            try:
                acknowledged[work.using(sync=n % 100 == 0).enqueue(n, bytes(size)).id] = n
            except LogFull as error:
                refused = error
            if n == 100:
                disk.fill()
        assert refused.outcome_known
    return acknowledged


def check_whole(disk: Disk) -> None:
    """Every byte of the log is as it should be."""
    command = [Path(sys.executable).with_name("quplog"), "verify", disk.path / "jobs"]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    with LogReader(disk.path / "jobs") as reader:
        assert sum(1 for _ in reader)
        assert reader.report().damage_lsn == 0


def test_what_a_full_disk_refuses_changes_nothing(disk: Disk, tmp_path: Path) -> None:
    other = f"""
        jq = JobQueue("disk/jobs", workers=0, {OPTIONS})
        work = jq.task(name="work")(print)
        tell(sum(jq.counts().values()))
        while hear():
            tell(kind(work.enqueue, -1, bytes(4000)), sum(jq.counts().values()))
        """
    with Programs(tmp_path) as run, producer(disk) as jq:
        acknowledged = fill_up(jq, disk)
        before = jq.counts()
        work = jq.task(name="print")(print)
        program = run(other)
        assert program.line() == str(len(acknowledged))
        for _ in range(3):
            with pytest.raises(LogFull):
                work.enqueue(bytes(4000))
            with pytest.raises(LogFull):
                jq.enqueue_many([work.job(bytes(10)) for _ in range(1000)])
            assert program.ask("again") == f"LogFull True {len(acknowledged)}"
        assert jq.counts() == before
        assert {job.id for job in jq.jobs(limit=10**6)} == acknowledged.keys()
        check_whole(disk)
        disk.relieve()
        eventually(lambda: takes_in(jq))
        assert max(job.id for job in jq.jobs(limit=10**6)) == len(acknowledged) + 1


def takes_in(jq: JobQueue) -> bool:
    """Whether a job is that is larger than the smallest."""
    try:
        jq.task(name="more")(pow).enqueue(1 << 60, 1 << 60, bytes(60))
    except LogFull:
        return False
    return True


def test_a_worker_in_another_process_drains_a_full_disk(disk: Disk, tmp_path: Path) -> None:
    """What finished is forgotten then and its room given back: it takes in again."""
    with Programs(tmp_path) as run, producer(disk) as jq:
        acknowledged = fill_up(jq, disk)
        assert not takes_in(jq)
        worker = run(WORKER)
        lines = [worker.line() for _ in range(len(acknowledged) + 1)]
        ran = sorted(int(line) for line in lines if line != "up")
        assert ran == sorted(acknowledged.values())
        eventually(lambda: takes_in(jq))
        check_whole(disk)


def test_workers_in_the_same_process_drain_a_full_disk(disk: Disk) -> None:
    with producer(disk) as jq:
        acknowledged = fill_up(jq, disk)
        assert not takes_in(jq)
        with worker_here(disk) as (here, ran):
            here.drain(PATIENCE)
            assert sorted(ran) == sorted(acknowledged.values())
            eventually(lambda: takes_in(jq))
        check_whole(disk)


@contextmanager
def worker_here(disk: Disk) -> Iterator[tuple[JobQueue, list[int]]]:
    ran: list[int] = []
    with JobQueue(disk.path / "jobs", workers=2) as here:

        @here.task()
        def work(n: int, data: bytes) -> None:
            del data
            ran.append(n)

        yield here, ran


def test_a_disk_that_grows_takes_in_at_once(ram: Disk) -> None:
    """Without any worker: the enqueue itself finds out, once a second."""
    with producer(ram) as jq:
        fill_up(jq, ram)
        assert not takes_in(jq)
        ram.resize("16m")
        began = time.monotonic()
        eventually(lambda: takes_in(jq))
        assert time.monotonic() - began < PATIENCE / 10
        check_whole(ram)


HOLDER = f"""
    import logging
    jq = JobQueue("disk/jobs", workers=1, segment_size={SEGMENT})

    class Tell(logging.Handler):
        def emit(self, record):
            tell("held" if record.exc_info is None else record.getMessage())

    logging.getLogger("quplog").addHandler(Tell())

    @jq.task()
    def large() -> bytes:
        tell("ran")
        hear()
        return bytes(1 << 20)

    @jq.task()
    def small() -> int:
        return 1

    jq.start()
    tell("up")
    threading.Event().wait()
    """


def test_a_result_without_room_is_dropped_and_its_job_has_succeeded(
    ram: Disk, tmp_path: Path
) -> None:
    with Programs(tmp_path) as run, producer(ram, keep_succeeded=3600) as jq:
        worker = run(HOLDER)
        assert worker.line() == "up"
        job = jq.task(name="large")(bytes).enqueue()
        assert worker.line() == "ran"
        fill_up(jq, ram)
        worker.tell()
        with pytest.raises(PayloadError, match="the disk was full"):
            job.result(PATIENCE)
        assert jq.job(job.id).state is JobState.SUCCEEDED
        check_whole(ram)


def test_an_outcome_without_room_is_held_until_there_is(ram: Disk, tmp_path: Path) -> None:
    """When even the spare is used up. Its worker tries again each second, and does not spin."""
    with Programs(tmp_path) as run, producer(ram, keep_succeeded=3600) as jq:
        worker = run(HOLDER)
        assert worker.line() == "up"
        job = jq.task(name="large")(bytes).enqueue()
        assert worker.line() == "ran"
        fill_up(jq, ram)
        use_up_spare(jq)
        worker.tell()
        began, slept = time.monotonic(), sum(switches([worker.pid]).values())
        assert [worker.line() for _ in range(3)] == ["held"] * 3
        assert time.monotonic() - began > 1.5
        assert sum(switches([worker.pid]).values()) - slept < 200
        assert jq.job(job.id).state is JobState.RUNNING
        ram.resize("16m")
        assert job.result(PATIENCE) == bytes(1 << 20)
        assert jq.job(job.id).attempt == 1
        check_whole(ram)


def use_up_spare(jq: JobQueue) -> None:
    """Do what goes on on a full disk until that has no room either."""
    queue = jq.queue("some")
    with suppress(LogFull):
        while True:
            queue.pause()
            queue.resume()


def test_what_is_to_be_opened_on_a_full_disk(disk: Disk, tmp_path: Path) -> None:
    """A new log cannot be; one that is there can, also after a kill, and is worked off."""
    killed = f"""
        jq = JobQueue("disk/jobs", workers=1, {OPTIONS})
        work = jq.task(name="work")(print)
        n = 0
        while (error := kind(work.using(sync=False).enqueue, n, bytes(4000))) == "none":
            n += 1
        tell(error, n)
        threading.Event().wait()
        """
    with Programs(tmp_path) as run:
        program = run(killed)
        error, _, number = program.line().split()
        assert error == "LogFull"
        disk.fill()
        program.kill()
        with pytest.raises(LogFull) as caught, JobQueue(disk.path / "another", workers=0) as jq:
            jq.counts()
        assert caught.value.outcome_known
        with producer(disk) as jq:
            assert jq.counts()[JobState.READY] == int(number)
            more = fill_up(jq, disk)
        with worker_here(disk) as (here, ran):
            here.drain(PATIENCE)
        assert sorted(ran) == sorted([*range(int(number)), *more.values()])
        check_whole(disk)


def test_a_tick_that_has_no_room_is_tried_again_and_does_not_spin(
    ram: Disk, tmp_path: Path
) -> None:
    program = f"""
        jq = JobQueue("disk/jobs", workers=1, {OPTIONS})

        @jq.every(milliseconds=100)
        def tick() -> None:
            tell("tick")

        jq.start()
        tell("up")
        threading.Event().wait()
        """
    with Programs(tmp_path) as run, producer(ram) as jq:
        worker = run(program)
        assert [worker.line() for _ in range(3)] == ["up", "tick", "tick"]
        fill_up(jq, ram)
        while worker.says_more(2):
            worker.line()
        slept = sum(switches([worker.pid]).values())
        assert not worker.says_more(3)
        assert sum(switches([worker.pid]).values()) - slept < 200
        ram.resize("16m")
        assert [worker.line() for _ in range(3)] == ["tick"] * 3
        check_whole(ram)
