"""A program of the soak. It does what its role says for each line of its input, until that ends.

    soak_member.py LOG FILES NAME ROLE

produce   enqueue as many jobs as the line says
work      run jobs, and keep the schedule; the line is of no meaning
look      ask for numbers, jobs, errors and results, and read the records that have come
reopen    open the log, run jobs, enqueue one and wait for its result, and close the log

It says "up" when it is at work. Jobs and acknowledgements are written down as member.py does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "processes"))
from member import Lines, Producer

from quplog import JobNotFound, JobQueue, JobState, Task, current_job
from quplog.log_store import LogReader

COUNTED_RUNS = {
    "work": 1,
    "work_aside": 1,
    "work_slowly": 1,
    "work_on_loop": 1,
    "stumble": 2,
    "fail": 2,
    "tick": 1,
}
"""How often a job of each task runs to its end, killed runs apart; `fail` then has failed."""
SIDE = "side"
"""The queue that is paused now and then."""
PATIENCE = 60.0
WORKERS = 2
PAGE = 100


def make_tasks(jq: JobQueue, runs: Lines) -> dict[str, Task]:
    """All kinds of jobs of the soak: with results, retries and failures."""

    def tell(text: str) -> None:
        runs.add(f"{socket.gethostname()}:{os.getpid()} {current_job().id} {text}")

    @jq.task()
    def work(text: str) -> str:
        tell(text)
        return text * 10

    @jq.task(queue=SIDE)
    def work_aside(text: str) -> None:
        tell(text)

    @jq.task()
    def work_slowly(text: str) -> None:
        tell(text)
        time.sleep(0.02)

    @jq.task()
    async def work_on_loop(text: str) -> None:
        tell(text)
        await asyncio.sleep(0.001)

    @jq.task(retries=1, backoff=0.2)
    def stumble(text: str) -> None:
        tell(text)
        if current_job().attempt == 1:
            raise RuntimeError(text)

    @jq.task(retries=1, backoff=0.1)
    def fail(text: str) -> None:
        tell(text)
        raise RuntimeError(text)

    @jq.task()
    def tick(text: str) -> None:
        tell(text)

    tasks = (work, work_aside, work_slowly, work_on_loop, stumble, fail, tick)
    return {task.name: task for task in tasks}


class Soaked:
    """The queue of this program, and what it writes down."""

    def __init__(self, log: str, folder: str, name: str) -> None:
        files = Path(folder)
        self.log = log
        self.name = name
        self.runs = Lines(files / "runs")
        self.acks = Lines(files / f"{name}.acks")
        self.turns = 0
        self._reader = LogReader(log) if name.startswith("look") else None
        self.open()

    def open(self) -> None:
        self.jq = JobQueue(self.log, workers=WORKERS)
        self.tasks = make_tasks(self.jq, self.runs)

    def produce(self) -> Callable[[str], None]:
        kinds = [task for name, task in self.tasks.items() if name != "tick"]
        often = [self.tasks["work"]] * 2
        producer = Producer(self.jq, often + kinds, self.name, self.acks)
        return lambda line: producer.enqueue(int(line))

    def work(self) -> Callable[[str], None]:
        self.jq.schedule(self.tasks["tick"].job("tick"), every=1, id="tick")
        self.jq.start()
        return lambda _: None

    def look(self) -> Callable[[str], None]:
        def look(_: str) -> None:
            self.jq.counts()
            self.jq.schedules()
            for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.RETRYING):
                found = self.jq.jobs(state=state, limit=PAGE)
                self._read([job.id for job in found[:1] + found[-1:]])
            assert self._reader is not None
            while self._reader.skip(PAGE):
                pass

        return look

    def _read(self, ids: list[int]) -> None:
        for job_id in ids:
            try:
                job = self.jq.job(job_id)
                assert job.error if job.state is JobState.FAILED else True
                if job.state is JobState.SUCCEEDED:
                    job.result()
            except JobNotFound:  # it was forgotten meanwhile
                continue

    def reopen(self) -> Callable[[str], None]:
        def reopen(_: str) -> None:
            self.jq.close()
            self.open()
            self.turns += 1
            text = f"{self.name}.{self.turns}"
            with self.jq:
                job = self.tasks["work"].enqueue(text)
                self.acks.add(f"{job.id} {text}")
                assert job.result(timeout=PATIENCE) == text * 10

        return reopen


def main(log: str, folder: str, name: str, role: str) -> None:
    # That jobs fail here is their purpose, and is told for each of them.
    logging.getLogger("quplog").addFilter(lambda record: not record.msg.startswith("job "))
    soaked = Soaked(log, folder, name)
    turn = {
        "produce": soaked.produce,
        "work": soaked.work,
        "look": soaked.look,
        "reopen": soaked.reopen,
    }[role]()
    print("up", flush=True)
    for line in sys.stdin:
        turn(line)
    soaked.jq.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
