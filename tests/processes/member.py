"""A program of a storm: it enqueues jobs, or runs them, or both, until its input ends.

    member.py LOG FILES NAME ROLES

ROLES is "produce", "work" or "produce,work". It says "up" when it is at work; each line of its
input then is a number of jobs to enqueue. What it was told of each is in FILES/NAME.acks before the
next is enqueued. A job that runs writes so to FILES/runs.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from quplog import Job, JobQueue, Task, current_job

WORKERS = 2
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class Lines:
    """A file to which lines go with one write, so that a kill leaves them or does not."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, APPEND, 0o666)

    def add(self, *lines: str) -> None:
        os.write(self._file, "".join(f"{line}\n" for line in lines).encode())


def open_below(path: Path) -> list[str]:
    """What this process has open there."""
    found = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208  # a name may be gone by now
        try:
            target = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        except OSError:
            continue
        if target.startswith(f"{path}/"):
            found.append(target)
    return found


def make_tasks(jq: JobQueue, runs: Lines) -> list[Task]:
    """Three kinds of jobs, which all write down that they ran, and where."""

    def tell(text: str) -> None:
        runs.add(f"{socket.gethostname()}:{os.getpid()} {current_job().id} {text}")

    @jq.task()
    def work(text: str) -> None:
        tell(text)

    @jq.task()
    def work_slowly(text: str) -> None:
        tell(text)
        time.sleep(0.003)

    @jq.task()
    async def work_on_loop(text: str) -> None:
        tell(text)
        await asyncio.sleep(0.001)

    return [work, work, work_slowly, work_on_loop]


class Producer:
    """Enqueues jobs in every way there is, and writes down what it was told."""

    def __init__(self, jq: JobQueue, tasks: Sequence[Task], name: str, acks: Lines) -> None:
        self._jq = jq
        self._tasks = tasks
        self._name = name
        self._acks = acks
        self._chance = random.Random(name)  # noqa: S311  # nobody attacks this test
        self._steps = 0

    def enqueue(self, number: int) -> None:
        while number > 0:
            self._steps += 1
            way = self._chance.choice((self._one, self._one, self._later, self._many, self._block))
            number -= way(f"{self._name}.{self._steps}", number)

    def _one(self, text: str, _: int) -> int:
        return self._told([text], [self._task().enqueue(text)])

    def _later(self, text: str, _: int) -> int:
        delay = self._chance.uniform(0, 0.5)
        return self._told([text], [self._task(delay=delay).enqueue(text)])

    def _many(self, text: str, most: int) -> int:
        texts = self._texts(text, most)
        specs = [self._task().job(each) for each in texts]
        return self._told(texts, self._jq.enqueue_many(specs))

    def _block(self, text: str, most: int) -> int:
        texts = self._texts(text, most)
        with self._jq.transaction():
            jobs = [self._task().enqueue(each) for each in texts]
        return self._told(texts, jobs)

    def _task(self, **options: float) -> Task:
        sync = self._chance.random() < 0.5
        return self._chance.choice(self._tasks).using(sync=sync, **options)

    def _texts(self, text: str, most: int) -> list[str]:
        size = min(most, self._chance.randint(2, 10))
        return [f"{text}#{number}/{size}" for number in range(1, size + 1)]

    def _told(self, texts: Sequence[str], jobs: Sequence[Job[None]]) -> int:
        self._acks.add(*(f"{job.id} {text}" for job, text in zip(jobs, texts, strict=True)))
        return len(texts)


def main(log: str, folder: str, name: str, roles: str) -> None:
    files = Path(folder)
    jq = JobQueue(log, workers=WORKERS)
    tasks = make_tasks(jq, Lines(files / "runs"))
    producer = Producer(jq, tasks, name, Lines(files / f"{name}.acks"))
    if "work" in roles:
        jq.start()
    print("up", flush=True)
    for line in sys.stdin:
        producer.enqueue(int(line))
    jq.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
