"""quplog's own operations, measured with pytest-benchmark: `pytest bench/`.

Speed is measured here and tested nowhere. Each benchmark prints operations per second; compare
figures within one run only, since they depend on the disk and on what else the machine does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from quplog import JobQueue

BATCH = 10_000
DRAINED = 20_000
PENDING = 100_000


def nothing(order_id: int, email: str) -> None:
    """A job that costs nothing, so that what is measured is the queue."""


@pytest.fixture
def jq(tmp_path: Path) -> Iterator[JobQueue]:
    queue = JobQueue(tmp_path / "jobs")
    yield queue
    queue.close()


def test_enqueue_synced(benchmark: BenchmarkFixture, jq: JobQueue) -> None:
    task = jq.task()(nothing)
    benchmark(task.enqueue, 42, email="user@example.com")


def test_enqueue_unsynced(benchmark: BenchmarkFixture, jq: JobQueue) -> None:
    task = jq.task(sync=False)(nothing)
    benchmark(task.enqueue, 42, email="user@example.com")


def test_enqueue_many(benchmark: BenchmarkFixture, jq: JobQueue) -> None:
    task = jq.task()(nothing)
    specs = [task.job(i, email="user@example.com") for i in range(BATCH)]
    benchmark.extra_info["jobs"] = BATCH
    benchmark.pedantic(jq.enqueue_many, args=(specs,), rounds=10, warmup_rounds=1)


@pytest.mark.parametrize("workers", [1, 10])
def test_drain(benchmark: BenchmarkFixture, jq: JobQueue, workers: int) -> None:
    task = jq.task()(nothing)
    specs = [task.job(i, email="user@example.com") for i in range(DRAINED)]

    def run_all() -> None:
        jq.start(workers=workers)
        jq.drain()

    def refill() -> None:
        jq.stop()
        jq.enqueue_many(specs)

    benchmark.extra_info["jobs"] = DRAINED
    benchmark.pedantic(run_all, setup=refill, rounds=5)


def test_reopen(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    with JobQueue(tmp_path / "jobs", workers=0) as jq:
        task = jq.task()(nothing)
        jq.enqueue_many([task.job(i, email="user@example.com") for i in range(PENDING)])

    def reopen() -> int:
        with JobQueue(tmp_path / "jobs", workers=0) as again:
            return sum(again.counts().values())

    benchmark.extra_info["jobs"] = PENDING
    assert benchmark.pedantic(reopen, rounds=5) == PENDING
