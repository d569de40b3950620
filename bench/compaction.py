"""Compaction under load, measured: `python bench/compaction.py [--jobs N] [--segment BYTES]`.

20,000 jobs that are due in an hour are kept, and N short jobs are pushed through by two worker
processes. It prints what the log took on the disk, what was written for each byte of the PUT frames
(zeros apart), and how long the enqueues took, as one line of JSON. DIR has to be on a real disk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from quplog import JobQueue
from quplog.task import Task

LIVE = 20_000
LOOK_EVERY = 5_000
"""Enqueues between two looks at the disk."""

PATIENCE = 3600.0
SETTLE_SECONDS = 3.0
"""For the helper of some process to forget and to compact."""

TEXT = "a mail to somebody@example.com about order 4711"


def make_queue(path: str, segment: int) -> tuple[JobQueue, Task[[int, str], None]]:
    """The same in every process: what has finished is forgotten at once."""
    jq = JobQueue(path, workers=4, segment_size=segment, keep_succeeded=0)

    @jq.task(sync=False)
    def short(number: int, text: str) -> None: ...

    return jq, short


def run_worker(path: str, segment: int) -> None:
    """Run jobs until standard input ends."""
    with make_queue(path, segment)[0]:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()


def start_worker(path: str, segment: int) -> subprocess.Popen[str]:
    """A process that is ready to run jobs."""
    command = [sys.executable, "-P", __file__, "--dir", path, "--segment", str(segment), "--worker"]
    process = subprocess.Popen(  # noqa: S603  # it is this file
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def disk_bytes(path: str) -> int:
    """What the segments take."""
    return sum(segment.stat().st_size for segment in Path(path).glob("*.log"))


def measure(path: str, segment: int, jobs: int) -> dict[str, object]:
    """Push the jobs through and tell what it cost."""
    jq, short = make_queue(path, segment)
    jq.enqueue_many([short.using(delay=3600).job(number, TEXT) for number in range(LIVE)])
    short.enqueue(0, TEXT)  # a segment may begin with it
    before = jq._store.stats().tail_lsn  # noqa: SLF001  # the log in numbers is the store's
    short.enqueue(0, TEXT)
    put_bytes = jq._store.stats().tail_lsn - before  # noqa: SLF001
    workers = [start_worker(path, segment) for _ in range(2)]
    times, sizes = [], [disk_bytes(path)]
    for number in range(jobs):
        began = time.perf_counter()
        short.enqueue(number, TEXT)
        times.append(time.perf_counter() - began)
        if number % LOOK_EVERY == 0:
            sizes.append(disk_bytes(path))
    jq.drain(PATIENCE)
    time.sleep(SETTLE_SECONDS)
    stats = jq._store.stats()  # noqa: SLF001
    for worker in workers:
        worker.communicate()
    jq.close()
    times.sort()
    return {
        "jobs": jobs,
        "segment": segment,
        "settled_mib": round(stats.disk_bytes / 2**20, 1),
        "settled_over_segment": round(stats.disk_bytes / segment, 1),
        "largest_mib": round(max(sizes) / 2**20, 1),
        "written_over_put_bytes": round((stats.tail_lsn - before) / put_bytes / jobs, 2),
        "enqueue_us": {
            name: round(times[min(int(share * jobs), jobs - 1)] * 1e6, 1)
            for name, share in {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}.items()
        },
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2_000_000)
    parser.add_argument("--segment", type=int, default=16 << 20)
    parser.add_argument("--dir", help="a directory that does not exist yet")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        run_worker(options.dir, options.segment)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = options.dir or f"{scratch}/jobs"
        sys.stdout.write(json.dumps(measure(path, options.segment, options.jobs)) + "\n")


if __name__ == "__main__":
    main()
