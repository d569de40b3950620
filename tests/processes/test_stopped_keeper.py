"""A process that stands still while it does what is due: others do it in its place.

One helper of all processes at a time has the byte KEEP of the file `lock`. Here the test has it, as
a process that was stopped in its duties would.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from apps import SOON, App, Place, wait_until

from quplog import JobQueue

KEEP = 2
F_OFD_SETLK = 37
LATE = SOON + 1
"""Seconds: whoever has KEEP is given one to do it himself."""


@pytest.fixture
def kept(place: Place) -> Iterator[None]:
    """The log exists, and nobody but this test gets KEEP."""
    with JobQueue(place.log, workers=0) as jq:
        jq.counts()
    file = os.open(place.log / "lock", os.O_RDWR)
    fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, KEEP, 1, 0))
    yield
    os.close(file)


def cpu_seconds(app: App) -> float:
    fields = Path(f"/proc/{app.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.usefixtures("kept")
def test_what_is_due_comes_due_all_the_same(place: Place) -> None:
    app = place.app(workers=1)
    app.ask("start")
    app.ask("drain")
    began = time.monotonic()
    app.ask("put_later hold a")
    place.wait_for_run("a")
    assert place.began("a", 1) - began < LATE
    place.go("a")
    app.ask("drain")
    place.judge()


@pytest.mark.usefixtures("kept")
def test_the_dead_are_given_up_all_the_same(place: Place) -> None:
    victim, other = place.app(), place.app()
    victim.ask("start")
    victim.ask("put hold a")
    place.wait_for_run("a")
    other.ask("start")
    killed = victim.kill()
    assert place.wait_for_run("a", 2) is other
    assert place.began("a", 2) - killed < LATE
    place.go("a")
    other.ask("drain")
    place.judge(victim.who)


@pytest.mark.usefixtures("kept")
def test_schedules_tick_all_the_same(place: Place) -> None:
    ran: list[float] = []
    with JobQueue(place.log, workers=1) as jq:
        tick = jq.task(name="tick")(lambda: ran.append(time.monotonic()))
        jq.schedule(tick.job(), every=0.5)
        jq.start()
        wait_until(lambda: len(ran) >= 2, "it has ticked twice")


@pytest.mark.usefixtures("kept")
def test_nobody_spins_while_something_is_overdue(place: Place) -> None:
    """A job of a task that nobody has comes due, and is not let through by whoever has KEEP."""
    app = place.app(workers=1)
    app.ask("start")
    with JobQueue(place.log, workers=0) as jq:
        unknown = jq.task(name="unknown")(lambda: None)
        for number in range(20):
            unknown.using(delay=0.1 * number).enqueue()
        before = cpu_seconds(app)
        wait_until(lambda: jq.counts()["ready"] == 20, "all have come due")
    assert cpu_seconds(app) - before < 0.5
