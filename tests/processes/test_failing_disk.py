"""A disk whose fsync fails: everybody is told, nothing is acknowledged any more, nothing is lost.

The disk is an ext4 on a file of a full tmpfs, which takes writes and then fails to sync them, once;
or the directory of the log is deleted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import FailingDisk, failing
from watched import Program, Programs, eventually

from quplog import JobQueue, JobState, LogFailed
from quplog.log_store import LogReader

PRODUCER = """
    jq = JobQueue("disk/jobs", workers=0, segment_size=1 << 18)
    work = jq.task(name="nobody")(print)
    blocked = jq.task(name="block")(print).enqueue()
    tell("up")
    hear()
    acknowledged = []
    while (error := kind(lambda: acknowledged.append(work.enqueue(bytes(4000)).id))) == "none":
        pass
    tell(error)
    tell(*acknowledged)
    while hear():
        tell(kind(work.enqueue, 1))
    """

WORKER = """
    jq = JobQueue("disk/jobs", workers=1)  # which is busy, and notices nothing by itself

    @jq.task()
    def block() -> None:
        tell("blocked")
        threading.Event().wait()

    other = jq.task(name="other")(lambda: None)
    tell(kind(jq.run, grace=0))
    while hear():
        tell(kind(other.enqueue))
    """

WAITER = """
    import asyncio
    jq = JobQueue("disk/jobs", workers=0)
    job = jq.job(1)
    other = jq.task(name="other")(lambda: None)
    ways = {
        "result": job.result,
        "drain": jq.drain,
        "aresult": lambda: asyncio.run(job.aresult()),
    }
    tell("up")
    way = ways[hear()]
    tell("waits")
    tell(kind(way))
    while hear():
        tell(kind(other.enqueue))
    """

IDLE = """
    jq = JobQueue("disk/jobs", workers=0)
    other = jq.task(name="other")(lambda: None)
    tell(jq.counts()["running"])
    while hear():
        tell(kind(other.enqueue))
    """

OPENER = """
    jq = JobQueue("disk/jobs", workers=0, lock_timeout=20)
    work = jq.task(name="nobody")(print)
    tell(kind(jq.counts))
    while hear():
        tell(kind(work.enqueue, 2))
    """

HOPEFUL = """
    jq = JobQueue("disk/jobs", workers=0)
    work = jq.task(name="nobody")(print)
    acknowledged = []
    while (error := kind(lambda: acknowledged.append(work.enqueue(bytes(4000)).id))) == "none":
        pass
    tell(error)
    tell(*acknowledged)
    hear()
    """

WAYS = ("result", "drain", "aresult")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FailingDisk]:
    with failing(tmp_path / "disk", tmp_path / "below") as disk:
        yield disk


class Crowd:
    """A producer, a worker that runs a job, and one process for each way to wait."""

    def __init__(self, run: Programs) -> None:
        self.producer = run(PRODUCER)
        assert self.producer.line() == "up"
        self.worker = run(WORKER)
        assert self.worker.line() == "blocked"
        self.waiters = [run(WAITER) for _ in WAYS]
        for way, waiter in zip(WAYS, self.waiters, strict=True):
            assert waiter.line() == "up"
            assert waiter.ask(way) == "waits"
        # It has looked, and is not told by anything that it does: but it must not be in the way.
        self.idle = run(IDLE)
        assert self.idle.line() == "1"

    @property
    def told(self) -> list[Program]:
        return [self.producer, self.worker, *self.waiters]

    @property
    def members(self) -> list[Program]:
        return [*self.told, self.idle]


def test_a_sync_that_fails_fails_everybody_and_loses_nothing(
    disk: FailingDisk, tmp_path: Path
) -> None:
    with Programs(tmp_path) as run:
        crowd = Crowd(run)
        disk.break_down()
        crowd.producer.tell()
        assert [member.line() for member in crowd.told] == ["LogFailed False"] * 5
        acknowledged = {int(word) for word in crowd.producer.line().split()}
        assert acknowledged
        assert {member.ask("again") for member in crowd.told} == {"LogFailed False"}
        disk.repair()
        opener = run(OPENER)
        assert opener.line() == "none"  # while all the others live
        assert opener.ask("again") == "none"
        # No handle of before can write any more, however the disk is by then.
        assert {member.ask("again") for member in crowd.members} == {"LogFailed False"}
        for member in [*crowd.members, opener]:
            member.kill()
        disk.remount()
        check_kept(disk, acknowledged)


def check_kept(disk: FailingDisk, acknowledged: set[int]) -> None:
    with JobQueue(disk.path / "jobs", workers=0) as jq:
        known = {job.id for job in jq.jobs(limit=10**6)}
        assert acknowledged <= known
        assert all(jq.job(job_id).state is JobState.READY for job_id in acknowledged)
    with LogReader(disk.path / "jobs") as reader:
        assert sum(1 for _ in reader)
        assert reader.report().damage_lsn == 0


def test_who_opens_a_log_while_its_disk_still_fails_is_told(
    disk: FailingDisk, tmp_path: Path
) -> None:
    with Programs(tmp_path) as run:
        producer = run(PRODUCER)
        assert producer.line() == "up"
        disk.break_down()
        assert producer.ask("go") == "LogFailed False"
        acknowledged = {int(word) for word in producer.line().split()}
        for _ in range(5):  # it may open, if what failed was only room for what was to come
            hopeful = run(HOPEFUL)
            assert hopeful.line() in {"LogFailed False", "OSError"}
            acknowledged |= {int(word) for word in hopeful.line().split()}
        disk.repair()
        for member in run.started:
            member.kill()
        with JobQueue(disk.path / "jobs", workers=0) as jq:
            assert acknowledged <= {job.id for job in jq.jobs(limit=10**6)}
        disk.remount()
        check_kept(disk, acknowledged)


def test_a_lock_file_that_is_deleted_fails_everybody(tmp_path: Path) -> None:
    """Who opens the log then would get other locks, and recover what others write."""
    path = tmp_path / "disk" / "jobs"
    path.parent.mkdir()
    with Programs(tmp_path) as run:
        crowd = Crowd(run)
        (path / "lock").unlink()
        crowd.producer.tell()
        assert [member.line() for member in crowd.told] == ["LogFailed False"] * 5
        assert crowd.producer.line() == "", "something was acknowledged"
        opener = run(OPENER)
        assert opener.line() == "none"
        assert opener.ask("again") == "none"
        assert {member.ask("again") for member in crowd.members} == {"LogFailed False"}


def remove(path: Path) -> None:
    """As `rm -rf` does, again if somebody has made a file meanwhile."""

    def gone() -> bool:
        shutil.rmtree(path, ignore_errors=True)
        return not path.exists()

    eventually(gone)


def test_a_directory_that_is_deleted_fails_everybody(tmp_path: Path) -> None:
    """Nothing is acknowledged into nothing, and a new log of the same name is another log."""
    path = tmp_path / "disk" / "jobs"
    path.parent.mkdir()
    with Programs(tmp_path) as run, JobQueue(path, workers=0) as old:
        crowd = Crowd(run)
        old.counts()
        remove(path)
        crowd.producer.tell()
        assert [member.line() for member in crowd.told] == ["LogFailed False"] * 5
        assert crowd.producer.line() == "", "something was acknowledged"
        with JobQueue(path, workers=0) as new:
            job = new.task(name="other")(print).enqueue()
            assert job.id == 1
            opener = run(OPENER)
            assert opener.line() == "none"
            assert new.counts()[JobState.READY] == 1
            with pytest.raises(LogFailed):
                old.task(name="other")(print).enqueue()
            assert {member.ask("again") for member in crowd.members} == {"LogFailed False"}
            assert opener.ask("again") == "none"
            assert new.counts()[JobState.READY] == 2
        with pytest.raises(LogFailed):
            old.close()
