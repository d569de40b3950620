"""Fixtures of the Python layer's tests: a queue in a directory of its own, and child programs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs import Program, open_files, quplog_threads

from quplog import JobQueue


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
