"""What event loops are promised: never blocked, one frame a turn, results without a thread each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import APPEND_BYTE, PATIENCE, hold, quplog_threads

from quplog import (
    JobCancelled,
    JobFailed,
    JobQueue,
    JobState,
    LogClosed,
    LogFailed,
    PayloadError,
)
from quplog.log_store import LogReader


def frames(path: Path) -> list[int]:
    """How many jobs each frame with jobs holds."""
    with LogReader(path) as reader:
        lsns = [record.frame_lsn for record in reader if record.type == "put"]
    return [lsns.count(lsn) for lsn in sorted(set(lsns))]


@pytest.mark.parametrize("sync", [True, False])
def test_the_enqueues_of_one_turn_are_one_frame(
    make: Callable[..., JobQueue], path: Path, *, sync: bool
) -> None:
    jq = make(sync=sync)

    @jq.task()
    def work(n: int) -> None: ...

    async def main() -> None:
        jobs = await asyncio.gather(*(work.aenqueue(n) for n in range(100)))
        assert [job.id for job in jobs] == list(range(1, 101))
        assert (await work.aenqueue(100)).id == 101

    asyncio.run(main())
    assert frames(path) == [100, 1]


@pytest.mark.parametrize("sync", [True, False])
def test_a_loop_does_not_wait_for_another_process_that_appends(
    make: Callable[..., JobQueue], path: Path, *, sync: bool
) -> None:
    jq = make(sync=sync, lock_timeout=PATIENCE)

    @jq.task()
    def work(n: int) -> None: ...

    async def main() -> None:
        await work.aenqueue(0)
        holder = hold(path, APPEND_BYTE)
        asked = [asyncio.ensure_future(work.aenqueue(n)) for n in range(1, 4)]
        for _ in range(100):  # the loop turns while nobody may append
            await asyncio.sleep(0)
        late = asyncio.ensure_future(work.aenqueue(4))
        await asyncio.sleep(0)
        assert not any(each.done() for each in [*asked, late])
        os.close(holder)
        jobs = await asyncio.gather(*asked, late)
        assert [job.id for job in jobs] == [2, 3, 4, 5]  # the later one stays behind

    asyncio.run(main())


def test_an_acknowledged_aenqueue_is_durable(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    async def main() -> None:
        await asyncio.gather(*(work.aenqueue() for _ in range(10)))
        stats = jq._store.stats()
        assert stats.synced_lsn == stats.tail_lsn

    asyncio.run(main())


def test_an_aenqueue_that_could_not_be_made_durable_fails(
    jq: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    @jq.task()
    def work() -> None: ...

    def fail() -> None:
        raise LogFailed("as a disk does")

    async def main() -> None:
        await work.aenqueue()
        monkeypatch.setattr(jq._store, "sync", fail)
        ends = await asyncio.gather(*(work.aenqueue() for _ in range(3)), return_exceptions=True)
        assert [type(end) for end in ends] == [LogFailed] * 3

    asyncio.run(main())


def test_objects_specs_and_options(jq: JobQueue) -> None:
    class Order:
        def __init__(self, number: int) -> None:
            self.number = number

    jq.register(Order, lambda order: order.number)

    @jq.task()
    def work() -> None: ...

    async def main() -> None:
        order = await jq.aenqueue(Order(5))
        later = await jq.aenqueue(work.job(), delay=60, queue="other")
        slow = await work.using(delay=60).aenqueue()
        assert [order.id, later.id, slow.id] == [1, 2, 3]
        assert [later.queue, later.state, slow.state] == ["other", "scheduled", "scheduled"]
        assert later.refresh().state == slow.refresh().state == "scheduled"

    asyncio.run(main())


def test_one_bad_job_does_not_harm_the_others_of_its_turn(jq: JobQueue) -> None:
    @jq.task()
    def work(value: object) -> None: ...

    async def main() -> None:
        found = await asyncio.gather(
            work.aenqueue(1), work.aenqueue(object()), work.aenqueue(2), return_exceptions=True
        )
        assert [type(each).__name__ for each in found] == ["Job", "PayloadError", "Job"]

    asyncio.run(main())
    assert jq.counts()[JobState.READY] == 2


def test_a_turn_may_hold_more_than_a_frame(jq: JobQueue, path: Path) -> None:
    @jq.task()
    def work(data: bytes) -> None: ...

    async def main() -> None:
        data = bytes(3 << 20)
        jobs = await asyncio.gather(*(work.aenqueue(data) for _ in range(25)))
        assert [job.id for job in jobs] == list(range(1, 26))

    asyncio.run(main())
    assert sum(frames(path)) == 25


def test_too_large_is_refused_for_the_one(jq: JobQueue) -> None:
    @jq.task()
    def work(data: bytes) -> None: ...

    async def main() -> None:
        with pytest.raises(PayloadError, match="4 MiB"):
            await work.aenqueue(bytes(5 << 20))

    asyncio.run(main())


def test_results_come_to_the_loop(jq: JobQueue) -> None:
    @jq.task()
    def double(n: int) -> int:
        return n * 2

    @jq.task(retries=0)
    def fail() -> None:
        raise ValueError("no")

    async def main() -> None:
        jobs = await asyncio.gather(*(double.aenqueue(n) for n in range(200)))
        assert await asyncio.gather(*(job.aresult() for job in jobs)) == [n * 2 for n in range(200)]
        with pytest.raises(JobFailed, match="ValueError: no"):
            await (await fail.aenqueue()).aresult()
        cancelled = await double.using(delay=60).aenqueue(1)
        waiting = asyncio.create_task(cancelled.aresult())
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(JobCancelled):
            await waiting

    with jq:
        asyncio.run(main())


def test_a_result_that_is_there_already_needs_no_thread(jq: JobQueue) -> None:
    @jq.task()
    def work() -> int:
        return 3

    job = work.enqueue()
    jq.drain(PATIENCE)
    assert asyncio.run(job.aresult()) == 3
    assert quplog_threads() == set()


def test_the_loop_goes_on_while_a_result_is_waited_for(jq: JobQueue) -> None:
    go_on = threading.Event()

    @jq.task()
    def work() -> str:
        go_on.wait(PATIENCE)
        return "done"

    async def main() -> None:
        job = await work.aenqueue()
        waiting = asyncio.create_task(job.aresult())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        go_on.set()
        assert await asyncio.wait_for(waiting, PATIENCE) == "done"

    with jq:
        asyncio.run(main())


def test_waiting_can_be_given_up(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    async def main() -> None:
        job = await work.aenqueue()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await job.aresult()
        assert jq._intake.session.channel._results._waiting == {}

    asyncio.run(main())


def test_a_cancelled_aenqueue_harms_nobody(jq: JobQueue) -> None:
    @jq.task()
    def work(n: int) -> None: ...

    async def main() -> None:
        first = asyncio.create_task(work.aenqueue(1))
        second = asyncio.create_task(work.aenqueue(2))
        await asyncio.sleep(0)  # both have asked, and the turn has not ended
        first.cancel()
        assert (await second).id == 2
        with contextlib.suppress(asyncio.CancelledError):
            await first

    asyncio.run(main())


def test_loops_in_many_threads_share_the_channel(jq: JobQueue) -> None:
    @jq.task()
    def double(n: int) -> int:
        return n * 2

    found: list[int] = []

    async def main(n: int) -> None:
        jobs = await asyncio.gather(*(double.aenqueue(n) for _ in range(20)))
        found.extend(await asyncio.gather(*(job.aresult() for job in jobs)))

    with jq:
        threads = [
            threading.Thread(target=asyncio.run, args=(main(n),), daemon=True) for n in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(found) == [n * 2 for n in range(5) for _ in range(20)]


def test_a_loop_that_ends_before_its_answer_harms_nobody(jq: JobQueue) -> None:
    @jq.task()
    def work() -> int:
        return 1

    async def give_up() -> None:
        job = await work.aenqueue()
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)
        await job.aresult()

    loop = asyncio.new_event_loop()
    task = loop.create_task(give_up())
    loop.run_forever()
    with contextlib.suppress(RuntimeError):
        loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    with jq:
        assert work.enqueue().result(PATIENCE) == 1


def test_who_waits_while_the_queue_is_closed_is_told(make: Callable[..., JobQueue]) -> None:
    jq = make()

    @jq.task()
    def work() -> None: ...

    async def main() -> None:
        job = await work.aenqueue()
        waiting = asyncio.create_task(job.aresult())
        await asyncio.sleep(0)
        await asyncio.to_thread(jq.close)
        with pytest.raises(LogClosed):
            await asyncio.wait_for(waiting, PATIENCE)
        with pytest.raises(LogClosed):
            await work.aenqueue()

    asyncio.run(main())
