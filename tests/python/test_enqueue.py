"""What enqueueing promises: one frame, all or nothing, and a Job that says what is known."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from programs import PATIENCE

from quplog import Job, JobNotFound, JobQueue, JobState, PayloadError, UnknownTask
from quplog.log_store import LogReader


@dataclass
class OrderEmail:
    order_id: int


def frames_of_puts(path: Path) -> list[int]:
    """For every stored job, the frame that it stands in."""
    with LogReader(path) as reader:
        return [record.frame_lsn for record in reader if record.type == "put"]


def test_nothing_is_opened_before_the_first_verb(path: Path, make: Callable[..., JobQueue]) -> None:
    jq = make()

    @jq.task()
    def hello() -> None: ...

    @jq.every(hours=1)
    def tidy() -> None: ...

    jq.register(OrderEmail, print)
    assert not path.exists()
    hello.enqueue()
    assert path.is_dir()


def test_a_task_is_still_a_plain_function(jq: JobQueue) -> None:
    @jq.task()
    def add(a: int, b: int = 1) -> int:
        """Add them."""
        return a + b

    assert add(1, b=2) == 3
    assert add.__doc__ == "Add them."
    assert add.__name__ == "add"


def test_a_fresh_job_says_what_is_known(jq: JobQueue) -> None:
    @jq.task(queue="mail", priority=3, tags=["a"])
    def send(to: str) -> None: ...

    before = datetime.now(UTC)
    job = send.enqueue("x")
    assert (job.id, job.task, job.queue, job.priority, job.tags) == (1, "send", "mail", 3, ("a",))
    assert (job.state, job.attempt, job.error, job.errors) == (JobState.READY, 0, None, ())
    assert job.due_at is job.started_at is job.finished_at is None
    assert job.created_at is not None
    assert before - timedelta(seconds=1) <= job.created_at <= datetime.now(UTC)


def test_a_job_is_a_snapshot(jq: JobQueue) -> None:
    @jq.task()
    def work() -> int:
        return 7

    job = work.enqueue()
    looked_up = jq.job(job.id)
    jq.drain(PATIENCE)
    for old in (job, looked_up):
        assert (old.state, old.attempt, old.finished_at) == (JobState.READY, 0, None)
        new = old.refresh()
        assert (new.state, new.attempt) == (JobState.SUCCEEDED, 1)
        assert new.started_at is not None
        assert new.finished_at is not None
        assert old.created_at == new.created_at <= new.started_at <= new.finished_at


def test_a_job_with_a_delay_is_scheduled(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    before = datetime.now(UTC)
    delayed = work.using(delay=timedelta(minutes=5)).enqueue()
    at_noon = work.using(run_at=datetime(2999, 1, 1, 12, tzinfo=UTC)).enqueue()
    assert delayed.due_at is not None
    assert before + timedelta(minutes=4) < delayed.due_at < before + timedelta(minutes=6)
    assert at_noon.due_at == datetime(2999, 1, 1, 12, tzinfo=UTC)
    for job in (delayed, at_noon):
        assert job.state == job.refresh().state == "scheduled"
        assert job.refresh().due_at == job.due_at
    jq.drain(PATIENCE)
    assert jq.counts()[JobState.SCHEDULED] == 2


def test_a_job_whose_time_has_gone_by_is_ready(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    past = work.using(run_at=datetime(2001, 1, 1, tzinfo=UTC)).enqueue()
    now = work.using(delay=0).enqueue()
    assert [past.state, past.refresh().state, now.state] == ["ready"] * 3


def test_priority_goes_before_age(jq: JobQueue) -> None:
    ran = []

    @jq.task()
    def work(name: str) -> None:
        ran.append(name)

    for name, priority in [("c", 0), ("d", 0), ("a", 100), ("e", -100), ("b", 1)]:
        work.using(priority=priority).enqueue(name)
    jq.drain(PATIENCE)
    assert ran == ["a", "b", "c", "d", "e"]


def test_using_makes_another_task_and_leaves_the_first(jq: JobQueue) -> None:
    @jq.task(queue="mail", retries=5)
    def send(to: str) -> None: ...

    job = send.using(queue="slow", tags=["x", "y"]).using(priority=1).enqueue("a")
    assert (job.queue, job.tags, job.priority) == ("slow", ("x", "y"), 1)
    plain = send.enqueue("b")
    assert (plain.queue, plain.tags, plain.priority) == ("mail", (), 0)


def test_many_jobs_are_one_frame(jq: JobQueue, path: Path) -> None:
    ran = []

    @jq.task()
    def work(n: int) -> None:
        ran.append(n)

    jobs = jq.enqueue_many(work.job(n) for n in range(500))
    assert [job.id for job in jobs] == list(range(1, 501))
    assert len(set(frames_of_puts(path))) == 1
    jq.drain(PATIENCE)
    assert ran == list(range(500))


def test_many_jobs_may_be_of_many_kinds(jq: JobQueue) -> None:
    jq.register(OrderEmail, print)

    @jq.task()
    def first() -> None: ...

    @jq.task(queue="other")
    def second() -> None: ...

    jobs = jq.enqueue_many([first.job(), second.using(delay=60).job(), OrderEmail(1)])
    found = [(job.task, job.queue, job.state) for job in (job.refresh() for job in jobs)]
    assert found == [
        ("first", "default", "ready"),
        ("second", "other", "scheduled"),
        ("OrderEmail", "default", "ready"),
    ]


def test_of_too_many_bytes_nothing_is_stored(jq: JobQueue) -> None:
    @jq.task()
    def work(data: bytes) -> None: ...

    large = work.job(bytes(3 << 20))
    with pytest.raises(PayloadError):
        jq.enqueue_many([large] * 30)
    assert sum(jq.counts().values()) == 0
    assert work.enqueue(b"").id == 1


def test_no_jobs_are_no_jobs(jq: JobQueue) -> None:
    assert jq.enqueue_many([]) == []
    with jq.transaction():
        pass
    assert sum(jq.counts().values()) == 0


def test_a_transaction_is_one_frame(jq: JobQueue, path: Path) -> None:
    @jq.task()
    def work(n: int) -> None: ...

    with jq.transaction():
        jobs = [work.enqueue(1), *jq.enqueue_many([work.job(2), work.job(3)])]
        assert sum(jq.counts().values()) == 0
        for job in jobs:
            with pytest.raises(JobNotFound, match="not enqueued yet"):
                _ = job.id
            with pytest.raises(JobNotFound, match="not enqueued yet"):
                job.result(timeout=0)
            assert "not enqueued yet" in repr(job)
            assert job.task == "work"
    assert [job.id for job in jobs] == [1, 2, 3]
    assert len(set(frames_of_puts(path))) == 1


def test_an_exception_discards_the_transaction(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    jobs: list[Job[None]] = []

    def block() -> None:
        with jq.transaction():
            jobs.append(work.enqueue())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert sum(jq.counts().values()) == 0
    with pytest.raises(JobNotFound, match="given up"):
        _ = jobs[0].id


def test_a_transaction_inside_of_another_joins_it(jq: JobQueue, path: Path) -> None:
    @jq.task()
    def work() -> None: ...

    with jq.transaction():
        work.enqueue()
        with jq.transaction():
            work.enqueue()
        assert sum(jq.counts().values()) == 0
    assert len(frames_of_puts(path)) == 2
    assert len(set(frames_of_puts(path))) == 1


def test_a_transaction_belongs_to_its_queue(jq: JobQueue, tmp_path: Path) -> None:
    with JobQueue(tmp_path / "other", workers=0) as other:

        @jq.task()
        def here() -> None: ...

        @other.task()
        def there() -> None: ...

        with jq.transaction():
            here.enqueue()
            assert there.enqueue().id == 1
            with other.transaction():
                there.enqueue()
            assert other.counts()[JobState.READY] == 2
            assert jq.counts()[JobState.READY] == 0


def test_what_outlives_a_transaction_enqueues_directly(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    with jq.transaction():
        work.enqueue()
        context = copy_context()
    assert context.run(work.enqueue).id == 2


def test_another_thread_is_not_in_the_transaction(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    ids: list[int] = []
    with jq.transaction():
        work.enqueue()
        thread = threading.Thread(target=lambda: ids.append(work.enqueue().id))
        thread.start()
        thread.join(PATIENCE)
    assert ids == [1]
    assert jq.counts()[JobState.READY] == 2


def test_an_aenqueue_joins_the_transaction(jq: JobQueue, path: Path) -> None:
    @jq.task()
    def work() -> None: ...

    async def block() -> list[int]:
        with jq.transaction():
            jobs = [await work.aenqueue(), await asyncio.create_task(work.aenqueue())]
        return [job.id for job in jobs]

    assert asyncio.run(block()) == [1, 2]
    assert len(set(frames_of_puts(path))) == 1


def test_a_task_as_an_object(jq: JobQueue) -> None:
    sent = []

    class Sender:
        def execute(self, task: OrderEmail) -> int:
            sent.append(task)
            return task.order_id * 2

    jq.register(OrderEmail, Sender(), queue="mail")
    job = jq.enqueue(OrderEmail(21))
    later = jq.enqueue(OrderEmail(1), delay=timedelta(minutes=5))
    jq.drain(PATIENCE)
    assert sent == [OrderEmail(21)]
    assert (job.task, job.queue, job.result(timeout=0)) == ("OrderEmail", "mail", 42)
    assert later.state == "scheduled"


def test_an_object_may_have_a_callable_for_an_executor(jq: JobQueue) -> None:
    jq.register(OrderEmail, lambda task: task.order_id)
    job = jq.enqueue(OrderEmail(5))
    jq.drain(PATIENCE)
    assert job.result(timeout=0) == 5


def test_an_object_nobody_registered_is_refused(jq: JobQueue) -> None:
    with pytest.raises(UnknownTask, match=r"jq.register\(OrderEmail"):
        jq.enqueue(OrderEmail(1))
    assert sum(jq.counts().values()) == 0


def test_a_spec_can_be_given_options_when_it_is_enqueued(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    job = jq.enqueue(work.job(), queue="other", delay=5)
    assert (job.queue, job.state) == ("other", "scheduled")


def test_unsynced_jobs_are_there_at_once(make: Callable[..., JobQueue]) -> None:
    jq = make(sync=False)

    @jq.task()
    def work() -> None: ...

    job = work.enqueue()
    assert jq.job(job.id).state == "ready"
    assert work.using(sync=True).enqueue().id == 2
    jq.sync()


def test_jobs_are_found_by_what_they_are(jq: JobQueue) -> None:
    @jq.task(queue="mail", tags=["red"])
    def send() -> None: ...

    @jq.task(tags=["red", "blue"])
    def build() -> None: ...

    sent = [send.enqueue().id for _ in range(3)]
    built = [build.using(delay=60).enqueue().id for _ in range(2)]

    def ids(**filters: object) -> list[int]:
        return [job.id for job in jq.jobs(**filters)]  # type: ignore[arg-type]

    assert ids() == sent + built
    assert ids(queue="mail") == ids(task="send") == ids(state="ready") == sent
    assert ids(state=JobState.SCHEDULED) == ids(tag="blue") == built
    assert ids(tag="red") == sent + built
    assert ids(tag="red", limit=2) == ids(limit=2) == sent[:2]
    assert ids(after=sent[1]) == [sent[2], *built]
    assert ids(tag="red", after=sent[1]) == [sent[2], *built]
    assert ids(queue="nothing") == ids(task="nothing") == ids(tag="nothing") == []
    long_ago, far_off = datetime(2001, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
    assert ids(since=long_ago, until=far_off) == sent + built
    assert ids(since=far_off) == ids(until=long_ago) == []


def test_long_lists_come_whole(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    jq.enqueue_many([work.job()] * 2500)
    assert [job.id for job in jq.jobs(limit=5000)] == list(range(1, 2501))
    assert len(jq.jobs(limit=2345)) == 2345


def test_counts_are_by_state_and_queue(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    work.enqueue()
    work.using(queue="other").enqueue()
    work.using(queue="other", delay=9).enqueue()
    assert set(jq.counts()) == set(JobState)
    assert {state: n for state, n in jq.counts().items() if n} == {"ready": 2, "scheduled": 1}
    assert {s: n for s, n in jq.counts("other").items() if n} == {"ready": 1, "scheduled": 1}
    assert sum(jq.counts("nothing").values()) == 0


def test_a_job_that_is_not_there_is_not_found(jq: JobQueue) -> None:
    for job_id in (1, 0, -1, 1 << 62, 1 << 70):
        with pytest.raises(JobNotFound, match=str(job_id)):
            jq.job(job_id)


def test_repr_never_raises(make: Callable[..., JobQueue]) -> None:
    jq = make()

    @jq.task()
    def work() -> None: ...

    job = work.enqueue()
    jq.close()
    assert repr(job) == "<Job 1 work ready>"
    assert "work" in repr(work)
    assert "work" in repr(work.job())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_opens_the_log_for_itself(make: Callable[..., JobQueue]) -> None:
    jq = make()

    @jq.task()
    def work() -> int:
        return 1

    jq.start()
    before = work.enqueue()
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work.enqueue().id and jq.job(before.id).task == "work" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    jq.drain(PATIENCE)
    assert len(jq.jobs()) == 2
    assert before.result(PATIENCE) == work.enqueue().result(PATIENCE) == 1
