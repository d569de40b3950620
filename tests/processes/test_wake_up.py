"""Who sleeps costs nothing, and is woken by whatever concerns it, whichever process that is in."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from pathlib import Path

from watched import (
    Program,
    Programs,
    eventually,
    fall_asleep,
    need_strace,
    processor_ticks,
    system_calls,
)

from quplog import JobQueue, JobState
from quplog.log_store import LogReader

IDLE_SECONDS = 10.0
LATE_SECONDS = 0.005
"""How late a delayed job of another process may be, when the machine does nothing else."""

LOOKS_SECONDS = 0.5
"""A wake-up that was lost is made good by a look after 1 s: who is faster was woken."""

WORKER = """
    jq = JobQueue("jobs", workers=3)

    @jq.task()
    def work(n: int) -> None:
        tell(n, time.time(), time.monotonic())

    jq.start()
    tell("up")
    threading.Event().wait()
    """

PRODUCER = """
    jq = JobQueue("jobs", workers=0, sync=False)
    work = jq.task(name="work")(print)
    unknown = jq.task(name="unknown")(print)
    unknown.enqueue()
    for n in range(10):
        work.enqueue(n)
    jq.queue("closed").pause()
    work.using(queue="closed").enqueue(-1)
    tell("up")
    threading.Event().wait()
    """


def test_who_has_nothing_to_do_makes_no_system_call(tmp_path: Path) -> None:
    """Also beside ready jobs of a task that nobody has registered, and of a paused queue."""
    need_strace()
    with Programs(tmp_path) as run:
        worker = run(WORKER)
        assert worker.line() == "up"
        producer = run(PRODUCER)
        assert producer.line() == "up"
        assert sorted(int(worker.line().split()[0]) for _ in range(10)) == list(range(10))
        pids = [worker.pid, producer.pid]
        fall_asleep(pids)
        used = [processor_ticks(pid) for pid in pids]
        assert system_calls(pids, IDLE_SECONDS, tmp_path) == []
        now = [processor_ticks(pid) for pid in pids]
        assert all(after - before <= 1 for before, after in zip(used, now, strict=True))


def test_a_delayed_job_of_another_process_starts_in_time(tmp_path: Path) -> None:
    """The first wakes a worker out of the deepest sleep; the best shows what there is to expect."""
    late = []
    with Programs(tmp_path) as run, JobQueue(tmp_path / "jobs", workers=0) as jq:
        worker = run(WORKER)
        assert worker.line() == "up"
        work = jq.task(name="work")(print)
        fall_asleep([worker.pid])
        for n in range(12):
            due_at = work.using(delay=0.1).enqueue(n).due_at
            assert due_at is not None
            word, started, _ = worker.line().split()
            assert int(word) == n
            late.append(float(started) - due_at.timestamp())
    assert min(late) >= 0
    assert max(late) < LOOKS_SECONDS
    assert min(late) < LATE_SECONDS


def test_an_earlier_job_is_not_late_for_one_that_was_to_come_later(tmp_path: Path) -> None:
    with Programs(tmp_path) as run, JobQueue(tmp_path / "jobs", workers=0) as jq:
        worker = run(WORKER)
        assert worker.line() == "up"
        work = jq.task(name="work")(print)
        work.using(delay=3600).enqueue(0)
        fall_asleep([worker.pid])
        job = work.using(delay=0.1).enqueue(1)
        word, started, _ = worker.line().split()
        assert job.due_at is not None
        assert word == "1"
        assert 0 <= float(started) - job.due_at.timestamp() < LOOKS_SECONDS


def test_a_worker_asleep_is_woken_by_another_process(tmp_path: Path) -> None:
    """Out of the deepest sleep, and again and again just as it falls asleep."""
    waited = []
    with Programs(tmp_path) as run, JobQueue(tmp_path / "jobs", workers=0, sync=False) as jq:
        workers = [run(WORKER) for _ in range(2)]
        assert [worker.line() for worker in workers] == ["up", "up"]
        work = jq.task(name="work")(print)
        fall_asleep([worker.pid for worker in workers])
        for n in range(200):
            began = time.monotonic()
            work.enqueue(n)
            assert work.enqueue(n).result(timeout=60) is None
            waited.append(time.monotonic() - began)
    assert statistics.quantiles(waited, n=20)[-1] < LOOKS_SECONDS


def test_a_schedule_ticks_once_in_several_processes(tmp_path: Path) -> None:
    """Three worker processes, all told of each tick; one of them is killed on the way."""
    ticker = """
        jq = JobQueue("jobs", workers=2)

        @jq.every(milliseconds=100)
        def tick() -> None:
            tell(current_job().id)

        jq.start()
        tell("up")
        hear()
        jq.close()
        tell("end")
        """
    with Programs(tmp_path) as run:
        workers = [run(ticker) for _ in range(3)]
        assert [worker.line() for worker in workers] == ["up", "up", "up"]
        with JobQueue(tmp_path / "jobs", workers=0) as jq:
            first = _finished(jq, 5)
            workers[0].kill()
            _finished(jq, first + 10)
        ran = _lines(workers[0])
        for worker in workers[1:]:
            worker.tell()
            ran += _lines(worker)
    frames: dict[int, Counter[str]] = {}
    finished: Counter[int] = Counter()
    with LogReader(tmp_path / "jobs") as reader:
        for record in reader:
            frames.setdefault(record.frame_lsn, Counter())[record.type] += 1
            finished[record.id] += record.type == "finish"
    ticks = [frame for frame in frames.values() if frame["schedule"]]
    first_time = ticks.pop(0)
    assert first_time == {"schedule": 1}
    assert all(tick == {"put": 1, "schedule": 1} for tick in ticks)
    assert sum(frame["put"] for frame in frames.values()) == len(ticks)
    assert all(finished[job_id] <= 1 for job_id in finished)
    again = [job_id for job_id, times in Counter(ran).items() if times > 1]
    assert len(again) <= 2, "only what the killed process ran can have run again"


def _finished(jq: JobQueue, least: int) -> int:
    """Wait until so many ticks have been worked off; how many have."""
    eventually(lambda: jq.counts()[JobState.SUCCEEDED] >= least)
    return jq.counts()[JobState.SUCCEEDED]


def _lines(program: Program) -> list[str]:
    """All that it tells until it ends."""
    lines = []
    while (line := program.line()) not in {"", "end"}:
        lines.append(line)
    return lines
