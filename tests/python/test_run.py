"""What running promises: each job once, every outcome told truly, and no job harms its worker."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import pytest
from programs import PATIENCE

from quplog import (
    Cancel,
    Job,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobQueue,
    JobState,
    LogCorrupt,
    current_job,
    log_store,
)
from quplog import worker as quplog_worker
from quplog._quplog import lib


def test_1000_jobs_on_10_workers_each_run_exactly_once(make: Callable[..., JobQueue]) -> None:
    jq = make(workers=10)
    ran: list[int] = []

    @jq.task()
    def work(n: int) -> None:
        ran.append(n)

    jq.start()
    for n in range(1000):
        work.using(sync=False).enqueue(n)
    jq.drain(PATIENCE)
    assert Counter(ran) == Counter(range(1000))
    assert jq.counts()[JobState.SUCCEEDED] == 1000


def test_an_outcome_that_waits_to_be_durable_never_ends_the_next_job(
    make: Callable[..., JobQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in one frame with the claim of that job: only the sync is to be tried again."""
    jq = make(workers=1, sync_finish=True)
    lack = ["descriptors"]
    work_in_earnest = log_store._work

    def work_without_descriptors(worker: object, outcome: int, *rest: object) -> int:
        status: int = work_in_earnest(worker, outcome, *rest)
        if outcome and status == 0 and lack:
            lack.clear()
            lib.quplog_worker_claim(worker).finish_status = -errno.EMFILE
        return status

    @jq.task()
    def work(n: int) -> int:
        ran.append(n)
        return n

    ran: list[int] = []
    monkeypatch.setattr(log_store, "_work", work_without_descriptors)
    monkeypatch.setattr(quplog_worker, "RETRY_SECONDS", 0.01)
    jobs = [work.enqueue(n) for n in range(3)]
    jq.start()
    assert [job.result(PATIENCE) for job in jobs] == [0, 1, 2]
    assert ran == [0, 1, 2]
    assert lack == []


