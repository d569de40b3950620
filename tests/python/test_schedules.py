"""What schedules promise: stored once, ticked once, never lost, never doubled.

Time is not waited for: where it has to have passed, the stored schedule is set back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgpack import packb
from programs import PATIENCE

from quplog import JobNotFound, JobQueue, JobState
from quplog.log_store import LogReader
from quplog.scheduler import find_schedule
from quplog.store import Put, ScheduleChange, StoredSchedule

HOUR_US = 3_600_000_000


def stored(jq: JobQueue, schedule_id: str) -> StoredSchedule:
    found = find_schedule(jq._store, schedule_id)
    assert found is not None
    return found


def set_next(jq: JobQueue, schedule_id: str, from_now_us: int, rule: bytes = b"") -> int:
    """Let the next run be (or have been) due then."""
    now = stored(jq, schedule_id)
    next_us = jq._store.now_us() + from_now_us
    change = ScheduleChange(schedule_id, rule, next_us, now.last_us, now.paused, now.version)
    assert jq._store.change_schedule(change, (), sync=True)
    return next_us


def records(path: Path, kind: str) -> int:
    with LogReader(path) as reader:
        return sum(record.type == kind for record in reader)


def in_an_hour(moment: datetime | None) -> bool:
    assert moment is not None
    away = moment - datetime.now(UTC)
    return timedelta(minutes=59) < away <= timedelta(hours=1)


def test_a_schedule_first_runs_after_one_period(jq: JobQueue) -> None:
    ran = []

    @jq.task()
    def report(name: str) -> None:
        ran.append(name)

    schedule = jq.schedule(report.job("daily"), every=timedelta(hours=1), id="daily-report")
    assert (schedule.id, schedule.rule, schedule.paused) == ("daily-report", "every 1 hour", False)
    assert in_an_hour(schedule.next_at)
    jq.drain(PATIENCE)
    assert ran == []
    set_next(jq, "daily-report", -1)
    jq.drain(PATIENCE)
    assert ran == ["daily"]


def test_start_now_runs_at_once(jq: JobQueue) -> None:
    ran = []

    @jq.every(hours=1, start_now=True)
    def tidy() -> None:
        ran.append(1)

    with jq:
        while jq.counts()[JobState.SUCCEEDED] == 0:
            jq.drain(PATIENCE)
        assert ran == [1]
        assert in_an_hour(jq.schedules()[0].next_at)


def test_decorated_schedules_are_written_by_start(jq: JobQueue) -> None:
    @jq.every(minutes=90, id="tidy-up", queue="night", priority=-5)
    def tidy() -> None: ...

    assert jq.schedules() == []
    jq.start()
    (schedule,) = jq.schedules()
    assert (schedule.id, schedule.rule) == ("tidy-up", "every 90 minutes")

    @jq.every(seconds=30, missed="skip", jitter=2)
    def check() -> None: ...  # the workers run already: it is written at once

    assert {each.id for each in jq.schedules()} == {"tidy-up", "check"}


def test_the_job_of_a_tick_is_as_the_task_says(jq: JobQueue) -> None:
    @jq.every(hours=1, queue="night", priority=-5, tags=["auto"], retries=7)
    def tidy() -> None: ...

    jq.start(workers=1)
    jq.stop()
    set_next(jq, "tidy", -1)
    jq.drain(PATIENCE)
    (job,) = jq.jobs()
    found = (job.task, job.queue, job.priority, job.tags, job.state)
    assert found == ("tidy", "night", -5, ("auto",), "succeeded")


def test_an_object_is_scheduled_under_the_name_of_its_type(jq: JobQueue) -> None:
    @dataclass
    class CleanupTables:
        older_than: int

    cleaned = []
    jq.register(CleanupTables, cleaned.append)
    assert jq.schedule(CleanupTables(30), every=3600).id == "CleanupTables"
    set_next(jq, "CleanupTables", -1)
    jq.drain(PATIENCE)
    assert cleaned == [CleanupTables(30)]


def test_a_tick_is_one_frame(jq: JobQueue, path: Path) -> None:
    @jq.task()
    def report() -> None: ...

    jq.schedule(report.job(), every=3600)
    set_next(jq, "report", -1)
    jq.drain(PATIENCE)
    with LogReader(path) as reader:
        ops = [(record.type, record.frame_lsn) for record in reader]
    (put,) = [frame for kind, frame in ops if kind == "put"]
    assert [kind for kind, frame in ops if frame == put] in (
        ["put", "schedule"],
        ["schedule", "put"],
    )


def test_a_tick_of_what_has_moved_on_does_nothing(jq: JobQueue) -> None:
    @jq.task()
    def report() -> None: ...

    jq.schedule(report.job(), every=3600)
    old = stored(jq, "report")
    set_next(jq, "report", HOUR_US)
    tick = ScheduleChange(
        "report", b"", old.next_us + HOUR_US, old.next_us, paused=False, expected=old.version
    )
    spec = report.job()
    assert not jq._store.change_schedule(tick, [Put(spec.options.spec, spec.payload)], sync=True)
    assert sum(jq.counts().values()) == 0


def test_the_same_schedule_again_appends_nothing(jq: JobQueue, path: Path) -> None:
    @jq.task()
    def report(name: str) -> None: ...

    first = jq.schedule(report.job("a"), every=3600)
    second = jq.schedule(report.job("a"), every=timedelta(hours=1))
    assert first.next_at == second.next_at
    assert records(path, "schedule") == 1


def test_a_recurring_job_survives_restarts_and_is_not_doubled(
    make: Callable[..., JobQueue], path: Path
) -> None:
    ran = []

    def open_queue() -> JobQueue:
        jq = make()

        @jq.every(hours=1)
        def tidy() -> None:
            ran.append(1)

        return jq

    with open_queue() as jq:
        next_at = jq.schedules()[0].next_at
    for _ in range(3):
        with open_queue() as jq:
            assert [each.next_at for each in jq.schedules()] == [next_at]
    assert records(path, "schedule") == 1
    jq = open_queue()
    set_next(jq, "tidy", -1)
    jq.drain(PATIENCE)
    jq.drain(PATIENCE)
    assert ran == [1]


def test_a_changed_rule_counts_from_the_last_tick(jq: JobQueue) -> None:
    @jq.task()
    def report() -> None: ...

    jq.schedule(report.job(), every=3600)
    set_next(jq, "report", -1)
    jq.drain(PATIENCE)
    last_us = stored(jq, "report").last_us
    jq.schedule(report.job(), every=7200)
    assert stored(jq, "report").next_us == last_us + 2 * HOUR_US


def test_a_rule_that_changes_before_its_first_tick_counts_from_now(jq: JobQueue) -> None:
    @jq.task()
    def report() -> None: ...

    jq.schedule(report.job(), every=86_400)
    assert in_an_hour(jq.schedule(report.job(), every=3600).next_at)


def test_a_changed_job_keeps_the_next_time(jq: JobQueue) -> None:
    ran = []

    @jq.task()
    def report(name: str) -> None:
        ran.append(name)

    first = jq.schedule(report.job("a"), every=3600)
    assert jq.schedule(report.job("b"), every=3600).next_at == first.next_at
    set_next(jq, "report", -1)
    jq.drain(PATIENCE)
    assert ran == ["b"]


@pytest.mark.parametrize(("missed", "expected"), [("once", 1), ("all", 4), ("skip", 0)])
def test_missed_runs(jq: JobQueue, missed: str, expected: int) -> None:
    ran = []

    @jq.task()
    def report() -> None:
        ran.append(1)

    jq.schedule(report.job(), every=3600, missed=missed)  # type: ignore[arg-type]
    was_due = set_next(jq, "report", -HOUR_US * 7 // 2)
    jq.drain(PATIENCE)
    assert len(ran) == expected
    assert stored(jq, "report").next_us == was_due + 4 * HOUR_US


def test_a_paused_schedule_makes_no_jobs(jq: JobQueue) -> None:
    ran = []

    @jq.task()
    def report() -> None:
        ran.append(1)

    schedule = jq.schedule(report.job(), every=3600)
    schedule.pause()
    set_next(jq, "report", -1)
    jq.drain(PATIENCE)
    assert (ran, schedule.paused, jq.schedules()[0].paused) == ([], True, True)
    schedule.resume()
    jq.drain(PATIENCE)
    assert (ran, schedule.paused, jq.schedules()[0].paused) == ([1], False, False)


def test_a_new_rule_does_not_wake_a_paused_schedule(jq: JobQueue) -> None:
    @jq.task()
    def report() -> None: ...

    jq.schedule(report.job(), every=3600).pause()
    assert jq.schedule(report.job(), every=60).paused


def test_a_removed_schedule_is_gone(jq: JobQueue) -> None:
    @jq.task()
    def report() -> None: ...

    schedule = jq.schedule(report.job(), every=3600, start_now=True)
    assert jq.unschedule("report") is True
    assert jq.unschedule("report") is False
    assert schedule.remove() is False
    with pytest.raises(JobNotFound, match="'report'"):
        schedule.pause()
    jq.drain(PATIENCE)
    assert (jq.schedules(), sum(jq.counts().values())) == ([], 0)


def test_one_that_is_gone_from_the_code_stays_until_it_is_removed(
    make: Callable[..., JobQueue],
) -> None:
    jq = make()

    @jq.every(hours=1)
    def tidy() -> None: ...

    jq.start()
    jq.close()
    with make() as jq:
        assert [each.id for each in jq.schedules()] == ["tidy"]
        set_next(jq, "tidy", -1)
        while not jq.jobs():  # any process makes the job, and who knows the task runs it
            jq.drain(PATIENCE)
        assert jq.jobs()[0].state == "ready"


def test_a_schedule_of_a_newer_version_is_left_alone(
    jq: JobQueue, caplog: pytest.LogCaptureFixture
) -> None:
    @jq.task()
    def report() -> None: ...

    @jq.task()
    def other() -> None: ...

    jq.schedule(report.job(), every=3600)
    jq.schedule(other.job(), every=3600)
    set_next(jq, "report", -1, rule=b"\x93 of the future")
    set_next(jq, "other", -1)
    with caplog.at_level(logging.WARNING, "quplog"):
        jq.drain(PATIENCE)
    assert "update quplog" in caplog.text
    assert [job.task for job in jq.jobs()] == ["other"]
    (unknown,) = [each for each in jq.schedules() if each.id == "report"]
    assert "newer version" in unknown.rule


FORGED_RULE = {"kind": "every", "period_us": 3_600_000_000, "missed": "once", "jitter_us": 0}
FORGED_JOB = ["other", "default", 0, 3, [], b"\x92\x90\x80"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, 7),
        (0, ""),
        (0, "x" * 256),
        (1, None),
        (1, b"mail"),
        (2, "high"),
        (2, 1 << 40),
        (3, -1),
        (3, 1 << 63),
        (4, [7]),
        (4, "abc"),
        (4, {"a": 1}),
        (4, ["x" * 255] * 17),
        (5, "text"),
        (5, 7),
    ],
)
def test_a_forged_schedule_does_not_end_the_ticks_of_the_others(
    jq: JobQueue, caplog: pytest.LogCaptureFixture, field: int, value: object
) -> None:
    @jq.task()
    def forged() -> None: ...

    @jq.task()
    def other() -> str:
        return "ran"

    jq.schedule(forged.job(), every=3600)
    jq.schedule(other.job(), every=3600)
    job = [*FORGED_JOB[:field], value, *FORGED_JOB[field + 1 :]]
    set_next(jq, "forged", -2, rule=packb([FORGED_RULE, job]))
    set_next(jq, "other", -1)
    with caplog.at_level(logging.WARNING, "quplog"):
        jq.drain(PATIENCE)
    assert "schedule 'forged' cannot be read here" in caplog.text
    assert [job.result() for job in jq.jobs()] == ["ran"]


def test_a_tick_of_many_large_jobs_does_not_outgrow_a_frame(jq: JobQueue) -> None:
    @jq.task()
    def report(pad: bytes) -> None: ...

    jq.schedule(report.job(bytes(1 << 20)), every=3600, missed="all")
    end_us = set_next(jq, "report", -99 * HOUR_US) + 100 * HOUR_US
    while stored(jq, "report").next_us < end_us:
        jq.drain(PATIENCE)
    assert stored(jq, "report").next_us == end_us
    assert sum(jq.counts().values()) == 100


def test_wrong_schedules_are_refused(jq: JobQueue) -> None:
    @jq.task()
    def report(name: str) -> None: ...

    job = report.job("x")
    with pytest.raises(ValueError, match="period"):
        jq.schedule(job, every=0)
    with pytest.raises(ValueError, match="negative"):
        jq.schedule(job, every=-1)
    with pytest.raises(ValueError, match="missed"):
        jq.schedule(job, every=1, missed="never")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="jitter"):
        jq.schedule(job, every=1, jitter=2)
    with pytest.raises(ValueError, match="no delay"):
        jq.schedule(report.using(delay=5).job("x"), every=1)
    with pytest.raises(TypeError, match=r"without arguments.*'name'"):

        @jq.every(hours=1)
        def needs(name: str) -> None: ...

    with pytest.raises(ValueError, match="period"):

        @jq.every()
        def never() -> None: ...

    @jq.every(hours=1, id="taken")
    def first() -> None: ...

    with pytest.raises(ValueError, match="'taken' already"):

        @jq.every(hours=2, id="taken")
        def second() -> None: ...

    assert jq.schedules() == []


def test_a_schedule_prints_as_what_it_is(jq: JobQueue) -> None:
    @jq.task()
    def report() -> None: ...

    schedule = jq.schedule(report.job(), every=3600)
    assert repr(schedule).startswith("<Schedule report: every 1 hour, next at ")
