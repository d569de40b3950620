"""A server that loads its application, uses it, and then forks: children and parent go on at once.

    preload.py LOG FILES METHOD CHILDREN

METHOD is "os.fork", or "fork" or "spawn" of multiprocessing. While the parent forks, its workers
run jobs and its threads enqueue without a pause: batches, so that one of them often is appending,
and synced jobs, so that one of them nearly always is inside of a sync. Each child enqueues and
looks at once. It says "done", or what went wrong.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from member import Lines, make_tasks, open_below

from quplog import JobQueue, JobState

CHILD_JOBS = 5
BATCH = 20

log, files = Path(sys.argv[1]), Path(sys.argv[2])
jq = JobQueue(log, workers=2)
work, *_ = make_tasks(jq, Lines(files / "runs"))
enough = threading.Event()
wrong: list[str] = []


def in_child(number: int) -> None:
    """Use what was loaded before the fork, at once."""
    acks = Lines(files / f"child-{number}.acks")
    inherited = [path for path in open_below(log) if path.endswith("/lock")]
    assert not inherited, f"it has {inherited} of its parent"
    for step in range(CHILD_JOBS):
        job = work.using(sync=step % 2 == 0).enqueue(f"child-{number}-{step}")
        acks.add(f"{job.id} child-{number}-{step}")
        assert job.refresh().id == job.id
    texts = [f"child-{number}#{n}/{BATCH}" for n in range(1, BATCH + 1)]
    jobs = jq.enqueue_many([work.job(text) for text in texts])
    acks.add(*(f"{job.id} {text}" for job, text in zip(jobs, texts, strict=True)))
    assert sum(jq.counts().values()) >= CHILD_JOBS
    jq.close()


def enqueue_batches() -> None:
    acks, steps = Lines(files / "batches.acks"), 0
    while not enough.is_set():
        steps += 1
        texts = [f"batch-{steps}#{n}/{BATCH}" for n in range(1, BATCH + 1)]
        jobs = jq.enqueue_many([work.using(sync=False).job(text) for text in texts])
        acks.add(*(f"{job.id} {text}" for job, text in zip(jobs, texts, strict=True)))


def enqueue_synced() -> None:
    acks, steps = Lines(files / "synced.acks"), 0
    while not enough.is_set():
        steps += 1
        acks.add(f"{work.enqueue(f'synced-{steps}').id} synced-{steps}")


def fork_once(number: int) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            in_child(number)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        wrong.append(f"child {number} ended with {os.waitstatus_to_exitcode(status)}")


def start_once(method: str) -> Callable[[int], None]:
    context = multiprocessing.get_context(method)

    def start(number: int) -> None:
        child = context.Process(target=in_child, args=(number,))
        child.start()
        child.join()
        if child.exitcode:
            wrong.append(f"child {number} ended with {child.exitcode}")

    return start


def main(method: str, children: int) -> None:
    jq.start()
    work.enqueue("first")
    threads = [threading.Thread(target=each) for each in (enqueue_batches, enqueue_synced)]
    for thread in threads:
        thread.start()
    start = fork_once if method == "os.fork" else start_once(method)
    for number in range(children):
        start(number)
    enough.set()
    for thread in threads:
        thread.join()
    jq.drain()
    if jq.counts()[JobState.SUCCEEDED] != sum(jq.counts().values()):
        wrong.append(str(jq.counts()))
    jq.close()
    print("; ".join(wrong) or "done", flush=True)


if __name__ == "__main__":
    main(sys.argv[3], int(sys.argv[4]))
