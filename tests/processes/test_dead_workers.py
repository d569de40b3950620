"""Whose process dies is given up soon, with no time-out set; who only takes long never is."""

from __future__ import annotations

import signal
import time

import pytest
from apps import SOON, Place, wait_until
from watched import fall_asleep


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.6, 0.9])
def test_a_job_of_a_killed_process_starts_elsewhere(place: Place, phase: float) -> None:
    apps = [place.app(), place.app()]
    for app in apps:
        assert app.ask("start") == "started"
    apps[0].ask("put hold a")
    victim = place.wait_for_run("a")
    time.sleep(phase)  # of the helper's second: no moment in it is too late
    killed = victim.kill()
    place.wait_for_run("a", 2)
    assert place.began("a", 2) - killed < SOON
    place.go("a")
    (other,) = (app for app in apps if app is not victim)
    other.ask("drain")
    place.judge(victim.who)


def test_also_when_all_had_been_idle_for_long(place: Place) -> None:
    producer = place.app(workers=0)
    for app in place.app(), place.app(), place.app():
        assert app.ask("start") == "started"
    producer.ask("counts")
    fall_asleep([app.pid for app in place.apps])
    producer.ask("put hold a")
    victim = place.wait_for_run("a")
    killed = victim.kill()
    place.wait_for_run("a", 2)
    assert place.began("a", 2) - killed < SOON
    place.go("a")
    producer.ask("drain")
    place.judge(victim.who)


def test_also_by_a_drain_when_no_worker_is_left(place: Place) -> None:
    worker, other = place.app(), place.app()
    assert worker.ask("start") == "started"
    other.ask("put hold a")
    place.wait_for_run("a")
    worker.kill()
    place.go("a")
    assert other.ask("drain") == "drained"
    assert place.owner(place.runs("a")[1].who) is other
    place.judge(worker.who)


def test_also_when_all_others_are_busy_at_first(place: Place) -> None:
    apps = [place.app(), place.app()]
    for number, app in enumerate(apps):
        assert app.ask("start") == "started"
        app.ask(f"put hold {number}")
        place.wait_for_run(str(number))
    victim = place.wait_for_run("0")
    other = place.wait_for_run("1")
    assert victim is not other
    killed = victim.kill()
    wait_until(lambda: place.history().ends["crash"], "the job is given up")
    assert time.monotonic() - killed < SOON
    freed = time.monotonic()
    place.go("1")
    place.wait_for_run("0", 2)
    assert place.began("0", 2) - freed < SOON
    place.go("0")
    other.ask("drain")
    place.judge(victim.who)


def test_all_jobs_of_a_process_are_given_up_and_no_others(place: Place) -> None:
    victim = place.app(workers=8)
    victim.ask("start")
    for number in range(8):
        victim.ask(f"put hold v{number}")
    for number in range(8):
        assert place.wait_for_run(f"v{number}") is victim
    other = place.app(workers=12)
    other.ask("start")
    for number in range(4):
        other.ask(f"put hold o{number}")
    for number in range(4):
        assert place.wait_for_run(f"o{number}") is other
    killed = victim.kill()
    for number in range(8):
        assert place.wait_for_run(f"v{number}", 2) is other
        assert place.began(f"v{number}", 2) - killed < SOON
    for number in range(8):
        place.go(f"v{number}")
        place.go(f"o{number}")
    other.ask("drain")
    place.judge(victim.who)


def test_a_job_that_takes_long_is_never_started_twice(place: Place) -> None:
    slow, other = place.app(), place.app()
    slow.ask("start")
    slow.ask("put hold a")
    place.wait_for_run("a")
    other.ask("start")
    for halted in False, True, False:
        if halted:
            slow.halt()
        rounds = time.monotonic() + 3  # in which the other's helper looks at who lives
        while time.monotonic() < rounds:
            assert len(place.runs("a")) == 1
            other.ask("counts")
        slow.signal(signal.SIGCONT)
    place.go("a")
    other.ask("drain")
    place.judge()
    assert place.history().ends == {"finish": 1}


def test_a_job_that_ends_while_its_process_stands_still_ends_once(place: Place) -> None:
    slow, other = place.app(), place.app()
    slow.ask("start")
    slow.ask("put hold a")
    place.wait_for_run("a")
    other.ask("start")
    slow.halt()
    place.go("a")
    other.ask("put work b")
    place.wait_for_run("b")
    slow.signal(signal.SIGCONT)
    other.ask("drain")
    place.judge()
