"""What the tests of the Python layer share: a queue in a directory of its own, and child programs.

No test here depends on how long something takes: they wait for events, and PATIENCE is only the
guard that ends a test that hangs.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quplog import JobQueue

PATIENCE = 60.0
"""Seconds after which a test gives up waiting."""


def quplog_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("quplog-")}


def open_files(path: Path) -> list[str]:
    """What this process has open below `path`."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = descriptor.readlink()
        except OSError:  # it was closed while we looked
            continue
        if target.is_relative_to(path):
            found.append(str(target))
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A directory for a log that does not exist yet."""
    return tmp_path / "jobs"


@pytest.fixture
def make(path: Path) -> Iterator[Callable[..., JobQueue]]:
    """Make JobQueues on `path`; they are closed in the end, and must leave nothing behind."""
    made: list[JobQueue] = []

    def make_queue(**options: object) -> JobQueue:
        jq = JobQueue(path, **{"workers": 4, **options})  # type: ignore[arg-type]
        made.append(jq)
        return jq

    yield make_queue
    for jq in made:
        jq.close()
    assert quplog_threads() == set()
    assert open_files(path) == []


@pytest.fixture
def jq(make: Callable[..., JobQueue]) -> JobQueue:
    """A JobQueue with four workers that are not started."""
    return make()


class Program:
    """Another Python program, in the directory of the test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """The next line that it prints; "" at the end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def lines(self) -> list[str]:
        """All lines that are left, until it ends."""
        assert self.process.stdout is not None
        return self.process.stdout.read().splitlines()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return self.process.wait(PATIENCE)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    """Start a program given as source. It may use `print(..., flush=True)` to tell something."""
    programs: list[Program] = []

    def start(source: str) -> Program:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(source)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        programs.append(Program(process))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()
        assert program.process.stdout is not None
        program.process.stdout.close()
