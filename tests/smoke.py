"""Run one job on this interpreter with the installed wheel, and see it again after reopening."""

from __future__ import annotations

import sys

import quplog._quplog
from quplog import JobQueue

directory = sys.argv[1]


def add(first: int, second: int) -> int:
    return first + second


with JobQueue(directory, workers=2) as jq:
    job = jq.task()(add).enqueue(40, 2)
    assert job.result(timeout=30) == 42

jq = JobQueue(directory)
assert jq.job(job.id).result(timeout=30) == 42
jq.close()

assert ".abi3." in quplog._quplog.__file__, quplog._quplog.__file__
print(f"Python {sys.version.split()[0]}: {quplog._quplog.__file__.rsplit('/', 1)[-1]} works")
