"""The types are an API too: arguments and results keep theirs through every verb.

The program below is checked by mypy, not run. A call that must be refused carries an ignore with
its code; should the types get lost, the ignore is unused, and that is an error as well.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_type

from quplog import Job, JobQueue, JobSpec, JobState, Task, current_job

jq = JobQueue("jobs")

@jq.task(queue="mail", retries=5)
def send(order_id: int, to: str) -> str:
    return f"{order_id} {to} {current_job().id}"

@jq.task()
async def fetch(url: str) -> bytes:
    return url.encode()

@jq.every(hours=1, missed="skip")
def tidy() -> None: ...

@dataclass
class Order:
    number: int

class Desk:
    def execute(self, task: Order) -> None: ...

jq.register(Order, Desk(), queue="desk")
jq.register(Order, lambda order: None)

assert_type(send(1, to="x"), str)
assert_type(send.enqueue(1, to="x"), Job[str])
assert_type(send.enqueue(1, "x").result(timeout=5), str)
assert_type(send.using(delay=timedelta(minutes=5), priority=3).enqueue(1, "x"), Job[str])
assert_type(send.job(1, "x"), JobSpec[str])
assert_type(jq.enqueue(send.job(1, "x")), Job[str])
assert_type(jq.enqueue_many([send.job(1, "x")]), list[Job[str]])
assert_type(fetch.enqueue("x").result(), bytes)
assert_type(jq.counts(), dict[JobState, int])
assert_type(send.enqueue(1, "x").refresh(), Job[str])
same: Task[[int, str], str] = send.using(queue="other")
jq.enqueue(Order(1), delay=5)
jq.schedule(send.job(1, "x"), every=3600, id="daily")
tidy.enqueue()

async def main() -> None:
    assert_type(await send.aenqueue(1, "x"), Job[str])
    assert_type(await (await send.aenqueue(1, "x")).aresult(), str)
    assert_type(await fetch("x"), bytes)
    assert_type(await jq.aenqueue(fetch.job("x")), Job[bytes])

send.enqueue("1", "x")  # type: ignore[arg-type]
send.enqueue(1)  # type: ignore[call-arg]
send.job(1, "x", 2)  # type: ignore[call-arg]
send.using(delay=5).enqueue(1, to=2)  # type: ignore[arg-type]
send.using(colour="red")  # type: ignore[call-arg]
send.using(delay="soon")  # type: ignore[arg-type]
tidy.enqueue(1)  # type: ignore[call-arg]
jq.task(retries="many")  # type: ignore[arg-type]
jq.task(delay=5)  # type: ignore[call-arg]
jq.every(hours=1, missed="never")  # type: ignore[arg-type]
JobQueue("jobs", workers="many")  # type: ignore[arg-type]
send.enqueue(1, "x").state = JobState.FAILED  # type: ignore[misc]
"""


def test_arguments_and_results_keep_their_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(PROGRAM)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir=cache", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout.startswith("Success"), checked.stdout + checked.stderr
