"""The real command as a subprocess, and a log with one job of each fate to look at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from quplog import JobQueue

QUPLOG = str(Path(sys.executable).parent / "quplog")
PATIENCE = 60
"""Seconds after which a command that hangs is given up."""

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def environment() -> dict[str, str]:
    """The variables of here, without what changes how output looks."""
    unwanted = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE"}
    return {name: value for name, value in os.environ.items() if name not in unwanted}


class Shop:
    """A queue with one job of each fate, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        jq = JobQueue(directory, workers=0)
        task = jq.task(queue="mail", retries=1, backoff=0)
        self.jq = jq
        self.send = task(send)
        self.break_down = task(break_down)
        self.succeeded = self.send.enqueue(1, to="ann").id
        self.failed = self.break_down.enqueue("no paper").id
        jq.drain(timeout=PATIENCE)
        self.scheduled = self.send.using(delay=3600, tags=["late"], priority=7).enqueue(2, "bob").id
        self.cancelled = self.send.using(delay=3600).enqueue(3, "eve").id
        jq.job(self.cancelled).cancel()
        self.ready = jq.task(queue="post")(stamp).enqueue().id
        jq.schedule(self.send.job(9, "all"), every=3600, id="hourly")


def send(order_id: int, to: str) -> str:
    return f"{order_id} sent to {to}"


def break_down(why: str) -> None:
    raise RuntimeError(why)


def stamp() -> None: ...
