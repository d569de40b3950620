"""Ctrl-C, and patience that ends, while another process holds what is waited for.

The other process is this one: it takes a byte of the file `lock`, as a member of the log would that
was then stopped.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from watched import PATIENCE, Programs, eventually, switches

from quplog import JobQueue, JobState

OPEN, APPEND, SYNC = 0, 3, 4  # the bytes, see csrc/lock.h

MEMBER = """
    jq = JobQueue("jobs", workers=0, lock_timeout=float(hear()))
    work = jq.task(name="work")(print)

    @jq.task()
    def block():
        tell("runs")
        threading.Event().wait()

    ways = {
        "enqueue": work.enqueue,
        "result": lambda: jq.job(1).result(),
        "drain": jq.drain,
        "counts": jq.counts,
    }
    while way := hear():
        tell("waits")
        tell(kind(ways[way]))
    jq.close()
    """


@contextmanager
def held(path: Path, byte: int) -> Iterator[None]:
    """Hold a lock of the log."""
    descriptor = os.open(path / "lock", os.O_RDWR)
    lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    try:
        eventually(lambda: _locks(descriptor, lock))
        yield
    finally:
        os.close(descriptor)


def _locks(descriptor: int, lock: bytes) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
    except BlockingIOError:
        return False
    return True


def interrupt(program: object) -> str:
    """Press Ctrl-C once it has gone to sleep; what it says then."""
    before = switches([program.pid])  # type: ignore[attr-defined]
    eventually(lambda: switches([program.pid]) != before)  # type: ignore[attr-defined]
    program.signal(signal.SIGINT)  # type: ignore[attr-defined]
    return str(program.line())  # type: ignore[attr-defined]


@pytest.mark.parametrize(("byte", "written"), [(SYNC, 1), (APPEND, 0)])
def test_an_enqueue_that_waits_for_a_stopped_process_can_be_interrupted(
    tmp_path: Path, byte: int, written: int
) -> None:
    with Programs(tmp_path) as run, JobQueue(tmp_path / "jobs", workers=0) as jq:
        jq.task(name="work")(print).enqueue()
        member = run(MEMBER)
        member.tell("60")
        assert member.ask("counts") == "waits"
        assert member.line() == "none"
        with held(tmp_path / "jobs", byte):
            assert member.ask("enqueue") == "waits"
            assert interrupt(member) == "KeyboardInterrupt"
        assert jq.counts()[JobState.READY] == 1 + written
        assert member.ask("enqueue") == "waits"
        assert member.line() == "none"
        member.tell("")
        assert member.end() == 0


@pytest.mark.parametrize("way", ["result", "drain"])
def test_a_wait_for_other_processes_can_be_interrupted(tmp_path: Path, way: str) -> None:
    with Programs(tmp_path) as run, JobQueue(tmp_path / "jobs", workers=0) as jq:
        jq.task(name="block")(print).enqueue()
        worker, member = run(MEMBER), run(MEMBER)
        for each in (worker, member):
            each.tell("60")
        assert worker.ask("drain") == "waits"
        assert worker.line() == "runs"
        assert member.ask(way) == "waits"
        assert interrupt(member) == "KeyboardInterrupt"
        member.tell("")
        assert member.end() == 0
        # The one that runs it gives it back, at once and without an attempt used.
        worker.signal(signal.SIGINT)
        assert worker.line() == "KeyboardInterrupt"
        assert (jq.job(1).state, jq.job(1).attempt) == (JobState.READY, 0)


def test_who_does_not_get_a_lock_in_time_is_told_and_has_written_nothing(tmp_path: Path) -> None:
    with Programs(tmp_path) as run, JobQueue(tmp_path / "jobs", workers=0) as jq:
        jq.task(name="work")(print).enqueue()
        member = run(MEMBER)
        member.tell("0.2")
        assert member.ask("counts") == "waits"
        assert member.line() == "none"
        with held(tmp_path / "jobs", APPEND):
            assert member.ask("enqueue") == "waits"
            assert member.line() == "LogLocked True"
        assert jq.counts()[JobState.READY] == 1


def test_who_opens_while_another_recovers_waits_is_told_or_interrupted(tmp_path: Path) -> None:
    with JobQueue(tmp_path / "jobs", workers=0) as jq:
        jq.counts()
    with Programs(tmp_path) as run, held(tmp_path / "jobs", OPEN):
        told, patient = run(MEMBER), run(MEMBER)
        told.tell("0.2")
        patient.tell(str(PATIENCE))
        assert told.ask("counts") == "waits"
        assert told.line() == "LogLocked True"
        assert patient.ask("counts") == "waits"
        assert interrupt(patient) == "KeyboardInterrupt"
