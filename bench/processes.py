"""Several processes on one log, measured: `python bench/processes.py [--quick] [--dir DIR]`.

It prints a Markdown table and then the same as JSON. What is compared is measured in one run, the
variants in turns, since the figures depend on the disk and on what else the machine does. DIR has
to be on the disk that is meant: a tmpfs syncs in no time and shows nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from quplog import JobQueue

PATIENCE = 60.0
RECORD = b"x" * 200
SPAWN = multiprocessing.get_context("spawn")


class Child:
    """A process of its own that runs `target(path, connection, *args)`."""

    def __init__(self, target: Callable[..., None], path: Path, *args: object) -> None:
        self.connection, theirs = SPAWN.Pipe()
        self.process: BaseProcess = SPAWN.Process(target=target, args=(path, theirs, *args))
        self.process.start()
        theirs.close()

    def tell(self, word: object = "go") -> None:
        self.connection.send(word)

    def hear(self) -> float:
        if not self.connection.poll(PATIENCE):
            message = f"{self.process.name} says nothing"
            raise TimeoutError(message)
        heard: float = self.connection.recv()
        return heard

    def kill(self) -> None:
        self.process.kill()
        self.process.join(PATIENCE)


@contextmanager
def children(*all_: Child) -> Iterator[None]:
    """They are ready when the block begins, and gone when it ends."""
    try:
        for child in all_:
            child.hear()
        yield
    finally:
        for child in all_:
            child.kill()


@contextmanager
def directory(root: Path) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="quplog-", dir=root))
    try:
        yield made / "jobs"
    finally:
        shutil.rmtree(made)


# ---- what the processes do ----------------------------------------------------------------------


def nothing(order_id: int, email: str) -> None:
    """A job that costs nothing."""


def produce(path: Path, connection: Connection, threads: int, seconds: float) -> None:
    """Enqueue durably from so many threads for so long; send how many that were in a second."""
    jq = JobQueue(path, workers=0)
    task = jq.task()(nothing)
    task.enqueue(0, email="user@example.com")
    done = [0] * threads
    go = threading.Barrier(threads + 1)

    def loop(number: int) -> None:
        go.wait()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            task.enqueue(42, email="user@example.com")
            done[number] += 1

    crowd = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    for thread in crowd:
        thread.start()
    connection.send(0.0)
    connection.recv()
    go.wait()
    began = time.monotonic()
    for thread in crowd:
        thread.join()
    connection.send(sum(done) / (time.monotonic() - began))
    connection.recv()


def tell_starts(path: Path, connection: Connection, workers: int) -> None:
    """Run jobs that send when they began, by the monotonic and by the wall clock."""
    jq = JobQueue(path, workers=workers)

    @jq.task()
    def tell() -> None:
        connection.send((time.monotonic_ns(), time.time_ns()))

    jq.start()
    connection.send(0.0)
    threading.Event().wait()


def hold(path: Path, connection: Connection) -> None:
    """Run one job at a time, which sends when it began, and never ends."""
    jq = JobQueue(path, workers=1)

    @jq.task()
    def block() -> None:
        connection.send(time.monotonic())
        threading.Event().wait()

    jq.start()
    connection.send(0.0)
    threading.Event().wait()


def drain(path: Path, connection: Connection, workers: int) -> None:
    """At a word, run jobs until there is none; send when that was."""
    jq = JobQueue(path, workers=workers)
    jq.task()(nothing)
    jq.counts()
    connection.send(0.0)
    connection.recv()
    jq.start()
    jq.drain()
    connection.send(time.monotonic())
    connection.recv()


# ---- the measurements ---------------------------------------------------------------------------


def sync_rate(root: Path, seconds: float) -> float:
    """The machine's limit for one after the other: records written over zeros and synced, per s."""
    size = 1 << 20
    with tempfile.TemporaryFile(dir=root) as file:
        fd = file.fileno()
        os.pwrite(fd, bytes(size), 0)
        os.fsync(fd)
        count = 0
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            os.pwrite(fd, RECORD, count * len(RECORD) % (size - len(RECORD)))
            os.fdatasync(fd)
            count += 1
        return count / (time.monotonic() - began)


def produce_rate(root: Path, processes: int, threads: int, seconds: float) -> float:
    """Durable enqueues per second of all together."""
    with directory(root) as path:
        crowd = [Child(produce, path, threads, seconds) for _ in range(processes)]
        with children(*crowd):
            for child in crowd:
                child.tell()
            return sum(child.hear() for child in crowd)


