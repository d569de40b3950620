"""Starting, asking, stopping and killing the program app.py, and waiting for what it does."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import history

APP = Path(__file__).with_name("app.py")
PATIENCE = 60.0
"""Seconds after which a test gives up waiting."""

SOON = 2.0
"""Seconds within which a dead process's job has started elsewhere: what the README promises."""

POLL = 0.005


def wait_until(ready: Callable[[], object], what: str, patience: float = PATIENCE) -> float:
    """Look until it is so; how many seconds that took."""
    began = time.monotonic()
    while not ready():
        if time.monotonic() - began > patience:
            raise TimeoutError(f"in {patience} s it did not come about that {what}")
        time.sleep(POLL)
    return time.monotonic() - began


class App:
    """One running app.py."""

    def __init__(self, log: Path, files: Path, **options: float) -> None:
        self.files = files
        words = [f"{name}={value}" for name, value in options.items()]
        self.process = subprocess.Popen(
            [sys.executable, APP, log, files, *words],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # so that what it has forked can be ended with it
        )
        self.pid = self.process.pid
        self.who = f"{socket.gethostname()}:{self.pid}"
        self._said = b""

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())

    def answer(self, patience: float = PATIENCE) -> str:
        """The next line that it says."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + patience
        while b"\n" not in self._said:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"process {self.pid} did not answer in {patience} s")
            part = os.read(self.process.stdout.fileno(), 4096)
            if not part:
                raise EOFError(f"process {self.pid} ended: {self.process.wait(PATIENCE)}")
            self._said += part
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()

    def ask(self, command: str, patience: float = PATIENCE) -> str:
        self.tell(command)
        return self.answer(patience)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def halt(self) -> None:
        """SIGSTOP; returns when it stands still."""
        self.signal(signal.SIGSTOP)
        wait_until(lambda: self.state == "T", "it is stopped")

    @property
    def state(self) -> str:
        """R, S, D, T, Z: what the kernel says of its main thread."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2][0]

    @property
    def waits_on_a_word(self) -> bool:
        """Its main thread sleeps in the kernel until another thread or process wakes it."""
        return "futex" in Path(f"/proc/{self.pid}/wchan").read_text()

    def kill(self) -> float:
        """SIGKILL for it alone; when, on the monotonic clock."""
        now = time.monotonic()
        self.process.kill()
        self.process.wait(PATIENCE)
        return now

    def end(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return self.process.wait(PATIENCE)

    def clear(self) -> None:
        """Kill whatever is left of it and of its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        for pipe in self.process.stdin, self.process.stdout:
            assert pipe is not None
            pipe.close()


class Place:
    """The folder of a test: a log, the apps that use it, and what they wrote down."""

    def __init__(self, files: Path) -> None:
        self.files = files
        self.log = files / "jobs"
        self.apps: list[App] = []

    def app(self, log: Path | None = None, **options: float) -> App:
        self.apps.append(App(log or self.log, self.files, **options))
        return self.apps[-1]

    def owner(self, who: str) -> App:
        """The app of this name."""
        (found,) = [app for app in self.apps if app.who == who]
        return found

    def runs(self, text: str) -> list[history.Run]:
        """Where a job with this text has run."""
        return [run for run in history.read_runs(self.files / "runs") if run.text == text]

    def wait_for_run(self, text: str, number: int = 1) -> App:
        """The app in which the n-th run of the job has begun."""
        wait_until(lambda: len(self.runs(text)) >= number, f"{text} runs for the {number}. time")
        return self.owner(self.runs(text)[number - 1].who)

    def began(self, text: str, number: int) -> float:
        """When the n-th run of a `hold` job began, on the monotonic clock."""
        lines = history.whole_lines(self.files / "starts")
        return [float(line.split()[0]) for line in lines if line.split()[2] == text][number - 1]

    def go(self, text: str) -> None:
        """Let a `hold` job end."""
        (self.files / f"go-{text}").touch()

    def enough(self) -> None:
        (self.files / "enough").touch()

    def history(self, log: Path | None = None) -> history.History:
        return history.read_history(log or self.log)

    def judge_history(self) -> None:
        """The same, of jobs that wrote nothing down."""
        found = self.history()
        assert [*found.breaches, *history.unfinished(found)] == []
        assert history.taken_from_the_living(found, ()) == []

    def breaches(self, *killed: str) -> list[str]:
        """The promises that were not kept, now that all jobs have come to their end."""
        acks = history.read_acks(self.files.glob("*.acks"))
        runs = history.read_runs(self.files / "runs")
        return history.breaches(self.history(), acks=acks, runs=runs, killed=killed)

    def judge(self, *killed: str) -> None:
        """All were kept."""
        assert self.breaches(*killed) == []
