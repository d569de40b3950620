"""A fork takes nothing of the log with it: no lock, no slot, no half-done work of other threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from apps import PATIENCE, SOON, App, Place, wait_until

PROGRAMS = Path(__file__).parent


def run_program(name: str, *arguments: object) -> str:
    """What it prints; it and its children are gone when this returns."""
    command = [sys.executable, PROGRAMS / name, *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        try:
            return program.communicate(timeout=PATIENCE)[0]
        finally:
            if program.returncode is None:
                os.killpg(program.pid, signal.SIGKILL)


@pytest.mark.parametrize(("method", "children"), [("os.fork", 60), ("fork", 40), ("spawn", 6)])
def test_children_use_at_once_what_was_made_before_the_fork(
    place: Place, method: str, children: int
) -> None:
    assert run_program("preload.py", place.log, place.files, method, children) == "done\n"
    place.judge()


def test_a_fork_while_logs_are_opened_and_closed_takes_no_lock_along(tmp_path: Path) -> None:
    assert run_program("churn.py", tmp_path, 500) == "done\n"


def fork_of(app: App) -> int:
    """Let it fork; the child's pid, of a child that lives."""
    child = int(app.ask("fork"))
    assert Path(f"/proc/{child}").exists()
    return child


def test_jobs_of_a_dead_parent_are_given_up_although_its_child_lives(place: Place) -> None:
    parent, other = place.app(workers=2), place.app(workers=2)
    parent.ask("start")
    for text in "a", "b":
        parent.ask(f"put hold {text}")
        assert place.wait_for_run(text) is parent
    child = fork_of(parent)
    other.ask("start")
    killed = parent.kill()
    for text in "a", "b":
        assert place.wait_for_run(text, 2) is other
        assert place.began(text, 2) - killed < SOON
        place.go(text)
    other.ask("drain")
    assert Path(f"/proc/{child}").exists()
    place.judge(parent.who)


def test_the_log_of_a_dead_parent_can_be_recovered_although_its_child_lives(place: Place) -> None:
    parent = place.app(workers=1)
    parent.ask("start")
    parent.ask("put hold a")
    place.wait_for_run("a")
    child = fork_of(parent)
    parent.kill()
    other = place.app(workers=1, lock_timeout=1)
    other.ask("start")
    place.wait_for_run("a", 2)
    place.go("a")
    other.ask("drain")
    assert Path(f"/proc/{child}").exists()
    assert place.history().opens == 2  # it was alone, and knew it
    place.judge(parent.who)


def test_a_parent_keeps_its_jobs_when_its_child_dies(place: Place) -> None:
    parent, other = place.app(workers=1), place.app(workers=1)
    parent.ask("start")
    parent.ask("put hold a")
    assert place.wait_for_run("a") is parent
    other.ask("start")
    os.kill(fork_of(parent), signal.SIGKILL)
    os.kill(fork_of(parent), signal.SIGTERM)
    rounds = time.monotonic() + 2.5  # in which the other's helper looks at who lives
    while time.monotonic() < rounds:
        assert other.ask("counts") == "0"
    place.go("a")
    other.ask("drain")
    place.judge()


def test_a_forked_child_works_under_a_name_of_its_own(place: Place) -> None:
    parent = place.app(workers=1)
    parent.ask("start")
    parent.ask("put hold a")
    place.wait_for_run("a")
    child = int(parent.ask("fork_to_work"))
    parent.ask("put hold b")
    wait_until(lambda: place.runs("b"), "b runs")
    assert place.runs("b")[0].who.endswith(f":{child}")
    os.kill(child, signal.SIGKILL)
    killed = time.monotonic()
    place.go("a")
    assert place.wait_for_run("b", 2) is parent
    assert place.began("b", 2) - killed < SOON
    place.go("b")
    parent.ask("drain")
    place.judge(place.runs("b")[0].who)


def test_a_fork_while_another_thread_waits_for_a_stopped_writer(place: Place) -> None:
    """The gate of the process is taken at that moment, and in the child for ever."""
    parent, writer = place.app(workers=1, lock_timeout=600), place.app(workers=0)
    parent.ask("start")
    parent.ask("put hold a")
    place.wait_for_run("a")
    assert writer.ask("flood") == "flooding"
    other = place.app(workers=0, lock_timeout=0.2)
    for number in range(500):
        writer.halt()
        if other.ask(f"put work free-{number}") == "LogLocked True":
            break
        writer.signal(signal.SIGCONT)
    else:
        raise AssertionError("the writer was never in a write")
    place.go("a")  # the parent's worker now waits for the turn to say so
    child = int(parent.ask("fork_to_work"))
    writer.signal(signal.SIGCONT)
    place.enough()
    assert int(writer.answer()) > 0
    parent.ask("drain")
    assert Path(f"/proc/{child}").exists()
    parent.ask("put hold b")
    wait_until(lambda: place.runs("b"), "b runs")
    place.go("b")
    parent.ask("drain")
    place.judge()
