"""What comes from a log is escaped in the texts of exceptions, in repr() and in logging."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from msgpack import ExtType, packb

from quplog import JobCancelled, JobFailed, JobQueue, PayloadError, QuplogError
from quplog.codec import encode_call, encode_error
from quplog.known_types import Types
from quplog.log_store import LogStore
from quplog.printable import plain, plain_lines
from quplog.store import Outcome, Put, PutSpec, ScheduleChange
from quplog.values import Code

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\r\n\u202eevil\u2066\u2028\ud800"
NAME = EVIL.replace("\ud800", "")
"""As a name can be: those are UTF-8."""
HARMFUL = re.compile("[^\n -\ud7ff\ue000-\U0010ffff]|[\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028]")


def harmless(text: str, *, lines: bool = False) -> bool:
    return not HARMFUL.search(text) and (lines or "\n" not in text)


def test_the_measure_of_these_tests_finds_what_is_harmful() -> None:
    assert all(not harmless(f"a{char}b") for char in EVIL if not char.isprintable())
    assert harmless("Grüße, 世界 🎉")
    assert harmless(plain(EVIL))
    assert plain_lines(f"a\n{EVIL}").splitlines()[0] == "a"
    assert harmless(plain_lines(EVIL), lines=True)


@pytest.fixture
def ended(tmp_path: Path) -> tuple[Path, int, int]:
    """A log with a job that failed and one that was cancelled, both with evil words."""
    store = LogStore.open(tmp_path / "jobs")
    payload = encode_call("evil", (), {}, Types())
    ids = store.put([Put(PutSpec(NAME, queue=NAME), payload)] * 2, sync=True)
    store.serve({NAME: None}, None)
    seat = store.seat()
    store.start()
    assert seat.work(Outcome.NONE, wait=False) is not None
    error = encode_error(EVIL, EVIL, f"Traceback\n  {EVIL}\nEnd")
    assert seat.work(Outcome.FAILED, error, wait=False) is not None
    seat.work(Outcome.CANCELLED, encode_error(EVIL, EVIL, ""), claim=False)
    seat.close()
    store.close()
    return tmp_path / "jobs", ids[0], ids[1]


def test_what_another_process_failed_with(ended: tuple[Path, int, int]) -> None:
    log, failed, cancelled = ended
    with JobQueue(log, workers=0) as jq:
        with pytest.raises(JobFailed, match="failed") as caught:
            jq.job(failed).result(timeout=60)
        assert harmless(str(caught.value), lines=True)
        assert harmless(caught.value.traceback, lines=True)
        assert caught.value.traceback.splitlines()[0] == "Traceback"
        with pytest.raises(JobCancelled) as given_up:
            jq.job(cancelled).result(timeout=60)
        assert harmless(str(given_up.value))
        assert harmless(repr(jq.job(failed)))
        # What it is, for programs, is as it was.
        assert jq.job(failed).task == NAME
        assert "\x1b]0;owned" in (jq.job(failed).error or "")


def test_a_job_that_does_not_end(tmp_path: Path) -> None:
    with JobQueue(tmp_path / "jobs", workers=0) as jq:
        job = jq.task(name=NAME)(print).enqueue()
        with pytest.raises(TimeoutError) as caught:
            job.result(timeout=0.001)
        assert harmless(str(caught.value))
        assert harmless(repr(job))


VALUES = [
    [ExtType(Code.OBJECT, b""), f"os.{EVIL}", {EVIL: EVIL}],
    [ExtType(Code.ENUM, b""), EVIL, EVIL],
    ExtType(Code.DATETIME, b"0\x1b[2J\x9b"),
    ExtType(Code.DATE, b"\x1b[2J"),
    ExtType(Code.TIME, b"012:00 \x1b[2J"),
    ExtType(Code.DECIMAL, b"\x1b[2J"),
    ExtType(Code.UUID, b"\x1b[2J"),
    ExtType(99, b"\x1b[2J"),
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_what_cannot_be_read_and_what_a_task_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: object
) -> None:
    payload = packb([{}, value], unicode_errors="surrogatepass")
    with caplog.at_level(logging.DEBUG), JobQueue(tmp_path / "jobs", workers=0) as jq:

        @jq.task(name="work", retries=0)
        def work(_: object) -> None:
            raise ValueError(EVIL)

        store = jq._store  # a forger does not come through the front door
        (job_id,) = store.put([Put(PutSpec("work"), payload)], sync=True)
        jq.drain(timeout=60)
        with pytest.raises(JobFailed) as caught:
            jq.job(job_id).result(timeout=60)
        assert isinstance(caught.value, QuplogError)
        assert harmless(str(caught.value), lines=True)
        told = work.enqueue(1)
        jq.drain(timeout=60)
        with pytest.raises(JobFailed, match="ValueError"):
            told.result(timeout=60)
    messages = [record.getMessage() for record in caplog.records if record.name == "quplog"]
    assert len(messages) == 2
    assert all(harmless(message) for message in messages)
    assert PayloadError.__name__ in messages[0]


def test_a_schedule_that_nobody_knows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), JobQueue(tmp_path / "jobs", workers=1) as jq:
        what = [EVIL, EVIL, 0, 0, [EVIL], b""]
        wires: list[dict[str, object]] = [
            {"kind": EVIL},
            {"kind": "every", EVIL: 1},
            {"kind": None},
        ]
        store = jq._store  # as above
        for number, wire in enumerate(wires):
            rule = packb([wire, what], unicode_errors="surrogatepass")
            change = ScheduleChange(f"{NAME}{number}", rule, 1, 1, paused=False, expected=0)
            assert store.change_schedule(change, (), sync=True)
        schedules = jq.schedules()
        assert len(schedules) == len(wires)
        assert all(harmless(repr(schedule)) and harmless(schedule.rule) for schedule in schedules)
        jq.task(name="wake")(print).enqueue().result(timeout=60)
        jq.drain(timeout=60)
    assert all(harmless(record.getMessage()) for record in caplog.records)