def test_what_is_stored_and_cannot_be_made_durable_says_so(
    jq: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stored it again would have it twice."""
    put_in_earnest = log_store._put

    def put_without_descriptors(*arguments: object) -> int:
        status: int = put_in_earnest(*arguments)
        return status or -errno.EMFILE

    @jq.task()
    def work() -> None: ...

    monkeypatch.setattr(log_store, "_put", put_without_descriptors)
    with pytest.raises(OSError, match="Too many open files") as caught:
        work.enqueue()
    assert vars(caught.value)["outcome_known"] is False
    assert "do not store it again" in caught.value.__notes__[0]
    assert jq.counts()[JobState.READY] == 1


def test_one_worker_runs_delayed_jobs(make: Callable[..., JobQueue]) -> None:
    jq = make(workers=1)

    @jq.task()
    def work(n: int) -> int:
        return n

    with jq:
        later = work.using(delay=0.05).enqueue(2)
        at_once = work.enqueue(1)
        assert at_once.result(PATIENCE) == 1
        assert later.result(PATIENCE) == 2
        done = later.refresh()
        assert done.started_at is not None
        assert later.due_at is not None
        assert done.started_at >= later.due_at


def test_a_failed_task_is_never_marked_succeeded(jq: JobQueue) -> None:
    @jq.task(retries=2, backoff=0)
    def fail() -> None:
        raise OSError("no such luck")

    job = fail.enqueue()
    jq.drain(PATIENCE)
    assert (job.refresh().state, job.refresh().attempt) == (JobState.FAILED, 3)
    assert len(job.refresh().errors) == 3
    with pytest.raises(JobFailed, match="OSError: no such luck") as failed:
        job.result(timeout=0)
    assert failed.value.job_id == job.id
    assert "in fail" in failed.value.traceback
    assert "runner.py" not in failed.value.traceback


def test_an_unregistered_task_is_not_lost(make: Callable[..., JobQueue]) -> None:
    before = make()

    @before.task()
    def work(n: int) -> int:
        return n + 1

    job_id = work.enqueue(1).id
    before.close()

    jq = make()

    @jq.task()
    def something_else() -> None: ...

    jq.start()
    something_else.enqueue().result(PATIENCE)
    jq.drain(PATIENCE)
    assert jq.job(job_id).state == "ready"
    jq.task()(work.__wrapped__)  # the workers are running: it is served from now on
    assert jq.job(job_id).result(PATIENCE) == 2


def test_a_job_knows_itself(jq: JobQueue) -> None:
    @jq.task()
    def work() -> tuple[int, int, bool]:
        job = current_job()
        return job.id, job.attempt, job.cancelled

    job = work.enqueue()
    jq.drain(PATIENCE)
    assert job.result(timeout=0) == (job.id, 1, False)
    with pytest.raises(LookupError, match="no job is running"):
        current_job()


@pytest.mark.parametrize("how", ["start", "drain"])
def test_async_tasks_run_on_an_event_loop(jq: JobQueue, how: str) -> None:
    @jq.task()
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return n * 2 + current_job().attempt

    jobs = [double.enqueue(n) for n in range(20)]
    if how == "start":
        jq.start()
    jq.drain(PATIENCE)
    assert [job.result(timeout=0) for job in jobs] == [n * 2 + 1 for n in range(20)]


def test_an_async_executor_is_awaited(jq: JobQueue) -> None:
    @dataclass
    class Order:
        number: int

    class Desk:
        async def execute(self, task: Order) -> int:
            await asyncio.sleep(0)
            return task.number

    jq.register(Order, Desk())
    job = jq.enqueue(Order(9))
    jq.drain(PATIENCE)
    assert job.result(timeout=0) == 9


def test_jobs_do_not_see_each_others_context(jq: JobQueue) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="clean")
    seen: list[str] = []

    @jq.task()
    def work() -> None:
        seen.append(variable.get())
        variable.set("dirty")

    variable.set("the caller's")
    jq.enqueue_many([work.job(), work.job()])
    jq.drain(PATIENCE)
    assert seen == ["clean", "clean"]
    assert variable.get() == "the caller's"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_job_cannot_take_its_worker_along(
    make: Callable[..., JobQueue], error: BaseException
) -> None:
    jq = make(workers=1)

    @jq.task(retries=0)
    def die() -> None:
        raise error

    @jq.task()
    def live() -> str:
        return "alive"

    with jq:
        died, lives = die.enqueue(), live.enqueue()
        with pytest.raises(JobFailed, match=type(error).__name__):
            died.result(PATIENCE)
        assert lives.result(PATIENCE) == "alive"


def test_ctrl_c_in_a_drain_gives_the_job_back(jq: JobQueue) -> None:
    runs = []

    @jq.task(retries=0)
    def work() -> None:
        runs.append(current_job().attempt)
        if len(runs) == 1:
            raise KeyboardInterrupt

    job = work.enqueue()
    with pytest.raises(KeyboardInterrupt):
        jq.drain(PATIENCE)
    assert job.refresh().state == "ready"
    jq.drain(PATIENCE)
    assert (job.refresh().state, runs) == ("succeeded", [1, 1])


def test_arguments_that_cannot_be_read_fail_the_job_at_once(make: Callable[..., JobQueue]) -> None:
    before = make()

    @dataclass
    class Forgotten:
        number: int

    @before.task(name="work")
    def knows(order: Forgotten) -> None: ...

    before.types(Forgotten)
    job_id = knows.enqueue(Forgotten(1)).id
    before.close()

    jq = make()
    ran = []

    @jq.task(name="work")
    def does_not(order: object) -> None:
        ran.append(order)

    healthy = does_not.enqueue(1)
    jq.drain(PATIENCE)
    with pytest.raises(JobFailed, match=r"PayloadError.*Forgotten"):
        jq.job(job_id).result(timeout=0)
    assert (jq.job(job_id).attempt, ran) == (1, [1])
    assert healthy.refresh().state == "succeeded"


def test_arguments_that_rotted_on_the_disk_fail_their_job_and_no_other(
    make: Callable[..., JobQueue], path: Path
) -> None:
    jq = make(workers=1)
    sent: list[str] = []

    @jq.task()
    def send(to: str) -> None:
        sent.append(to)

    rotten, sound = send.enqueue(to="ann"), send.enqueue(to="bob")
    (segment,) = path.glob("*.log")
    with segment.open("r+b") as file:
        file.seek(file.read().index(b"ann"))
        file.write(b"eve")
    jq.start()
    assert sound.result(PATIENCE) is None
    with pytest.raises(LogCorrupt, match=f"job {rotten.id}"):
        rotten.result(PATIENCE)
    assert (jq.counts()[JobState.FAILED], sent) == (1, ["bob"])


@pytest.mark.parametrize("result", [object(), bytes(5 << 20)])
def test_a_result_that_cannot_be_stored_fails_the_job(jq: JobQueue, result: object) -> None:
    runs = []

    @jq.task()
    def work() -> object:
        runs.append(1)
        return result

    job = work.enqueue()
    jq.drain(PATIENCE)
    with pytest.raises(JobFailed, match="PayloadError"):
        job.result(timeout=0)
    assert runs == [1]


def test_an_exception_that_cannot_be_shown_fails_the_job(jq: JobQueue) -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even its text")

    @jq.task(retries=0)
    def work() -> None:
        raise BrokenError

    job = work.enqueue()
    jq.drain(PATIENCE)
    with pytest.raises(JobFailed, match="BrokenError"):
        job.result(timeout=0)


def test_result_waits_no_longer_than_it_should(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    job = work.enqueue()
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError, match="not finished"):
            job.result(timeout=timeout)


def test_result_of_a_forgotten_job(make: Callable[..., JobQueue]) -> None:
    jq = make(keep_succeeded=0)

    @jq.task()
    def work() -> None: ...

    with jq:
        job = work.enqueue()
        while True:  # the helper forgets it within a second or so
            try:
                job.refresh()
            except JobNotFound:
                break
        with pytest.raises(JobNotFound, match="forgotten"):
            job.result(timeout=PATIENCE)
        assert job.state == "ready"
        assert "work" in repr(job)


def test_a_job_enqueues_another_and_both_run(jq: JobQueue) -> None:
    @jq.task()
    def child(n: int) -> int:
        return n

    @jq.task()
    def parent() -> int:
        with jq.transaction():
            job = child.enqueue(5)
        return job.id

    with jq:
        assert jq.job(parent.enqueue().result(PATIENCE)).result(PATIENCE) == 5


def test_a_drained_job_is_not_in_its_callers_transaction(jq: JobQueue) -> None:
    @jq.task()
    def child() -> None: ...

    @jq.task()
    def parent() -> None:
        child.enqueue()

    parent.enqueue()
    with jq.transaction():
        jq.drain(PATIENCE)
    assert jq.counts()[JobState.SUCCEEDED] == 2


def test_two_pools_in_one_process_do_not_disturb_each_other(
    make: Callable[..., JobQueue], tmp_path: Path
) -> None:
    with make() as one, JobQueue(tmp_path / "two", workers=2) as two:

        @one.task()
        def outer() -> int:
            return inner.enqueue(4).result(PATIENCE)

        @two.task()
        def inner(n: int) -> int:
            return n * n

        assert outer.enqueue().result(PATIENCE) == 16


# ---- drain --------------------------------------------------------------------------------------


@pytest.mark.parametrize("started", [False, True])
def test_drain_leaves_what_is_not_due_paused_or_unknown(jq: JobQueue, *, started: bool) -> None:
    @jq.task()
    def work() -> None: ...

    @jq.task(retries=1, backoff=3600)
    def fail() -> None:
        raise ValueError

    now, later, retried = work.enqueue(), work.using(delay=3600).enqueue(), fail.enqueue()
    jq.queue("closed").pause()
    paused = work.using(queue="closed").enqueue()
    if started:
        jq.start()
    jq.drain(PATIENCE)
    states = [job.refresh().state for job in (now, later, retried, paused)]
    assert states == ["succeeded", "scheduled", "retrying", "ready"]


def test_drain_runs_what_jobs_enqueue(jq: JobQueue) -> None:
    ran = []

    @jq.task()
    def countdown(n: int) -> None:
        ran.append(n)
        if n:
            countdown.enqueue(n - 1)

    countdown.enqueue(5)
    jq.drain(PATIENCE)
    assert ran == [5, 4, 3, 2, 1, 0]


def test_drain_stops_at_its_timeout(jq: JobQueue) -> None:
    @jq.task()
    def again() -> None:
        again.enqueue()

    again.enqueue()
    with pytest.raises(TimeoutError, match="still jobs"):
        jq.drain(timeout=0.05)
    with pytest.raises(TimeoutError, match="still jobs"):
        jq.drain(timeout=0)


def test_drain_waits_for_a_running_job_no_longer_than_it_should(jq: JobQueue) -> None:
    go_on, begun = threading.Event(), threading.Event()

    @jq.task()
    def work() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    with jq:
        job = work.enqueue()
        assert begun.wait(PATIENCE)
        with pytest.raises(TimeoutError):
            jq.drain(timeout=0.05)
        go_on.set()
        jq.drain(PATIENCE)
        assert job.refresh().state == "succeeded"


def test_drain_in_a_job_is_refused(jq: JobQueue) -> None:
    @jq.task(retries=0)
    def work() -> None:
        jq.drain()

    job = work.enqueue()
    jq.drain(PATIENCE)
    with pytest.raises(JobFailed, match="would wait for that job itself"):
        job.result(timeout=0)


def test_drain_works_where_an_event_loop_is_running(jq: JobQueue) -> None:
    @jq.task()
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return n * 2

    async def main() -> int:
        job = await double.aenqueue(4)
        jq.drain(PATIENCE)
        return await job.aresult()

    assert asyncio.run(main()) == 8


# ---- pausing ------------------------------------------------------------------------------------


def test_a_paused_queue_stays_paused_until_it_is_resumed(make: Callable[..., JobQueue]) -> None:
    def open_queue() -> tuple[JobQueue, Callable[[], Job[int]]]:
        jq = make()

        @jq.task(queue="mail")
        def work() -> int:
            return 1

        return jq, work.enqueue

    jq, enqueue = open_queue()
    jq.queue("mail").pause()
    job_id = enqueue().id
    jq.drain(PATIENCE)
    jq.close()
    jq, _ = open_queue()
    jq.start()
    jq.drain(PATIENCE)
    assert jq.queue("mail").paused
    assert jq.job(job_id).state == "ready"
    jq.queue("mail").resume()
    assert jq.job(job_id).result(PATIENCE) == 1
    assert not jq.queue("mail").paused


def test_only_the_queues_that_were_asked_for_are_run(jq: JobQueue) -> None:
    @jq.task()
    def work() -> int:
        return 1

    other, mine = work.using(queue="other").enqueue(), work.using(queue="mine").enqueue()
    jq.start(queues=["mine"])
    assert mine.result(PATIENCE) == 1
    jq.drain(PATIENCE)
    assert other.refresh().state == "ready"
    jq.stop()
    jq.start()
    assert other.result(PATIENCE) == 1


# ---- cancelling ---------------------------------------------------------------------------------


def test_a_pending_job_is_cancelled_at_once(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    for job in (work.enqueue(), work.using(delay=60).enqueue()):
        assert job.cancel() is True
        assert job.refresh().state == "cancelled"
        assert job.cancel() is False
        with pytest.raises(JobCancelled, match="was cancelled") as cancelled:
            job.result(timeout=0)
        assert cancelled.value.job_id == job.id
    jq.drain(PATIENCE)
    assert jq.counts()[JobState.CANCELLED] == 2


@pytest.mark.parametrize("answer", ["return", "raise", "ignore", "fail"])
def test_a_running_job_is_asked_to_stop(make: Callable[..., JobQueue], answer: str) -> None:
    jq = make(workers=1)
    begun, asked = threading.Event(), threading.Event()

    @jq.task(backoff=3600)
    def work() -> str | Cancel:
        begun.set()
        asked.wait(PATIENCE)
        if not current_job().cancelled:
            return "nobody asked"
        if answer == "return":
            return Cancel("as you like")
        if answer == "raise":
            raise JobCancelled
        if answer == "fail":
            raise ValueError
        return "too late"

    with jq:
        job = work.enqueue()
        assert begun.wait(PATIENCE)
        assert job.cancel() is True
        assert job.refresh().state == "running"
        asked.set()
        if answer == "ignore":
            assert job.result(PATIENCE) == "too late"
            return
        with pytest.raises(JobCancelled, match="as you like" if answer == "return" else "work"):
            job.result(PATIENCE)
        assert job.refresh().state == "cancelled"


def test_a_task_cancels_its_own_job(jq: JobQueue) -> None:
    @jq.task()
    def work(*, returned: bool) -> Cancel:
        if returned:
            return Cancel("no paper")
        raise Cancel("no paper")

    for job in (work.enqueue(returned=True), work.enqueue(returned=False)):
        jq.drain(PATIENCE)
        with pytest.raises(JobCancelled, match="no paper"):
            job.result(timeout=0)


def test_that_another_job_was_cancelled_is_a_failure(jq: JobQueue) -> None:
    @jq.task()
    def pending() -> None: ...

    @jq.task(retries=0)
    def waits(job_id: int) -> None:
        jq.job(job_id).result(timeout=0)

    cancelled = pending.using(delay=60).enqueue()
    cancelled.cancel()
    job = waits.enqueue(cancelled.id)
    jq.drain(PATIENCE)
    with pytest.raises(JobFailed, match="JobCancelled"):
        job.result(timeout=0)


# ---- two queues on one directory ----------------------------------------------------------------


def test_two_queues_on_one_directory_share_its_log(make: Callable[..., JobQueue]) -> None:
    one, two = make(workers=2), make(workers=2)

    @one.task()
    def first() -> str:
        return "first"

    @two.task()
    def second() -> str:
        return "second"

    one.start()
    two.start()
    assert first.enqueue().result(PATIENCE) == "first"
    job = second.enqueue()
    assert job.result(PATIENCE) == "second"
    assert one.job(job.id).state == "succeeded"
    one.stop()
    assert second.enqueue().result(PATIENCE) == "second"
    one.close()
    assert second.enqueue().result(PATIENCE) == "second"
