"""Programs that a test starts, speaks with by lines, and watches from outside.

A program is a source that begins with PRELUDE: it tells something by `tell("line")` and hears by
`hear()`. Nothing here takes a pause in the hope that something has happened meanwhile: PATIENCE is
only the guard that ends a test that hangs.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

PATIENCE = 60.0
"""Seconds after which a test gives up waiting."""

PRELUDE = """
import os, sys, threading, time
from quplog import *

def tell(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")  # whole, whoever else tells something

def hear():
    return sys.stdin.readline().rstrip("\\n")

def kind(call, *args, **options):
    try:
        call(*args, **options)
    except QuplogError as error:
        return f"{type(error).__name__} {error.outcome_known}"
    except BaseException as error:
        return type(error).__name__
    return "none"
"""


class Program:
    """A Python program of its own process."""

    def __init__(self, source: str, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", PRELUDE + textwrap.dedent(source)],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._heard = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self, patience: float = PATIENCE) -> str:
        """The next line that it tells; "" at the end."""
        assert self.process.stdout is not None
        until = time.monotonic() + patience
        while b"\n" not in self._heard:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                message = f"it told nothing for {patience} s; so far: {self._heard!r}"
                raise TimeoutError(message)
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                break
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def says_more(self, patience: float) -> bool:
        """Whether it tells anything more within so many seconds."""
        if self._heard:
            return True
        return bool(select.select([self.process.stdout], [], [], patience)[0])

    def tell(self, line: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.line()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.wait(PATIENCE)


class Programs:
    """Starts programs in a directory, and kills those that are left when the block ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.started: list[Program] = []

    def __call__(self, source: str) -> Program:
        self.started.append(Program(source, self._directory))
        return self.started[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        for program in self.started:
            program.signal(signal.SIGCONT)
            program.kill()
            for pipe in (program.process.stdin, program.process.stdout):
                assert pipe is not None
                try:
                    pipe.close()
                except BrokenPipeError:
                    assert kind is not None, "something was told to a program that had ended"


def eventually(holds: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Look again and again until it holds."""
    until = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < until, f"{holds} did not come true in {patience} s"
        time.sleep(0.01)


# ---- is it asleep? ------------------------------------------------------------------------------


def switches(pids: Iterable[int]) -> dict[str, int]:
    """How often each thread of the processes has gone to sleep: it grows when one does anything."""
    found = {}
    for pid in pids:
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            words = status.read_text().split()
            found[str(status)] = int(words[words.index("voluntary_ctxt_switches:") + 1])
    return found


def fall_asleep(pids: Iterable[int], patience: float = PATIENCE) -> None:
    """Wait until no thread of theirs has done anything for longer than a helper's second."""
    pids = list(pids)
    until = time.monotonic() + patience
    before = switches(pids)
    while True:
        time.sleep(1.5)
        now = switches(pids)
        if now == before:
            return
        assert time.monotonic() < until, f"they do not come to rest: {before}, then {now}"
        before = now


def processor_ticks(pid: int) -> int:
    """The processor time that it has used, in the kernel's ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def system_calls(pids: Iterable[int], seconds: float, directory: Path) -> list[str]:
    """What the processes call in so many seconds, as strace tells it.

    That strace comes makes every thread look again at what it waits for, and go back to sleep; so
    it comes twice, and only the second time counts.
    """
    pids = list(pids)
    _trace(pids, 0.5, directory)
    return _trace(pids, seconds, directory)


def need_strace() -> None:
    """Fail the test if there is no strace to look with."""
    if not shutil.which("strace"):
        pytest.fail("strace is missing, which scripts/machine.sh would have installed")


def skip_if_forbidden(told: str) -> None:
    """Skip the test if strace told that it may not look at processes here."""
    if "not permitted" in told:
        pytest.skip(f"strace may not look at processes here: {told}")


def _trace(pids: list[int], seconds: float, directory: Path) -> list[str]:
    trace = directory / "strace"
    command = ["strace", "-f", "-o", str(trace)]
    for pid in pids:
        command += ["-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        first = strace.stderr.readline()  # "strace: Process 1234 attached with 5 threads"
        skip_if_forbidden(first)
        assert "attached" in first, first
        try:
            strace.wait(seconds)
        except subprocess.TimeoutExpired:
            strace.send_signal(signal.SIGINT)
        strace.communicate(timeout=PATIENCE)
    # A call that has no result was there before, and still sleeps.
    return [line for line in trace.read_text().splitlines() if " = " in line]
