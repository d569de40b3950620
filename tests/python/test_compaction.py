"""What compaction promises: the disk is given back, and whatever is stored stays as it is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from programs import COMPACT_BYTE, PATIENCE, hold

from quplog import JobQueue, JobState
from quplog.log_store import LogReader, LogStore

SEGMENT = 65536
LATER = 3600


def on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in path.glob("*.log"))


def settle(path: Path, bound: int) -> None:
    """Until the disk holds no more than `bound`; what comes next looks whether it does."""
    end = time.monotonic() + PATIENCE
    while on_disk(path) > bound and time.monotonic() < end:
        time.sleep(0.01)


def test_delayed_jobs_stay_while_thousands_pass(path: Path, make: Callable[..., JobQueue]) -> None:
    options = {"segment_size": SEGMENT, "keep_succeeded": 0, "sync": False}
    jq = make(**options)

    @jq.task()
    def work(number: int, _: str) -> int:
        return number

    later = work.using(delay=LATER, tags=("later",), priority=7)
    delayed = jq.enqueue_many([later.job(n, "x" * 100) for n in range(300)])
    jq.start()
    for _ in range(20):
        jq.enqueue_many([work.job(n, "y" * 200) for n in range(500)])
        jq.drain(timeout=PATIENCE)
    bound = max(4 * SEGMENT, 3 * 300 * (120 + 150))
    settle(path, bound)
    assert on_disk(path) <= bound
    jq.close()

    again = make(**options)
    found = again.jobs(state=JobState.SCHEDULED, limit=1000)
    assert [job.id for job in found] == [job.id for job in delayed]
    assert all(job.tags == ("later",) and job.priority == 7 for job in found)
    assert [job.due_at for job in found] == [job.refresh().due_at for job in found]


def test_compact_gives_back_what_finished_jobs_took(
    path: Path, make: Callable[..., JobQueue]
) -> None:
    jq = make(segment_size=SEGMENT, sync=False)

    @jq.task(retries=0)
    def work(number: int, _: str) -> int:
        if number % 100 == 3:
            message = f"three in {number}"
            raise ValueError(message)
        return number

    jobs = jq.enqueue_many([work.job(n, "z" * 2000) for n in range(500)])
    jq.drain(timeout=PATIENCE)
    before = on_disk(path)
    assert before > 1_000_000
    jq.compact()
    assert on_disk(path) < before / 4
    assert jobs[42].refresh().result() == 42
    failed = jobs[103].refresh()
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "three in 103" in failed.error
    last = jobs[-1].id
    jq.close()
    again = make(segment_size=SEGMENT, sync=False)
    assert again.job(jobs[42].id).result() == 42
    assert again.counts()[JobState.FAILED] == 5
    again.compact()
    new = again.task(name="new")(repr)
    assert new.enqueue(1).id == last + 1


def test_a_signal_does_not_end_a_compaction_that_waits_for_another(
    path: Path, make: Callable[..., JobQueue]
) -> None:
    jq = make(segment_size=SEGMENT)
    jq.counts()
    held = [hold(path, COMPACT_BYTE)]

    def on_signal(*_: object) -> None:
        if held:
            os.close(held.pop())

    before = signal.signal(signal.SIGALRM, on_signal)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        jq.compact()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not held


def test_readers_see_a_whole_log_while_it_is_compacted(
    path: Path, make: Callable[..., JobQueue]
) -> None:
    jq = make(segment_size=SEGMENT, keep_succeeded=0, sync=False)

    @jq.task()
    def work(text: str) -> None: ...

    kept = work.using(delay=LATER).enqueue("k" * 100)
    jq.start()
    for _ in range(30):
        jq.enqueue_many([work.job("y" * 500) for _ in range(200)])
        with LogReader(path) as reader:
            seen = {record.id for record in reader if record.type in {"put", "copy"}}
        assert kept.id in seen
        store = LogStore.open(path, read_only=True)
        assert store.load(kept.id).record.state is JobState.SCHEDULED
        store.close()
    jq.drain(timeout=PATIENCE)