def group_commit(root: Path, rounds: int, seconds: float) -> dict[str, float]:
    shapes = {"1 thread": (1, 1), "16 threads": (1, 16), "4 processes x 4 threads": (4, 4)}
    rates: dict[str, list[float]] = {"write and fdatasync, alone": []}
    for _ in range(rounds):
        rates["write and fdatasync, alone"].append(sync_rate(root, seconds))
        for name, shape in shapes.items():
            rates.setdefault(name, []).append(produce_rate(root, *shape, seconds))
    return {name: statistics.median(each) for name, each in rates.items()}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {name: ordered[min(len(ordered) - 1, int(len(ordered) * p))] for name, p in at.items()}


def wake_up(root: Path, number: int, pause: float, workers: int) -> dict[str, float]:
    """From the return of an unsynced enqueue to the job's start in an idle process, in us."""
    with directory(root) as path:
        child = Child(tell_starts, path, workers)
        with children(child), JobQueue(path, workers=0, sync=False) as jq:
            task = jq.task(name="tell")(print)
            late = []
            for _ in range(number + 20):
                time.sleep(pause)
                task.enqueue()
                returned = time.monotonic_ns()
                late.append((child.connection.recv()[0] - returned) / 1000)
            return percentiles(late[20:])


def lateness(root: Path, number: int, workers: int) -> dict[str, float]:
    """From when a delayed job of another process is due to its start, in us."""
    with directory(root) as path:
        child = Child(tell_starts, path, workers)
        with children(child), JobQueue(path, workers=0, sync=False) as jq:
            task = jq.task(name="tell")(print)
            late = []
            for _ in range(number):
                job = task.using(delay=0.03).enqueue()
                due = job.due_at
                assert due is not None
                late.append(child.connection.recv()[1] / 1000 - due.timestamp() * 1e6)
            return percentiles(late)


def drain_rate(root: Path, processes: int, workers: int, jobs: int) -> float:
    """No-op jobs per second of all processes together."""
    with directory(root) as path:
        with JobQueue(path, workers=0) as jq:
            task = jq.task()(nothing)
            specs = [task.job(i, email="user@example.com") for i in range(10_000)]
            for _ in range(jobs // len(specs)):
                jq.enqueue_many(specs)
        crowd = [Child(drain, path, workers) for _ in range(processes)]
        with children(*crowd):
            began = time.monotonic()
            for child in crowd:
                child.tell()
            return jobs / (max(child.hear() for child in crowd) - began)


def take_over(root: Path, rounds: int) -> dict[str, float]:
    """From the kill of a process to the start of its job in another one, in us."""
    times = []
    for _ in range(rounds):
        with directory(root) as path:
            first = Child(hold, path)
            with children(first), JobQueue(path, workers=0) as jq:
                jq.task(name="block")(print).enqueue()
                first.hear()
                second = Child(hold, path)
                with children(second):
                    killed = time.monotonic()
                    first.kill()
                    times.append((second.hear() - killed) * 1e6)
    return percentiles(times)


def measure(root: Path, scale: int) -> dict[str, dict[str, float]]:
    """Everything; `scale` is 1 for a quick look."""
    rates = group_commit(root, rounds=1 + 2 * (scale > 1), seconds=0.5 * scale)
    alone = rates["1 thread"]
    found = {
        f"durable enqueues/s, {name}": {"value": rate, "times 1 thread": rate / alone}
        for name, rate in rates.items()
    }
    found["wake-up of a sleeping process, us"] = wake_up(root, 200 * scale, 0.005, 1)
    found["the same, 10 workers asleep, us"] = wake_up(root, 200 * scale, 0.005, 10)
    found["the same after 1.5 s of quiet, us"] = wake_up(root, 2 * scale, 1.5, 1)
    found["lateness of a delayed job, us"] = lateness(root, 30 * scale, 10)
    for processes in (1, 2):
        rate = drain_rate(root, processes, 5, 20_000 * scale)
        found[f"drained jobs/s, {processes} process(es) x 5 threads"] = {"value": rate}
    found["take-over of a dead worker's job, us"] = take_over(root, scale)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a look in about 20 s")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    found = measure(options.dir, 1 if options.quick else 4)
    lines = ["| measured | figures |", "|---|---|"]
    for name, figures in found.items():
        shown = ", ".join(f"{key} {value:,.1f}" for key, value in figures.items())
        lines.append(f"| {name} | {shown} |")
    sys.stdout.write("\n".join(lines) + "\n\n" + json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
