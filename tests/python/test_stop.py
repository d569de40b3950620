"""What the end promises: nothing runs on, nothing is lost, nothing leaks, in whatever order."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import PATIENCE, Program, open_files, quplog_threads

from quplog import JobQueue, LogClosed, current_job


class Gate:
    """A job that says when it has begun, and ends when it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def pass_through(self) -> str:
        self.begun.set()
        assert self.go_on.wait(PATIENCE)
        return "through"


def test_stop_returns_at_once_when_idle(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    jq.start()
    work.enqueue().result(PATIENCE)
    jq.stop(grace=10**9)  # it would take that long if it waited for anything
    assert quplog_threads() == set()


def test_stop_waits_for_running_jobs(jq: JobQueue) -> None:
    gate = Gate()

    @jq.task()
    def work() -> str:
        return gate.pass_through()

    jq.start()
    job = work.enqueue()
    assert gate.begun.wait(PATIENCE)
    stopper = threading.Thread(target=jq.stop, args=(PATIENCE,))
    stopper.start()
    gate.go_on.set()
    stopper.join(PATIENCE)
    assert job.result(timeout=0) == "through"
    assert job.refresh().attempt == 1


def test_stop_claims_nothing_more(make: Callable[..., JobQueue]) -> None:
    jq = make(workers=1)
    gate = Gate()

    @jq.task()
    def work() -> str:
        return gate.pass_through()

    jq.start()
    first, second = work.enqueue(), work.enqueue()
    assert gate.begun.wait(PATIENCE)
    stopper = threading.Thread(target=jq.stop, args=(PATIENCE,))
    stopper.start()
    while not jq._pool._stopping.is_set():  # type: ignore[union-attr]
        stopper.join(0.001)
    gate.go_on.set()
    stopper.join(PATIENCE)
    assert (first.refresh().state, second.refresh().state) == ("succeeded", "ready")


def test_a_job_that_does_not_end_in_time_goes_back(make: Callable[..., JobQueue]) -> None:
    jq = make(workers=1)
    gate = Gate()
    attempts = []

    @jq.task()
    def work() -> str:
        attempts.append(current_job().attempt)
        return gate.pass_through() if len(attempts) == 1 else "the second time"

    jq.start()
    job = work.enqueue()
    assert gate.begun.wait(PATIENCE)
    (late,) = (t for t in threading.enumerate() if t.name == "quplog-worker-1")
    jq.stop(grace=0)
    assert (job.refresh().state, job.refresh().attempt) == ("ready", 0)
    jq.start()
    assert job.result(PATIENCE) == "the second time"
    gate.go_on.set()  # what the late one says now must not count
    late.join(PATIENCE)
    assert job.refresh().result(timeout=0) == "the second time"
    assert attempts == [1, 1]


def test_a_late_job_may_outlive_the_queue(make: Callable[..., JobQueue]) -> None:
    jq = make(workers=1)
    gate = Gate()

    @jq.task()
    def work() -> str:
        return gate.pass_through()

    jq.start()
    job_id = work.enqueue().id
    assert gate.begun.wait(PATIENCE)
    (late,) = (t for t in threading.enumerate() if t.name == "quplog-worker-1")
    jq.stop(grace=0)
    jq.close()
    gate.go_on.set()
    late.join(PATIENCE)
    assert not late.is_alive()
    assert make().job(job_id).state == "ready"


def test_stop_and_start_as_often_as_you_like(jq: JobQueue) -> None:
    @jq.task()
    def work() -> int:
        return 1

    jq.stop()
    for _ in range(5):
        jq.start()
        jq.start()
        assert work.enqueue().result(PATIENCE) == 1
        jq.stop()
        jq.stop()
    job = work.enqueue()
    assert job.refresh().state == "ready"
    jq.drain(PATIENCE)
    assert job.refresh().state == "succeeded"


def test_after_close_every_verb_says_so(make: Callable[..., JobQueue]) -> None:
    jq = make()

    @jq.task()
    def work() -> None: ...

    job = work.enqueue()
    jq.start()
    job.result(PATIENCE)
    schedule = jq.schedule(work.job(), every=60)
    jq.close()
    jq.close()
    jq.stop()

    def transact() -> None:
        with jq.transaction():
            work.enqueue()

    verbs: list[Callable[[], object]] = [
        work.enqueue,
        lambda: asyncio.run(work.aenqueue()),
        lambda: jq.enqueue_many([work.job()]),
        transact,
        jq.start,
        jq.drain,
        jq.sync,
        jq.counts,
        jq.jobs,
        jq.schedules,
        lambda: jq.job(1),
        lambda: jq.unschedule("work"),
        jq.queue("a").pause,
        schedule.pause,
        schedule.remove,
        job.refresh,
        job.cancel,
        job.result,
        lambda: asyncio.run(job.aresult()),
    ]
    for verb in verbs:
        with pytest.raises(LogClosed):
            verb()


def test_a_queue_that_was_never_used_can_be_closed(make: Callable[..., JobQueue]) -> None:
    jq = make()
    jq.close()
    with pytest.raises(LogClosed):
        jq.counts()


def test_stop_from_inside_of_a_job(jq: JobQueue) -> None:
    @jq.task()
    def work() -> str:
        jq.stop()
        return "stopped"

    jq.start()
    job = work.enqueue()
    assert job.result(PATIENCE) == "stopped"
    jq.stop()  # waits for the one in the background
    assert jq._pool is None


def test_close_from_inside_of_a_job_is_refused(jq: JobQueue) -> None:
    refused = []

    @jq.task()
    def work() -> None:
        try:
            jq.close()
        except RuntimeError as error:
            refused.append(str(error))

    with jq:
        work.enqueue().result(PATIENCE)
    assert "call stop()" in refused[0]


def test_close_ends_those_who_wait(make: Callable[..., JobQueue]) -> None:
    jq = make()

    @jq.task()
    def work() -> None: ...

    job = work.enqueue()
    ends: list[type] = []
    waiting = threading.Barrier(2)

    def wait() -> None:
        waiting.wait(PATIENCE)
        try:
            job.result()
        except LogClosed as error:
            ends.append(type(error))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait(PATIENCE)
    jq.close()
    thread.join(PATIENCE)
    assert ends == [LogClosed]


def test_close_while_others_enqueue(make: Callable[..., JobQueue]) -> None:
    jq = make(sync=False)
    acknowledged: list[int] = []
    begun = threading.Semaphore(0)

    @jq.task()
    def work() -> None: ...

    def enqueue() -> None:
        try:
            while True:
                acknowledged.append(work.enqueue().id)
                begun.release()
        except LogClosed:
            pass

    threads = [threading.Thread(target=enqueue) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        assert begun.acquire(timeout=PATIENCE)
    jq.close()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert sorted(acknowledged) == [job.id for job in make().jobs(limit=10**9)]


def test_no_threads_and_no_files_leak(path: Path) -> None:
    async def wait_for() -> int:
        return await (await work.aenqueue()).aresult()

    for n in range(3):
        jq = JobQueue(path, workers=3)

        @jq.task()
        def work() -> int:
            return 1

        @jq.every(hours=1)
        def tidy() -> None: ...

        with jq:
            assert work.enqueue().result(PATIENCE) == asyncio.run(wait_for()) == 1
            assert open_files(path)
        assert quplog_threads() == set(), n
        assert open_files(path) == [], n


def test_a_queue_that_is_forgotten_closes_itself(path: Path) -> None:
    def use() -> None:
        jq = JobQueue(path)

        @jq.task()
        def work() -> None: ...

        jq.enqueue_many([work.job()])

    use()
    gc.collect()
    assert open_files(path) == []


def test_the_program_may_end_without_stop(run: Callable[[str], Program]) -> None:
    program = run(
        """
        from quplog import JobQueue
        jq = JobQueue("jobs", sync=False)

        @jq.task()
        def work(n: int) -> int:
            return n

        jq.start()
        print(work.enqueue(3).result(30))
        work.using(delay=60).enqueue(4)
        """
    )
    assert program.lines() == ["3"]
    assert program.end() == 0


def test_a_job_that_never_ends_does_not_keep_the_program(
    run: Callable[[str], Program], make: Callable[..., JobQueue]
) -> None:
    program = run(
        """
        import threading
        import quplog.queue
        quplog.queue.EXIT_GRACE = 0.01
        jq = quplog.JobQueue("jobs")
        begun = threading.Event()

        @jq.task()
        def endless() -> None:
            begun.set()
            threading.Event().wait()

        jq.start()
        endless.enqueue()
        begun.wait(30)
        """
    )
    assert program.end() == 0
    jq = make()
    assert (jq.job(1).state, jq.job(1).attempt) == ("ready", 0)


def test_the_end_of_the_program_makes_everything_durable(
    run: Callable[[str], Program], make: Callable[..., JobQueue]
) -> None:
    program = run(
        """
        from quplog import JobQueue
        jq = JobQueue("jobs", sync=False, flush_interval=1000)

        @jq.task()
        def work() -> None: ...

        work.enqueue()
        """
    )
    assert program.end() == 0
    jq = make()
    assert jq.counts()["ready"] == 1  # type: ignore[index]
    assert jq._store.report.ending == "clean"


RUNNING = """
    import sys, threading
    from quplog import JobQueue
    jq = JobQueue("jobs", workers=2)

    @jq.task()
    def work(n: int) -> None:
        print("begun", flush=True)
        sys.stdin.readline() if n else threading.Event().wait()

    work.enqueue({n})
    jq.run(grace={grace})
    print("stopped", jq.job(1).state, jq.job(1).attempt, flush=True)
    """


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_stops_at_a_signal(run: Callable[[str], Program], number: int) -> None:
    program = run(RUNNING.format(n=0, grace=0))
    assert program.line() == "begun"
    program.process.send_signal(number)
    assert program.lines() == ["stopped ready 0"]
    assert program.end() == 0


def test_a_second_signal_does_not_wait(run: Callable[[str], Program]) -> None:
    program = run(
        RUNNING.format(n=0, grace=10**6).replace(
            "jq.run(",
            "import signal; old = jq._stop\n    "
            "def stop(grace):\n        print('stopping', flush=True); old(grace)\n    "
            "jq._stop = stop\n    jq.run(",
        )
    )
    assert program.line() == "begun"
    program.process.send_signal(signal.SIGTERM)
    assert program.line() == "stopping"
    program.process.send_signal(signal.SIGTERM)
    assert program.lines() == ["stopped ready 0"]
    assert program.end() == 0


def test_run_is_for_the_main_thread(jq: JobQueue) -> None:
    refused = []

    def call() -> None:
        try:
            jq.run()
        except RuntimeError as error:
            refused.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(PATIENCE)
    assert "use start()" in refused[0]
    assert jq._pool is None


def test_a_queue_without_workers_runs_nothing(make: Callable[..., JobQueue]) -> None:
    jq = make(workers=0)

    @jq.task()
    def work() -> None: ...

    with jq:
        job = work.enqueue()
        assert quplog_threads() == set()
        assert job.refresh().state == "ready"
