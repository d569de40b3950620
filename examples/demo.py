"""The main job, end to end: enqueue, run, kill, recover; and the proof, read from the log.

Run it with `./demo`. Exits with 1 if anything is not as quplog promises.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from quplog.log_store import LogReader

HERE = Path(__file__).parent
QUPLOG = str(Path(sys.executable).parent / "quplog")
KILL_AFTER = 80
"""Finished jobs before the kill."""


@dataclass
class Story:
    """What the log tells of all jobs."""

    put: set[int] = field(default_factory=set)
    runs: Counter[int] = field(default_factory=Counter)
    finished: Counter[int] = field(default_factory=Counter)
    retried: Counter[int] = field(default_factory=Counter)
    running: set[int] = field(default_factory=set)
    cut_off: Counter[int] = field(default_factory=Counter)
    opened: int = 0


def read_story(directory: Path) -> Story:
    """Read every record of the log, as `quplog log` does."""
    story = Story()
    with LogReader(directory) as reader:
        for record in reader:
            if record.type == "put":
                story.put.add(record.id)
            elif record.type == "claim":
                story.runs[record.id] += 1
                story.running.add(record.id)
            elif record.type in {"finish", "retry"}:
                (story.finished if record.type == "finish" else story.retried)[record.id] += 1
                story.running.discard(record.id)
            elif record.type == "open":
                story.opened += 1
                story.cut_off.update(story.running)
                story.running.clear()
    return story


def step(words: str) -> None:
    print(f"\n--- {words}", flush=True)


def quplog(*arguments: str) -> None:
    """Run the command as a person would."""
    print(f"$ quplog {' '.join(arguments)}", flush=True)
    subprocess.run([QUPLOG, *arguments], check=False)


def work_and_kill(directory: Path) -> list[int]:
    """Let a process enqueue and work; kill it in the middle. Returns the acknowledged ids."""
    child = subprocess.Popen(
        [sys.executable, HERE / "orders.py", directory, "enqueue-and-work"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    acknowledged = []
    for line in child.stdout:
        if not line.strip().isdecimal():
            break
        acknowledged.append(int(line))
    print(f"{len(acknowledged)} jobs enqueued, each acknowledged as durable")
    while child.poll() is None:
        story = read_story(directory)  # beside the running process, without a lock
        if len(story.finished) >= KILL_AFTER and story.running:
            break
    child.send_signal(signal.SIGKILL)
    child.wait()
    return acknowledged


def judge(story: Story, acknowledged: list[int]) -> list[str]:
    """Every broken promise, in words."""
    broken = []
    if story.opened != 2:
        broken.append(f"the log was opened {story.opened} times instead of 2")
    broken += [f"job {n} was acknowledged and is gone" for n in acknowledged if n not in story.put]
    for job_id in sorted(story.put):
        runs, finished = story.runs[job_id], story.finished[job_id]
        expected = 1 + story.cut_off[job_id] + story.retried[job_id]
        if finished != 1:
            broken.append(f"job {job_id} finished {finished} times instead of once")
        if runs != expected:
            broken.append(f"job {job_id} ran {runs} times instead of {expected}")
    if not story.cut_off:
        broken.append("no job was running at the kill: nothing is shown, run it again")
    return broken


def tell(story: Story) -> None:
    plain = sum(story.runs[job_id] == 1 for job_id in story.put)
    cut_off = ", ".join(str(job_id) for job_id in sorted(story.cut_off))
    retried = ", ".join(str(job_id) for job_id in sorted(story.retried))
    print(f"{len(story.put):>5} jobs were enqueued")
    print(f"{sum(story.finished.values()):>5} times a job finished, each job once")
    print(f"{plain:>5} jobs ran once")
    print(f"{len(story.cut_off):>5} were running at the kill and ran again: {cut_off}")
    print(f"{len(story.retried):>5} failed at first and were retried: {retried}")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="quplog-demo-") as home:
        directory = Path(home) / "orders"
        step("a process enqueues 201 jobs (the last is due in 2 s) and 4 workers begin to run them")
        acknowledged = work_and_kill(directory)
        step("in the middle of that it was killed with SIGKILL; this is what the log holds")
        quplog("status", str(directory))
        step("a new process opens the same directory and finishes what is left")
        orders = [sys.executable, str(HERE / "orders.py"), str(directory), "work"]
        subprocess.run(orders, check=True, timeout=120)
        quplog("status", str(directory))
        quplog("verify", str(directory))
        story = read_story(directory)
        if story.cut_off:
            step("the life of one job that was running at the kill")
            quplog("show", str(directory), str(min(story.cut_off)))
        step("the proof, from the log")
        tell(story)
        broken = judge(story, acknowledged)
    for words in broken:
        print(f"BROKEN: {words}")
    print("\nno acknowledged job was lost, and no finished job ran again" if not broken else "")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
