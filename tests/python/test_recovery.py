"""What survives `kill -9`: every acknowledged job, and that a finished one is finished.

The programs here are real processes, killed with SIGKILL at a moment that nobody chose, and the log
that they leave is opened again as an application would.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import PATIENCE, Program

from quplog import JobQueue, JobState, current_job
from quplog.log_store import LogReader

APP = """
    import pathlib, sys, threading
    from quplog import JobQueue, current_job
    jq = JobQueue("jobs", workers=4)

    @jq.task()
    def work(n: int) -> int:
        return n

    @jq.task(name="once")
    def begin() -> None:
        print("begun", current_job().id, flush=True)
        threading.Event().wait()
    """


def test_a_delayed_job_runs_when_the_process_is_back(
    run: Callable[[str], Program], make: Callable[..., JobQueue]
) -> None:
    program = run(
        APP + "print(work.using(delay=0.2).enqueue(7).due_at.timestamp(), flush=True)\n    "
        "jq.start(workers=0)\n    threading.Event().wait()\n"
    )
    due_at = float(program.line())
    program.kill()
    ran = []
    jq = make(workers=1)

    @jq.task()
    def work(n: int) -> int:
        ran.append(n)
        return n

    with jq:
        assert jq.job(1).result(PATIENCE) == 7
        started_at = jq.job(1).started_at
    assert started_at is not None
    assert started_at.timestamp() >= due_at
    assert ran == [7]


def test_a_job_that_was_running_runs_again(
    run: Callable[[str], Program], make: Callable[..., JobQueue]
) -> None:
    program = run(APP + "begin.enqueue()\n    jq.start()\n    threading.Event().wait()\n")
    assert program.line() == "begun 1"
    program.kill()
    attempts = []
    jq = make()

    @jq.task()
    def once() -> None:
        attempts.append(current_job().attempt)

    assert (jq.job(1).state, jq.job(1).attempt) == ("ready", 0)
    assert jq._store.report.ending == "kill"
    jq.drain(PATIENCE)
    assert (jq.job(1).state, attempts) == ("succeeded", [1])


def test_a_retrying_job_keeps_its_attempts_and_errors(
    run: Callable[[str], Program], make: Callable[..., JobQueue]
) -> None:
    program = run(
        APP
        + """
    @jq.task(backoff=3600)
    def fail() -> None:
        raise ValueError("the first time")

    fail.enqueue()
    jq.drain(timeout=30)
    print("drained", flush=True)
    threading.Event().wait()
    """
    )
    assert program.line() == "drained"
    program.kill()
    job = make().job(1)
    assert (job.state, job.attempt, len(job.errors)) == ("retrying", 1, 1)
    assert "the first time" in (job.error or "")


def test_a_schedule_goes_on_after_a_kill(
    run: Callable[[str], Program], make: Callable[..., JobQueue]
) -> None:
    program = run(
        APP + "s = jq.schedule(work.job(1), every=3600)\n    "
        "print(s.next_at.timestamp(), flush=True)\n    threading.Event().wait()\n"
    )
    next_at = float(program.line())
    program.kill()
    (schedule,) = make().schedules()
    assert schedule.next_at is not None
    assert (schedule.id, schedule.next_at.timestamp()) == ("work", next_at)


def test_a_transaction_is_all_or_nothing_across_a_kill(
    run: Callable[[str], Program], make: Callable[..., JobQueue]
) -> None:
    program = run(
        APP
        + """
    print("go", flush=True)
    while True:
        with jq.transaction():
            for n in range(10):
                work.enqueue(n)
        print("done", flush=True)
    """
    )
    assert program.line() == "go"
    for _ in range(100):
        program.line()
    program.kill()
    counts = make().counts()
    assert counts[JobState.READY] >= 1000
    assert counts[JobState.READY] % 10 == 0


ENQUEUER = """
    import os
    from quplog import JobQueue
    jq = JobQueue("jobs", workers=2, sync=True)

    def tell(line: str) -> None:
        os.write(1, line.encode() + b"\\n")  # one write, so that a line comes whole or not at all

    @jq.task()
    def work(n: int) -> None:
        tell(f"ran {n}")

    jq.start()
    for n in range(10_000):
        tell(f"acknowledged {work.enqueue(n).id} {n}")
    jq.drain()
    """


@pytest.mark.parametrize("round_", range(20))
def test_no_acknowledged_job_is_lost_and_no_finished_job_runs_again(
    run: Callable[[str], Program], make: Callable[..., JobQueue], path: Path, round_: int
) -> None:
    chance = random.Random(round_)  # noqa: S311  # nobody attacks this test
    program = run(ENQUEUER)
    lines = [program.line() for _ in range(chance.randrange(1, 3000))]
    program.kill()
    words = [line.split() for line in [*lines, *program.lines()]]
    acknowledged = {int(word[1]): int(word[2]) for word in words if word[0] == "acknowledged"}
    ran_before = Counter(int(word[1]) for word in words if word[0] == "ran")

    jq = make()
    ran: Counter[int] = Counter()

    @jq.task()
    def work(n: int) -> None:
        ran[n] += 1

    finished = {job.id for job in jq.jobs(state="succeeded", limit=10**6)}
    known = {job.id for job in jq.jobs(limit=10**6)}
    assert acknowledged.keys() <= known
    jq.drain(PATIENCE)
    assert jq.counts()[JobState.SUCCEEDED] == len(known)
    assert len(ran) == sum(ran.values()) == len(known) - len(finished)
    for job_id, n in acknowledged.items():
        assert ran[n] == (job_id not in finished)
        assert ran_before[n] + ran[n] >= 1
    with LogReader(path) as reader:
        finishes = Counter(record.id for record in reader if record.type == "finish")
    assert finishes == Counter(known)
