"""Openings of a log in one process and in several do not disturb each other, however they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from apps import PATIENCE, SOON, App, Place, wait_until
from member import Lines, make_tasks

from quplog import JobQueue


def watch(seconds: float, so_it_stays: Callable[[], bool]) -> None:
    """For some rounds of a helper it has to stay so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert so_it_stays()
        time.sleep(0.02)


def working(place: Place, number: int = 1) -> tuple[App, App]:
    """Two apps; the first runs `hold a`, the second has `number` idle workers."""
    first, second = place.app(workers=1), place.app(workers=number)
    first.ask("start")
    first.ask("put hold a")
    assert place.wait_for_run("a") is first
    second.ask("start")
    return first, second


# ---- the end of a program -----------------------------------------------------------------------


def test_who_leaves_without_stopping_finishes_what_runs(place: Place) -> None:
    leaver, other = working(place)
    leaver.tell("leave")
    wait_until(lambda: leaver.waits_on_a_word, "it waits for its job")
    place.go("a")
    assert leaver.end() == 0
    other.ask("drain")
    place.judge()
    assert place.history().ends == {"finish": 1}


def test_who_leaves_and_cannot_finish_gives_back_what_runs(place: Place) -> None:
    leaver, other = working(place)
    leaver.tell("leave")
    assert leaver.end() == 0
    left = time.monotonic()
    assert place.wait_for_run("a", 2) is other
    assert place.began("a", 2) - left < SOON
    place.go("a")
    other.ask("drain")
    assert place.history().ends == {"stop": 1, "finish": 1}
    place.judge(leaver.who)  # it was not killed, but it gave the job back
    assert other.ask("put work b").isdecimal()


def test_who_closes_makes_room_at_once_and_the_others_go_on(place: Place) -> None:
    leaver, other = working(place)
    leaver.tell("close")
    place.go("a")
    assert leaver.answer() == "closed"
    other.ask("put work b")
    other.ask("drain")
    place.judge()


def test_leaving_and_coming_again_and_again_beside_a_worker(place: Place) -> None:
    worker = place.app(workers=2)
    worker.ask("start")
    for number in range(10):
        visitor = place.app(workers=number % 2)
        visitor.ask("start")
        for step in range(10):
            visitor.ask(f"put_unsynced work v{number}-{step}")
        visitor.tell("leave")
        assert visitor.end() == 0
    worker.ask("drain")
    place.judge()
    assert place.history().opens == 1


# ---- several openings in one process ------------------------------------------------------------


def holder(place: Place, jq: JobQueue) -> Callable[[str], object]:
    """A task in this process that goes on until `place.go(text)`."""
    tell, *_ = make_tasks(jq, Lines(place.files / "runs"))

    @jq.task(name="hold_here")
    def hold_here(text: str) -> None:
        tell(text)
        wait_until((place.files / f"go-{text}").exists, f"{text} may end")

    return hold_here.enqueue


def running_here(place: Place, text: str) -> None:
    wait_until(lambda: place.runs(text), f"{text} runs")


@pytest.fixture
def linked(place: Place) -> Path:
    """Another name of the directory."""
    other = place.files / "by another name"
    other.symlink_to(place.log)
    return other


def test_one_of_two_queues_is_closed_and_the_job_of_the_other_runs_on(
    place: Place, linked: Path
) -> None:
    stranger = place.app(workers=2)
    stranger.ask("start")
    with JobQueue(place.log, workers=1) as closes, JobQueue(linked, workers=1) as stays:
        holder(place, stays)("a")
        running_here(place, "a")
        closes.close()
        watch(2.5, lambda: len(place.runs("a")) == 1)
        assert stays.counts()["running"] == 1
        place.go("a")
        stays.drain(PATIENCE)
    history = place.history()
    assert history.ends == {"finish": 1}
    assert history.breaches == []


def test_each_of_two_queues_runs_only_the_tasks_that_it_has(place: Place, linked: Path) -> None:
    ran: dict[str, list[int]] = {"left": [], "right": []}
    stranger = place.app(workers=1)
    stranger.ask("start")
    with (
        JobQueue(place.log, workers=2) as left,
        JobQueue(linked, workers=2) as right,
    ):
        left_task = left.task(name="left")(ran["left"].append)
        right_task = right.task(name="right")(ran["right"].append)
        for number in range(100):
            left_task.enqueue(number)
            right_task.enqueue(number)
        left.drain(PATIENCE)
        right.drain(PATIENCE)
    assert sorted(ran["left"]) == sorted(ran["right"]) == list(range(100))
    place.judge_history()


def test_a_result_is_seen_by_every_opening(place: Place, linked: Path) -> None:
    worker = place.app(workers=1)
    worker.ask("start")
    with JobQueue(place.log, workers=0) as one, JobQueue(linked, workers=0) as two:
        job_id = int(worker.ask("put hold a"))
        waiting = [one.job(job_id), two.job(job_id)]
        results: list[object] = []
        threads = [
            threading.Thread(target=lambda job=job: results.append(job.result(PATIENCE)))
            for job in waiting
        ]
        for thread in threads:
            thread.start()
        place.go("a")
        for thread in threads:
            thread.join(PATIENCE)
        assert results == [None, None]


def test_two_logs_in_one_process_share_nothing(place: Place) -> None:
    other_log = place.files / "other"
    with JobQueue(place.log, workers=1) as here, JobQueue(other_log, workers=1) as there:
        hold_here, hold_there = holder(place, here), holder(place, there)
        hold_here("a")
        hold_there("b")
        running_here(place, "a")
        running_here(place, "b")
        watcher, other_watcher = place.app(workers=1), place.app(other_log, workers=1)
        for app in watcher, other_watcher:
            app.ask("start")
        place.go("a")
        here.close()
        watch(2.5, lambda: len(place.runs("b")) == 1)
        assert there.counts()["running"] == 1
        place.go("b")
        there.drain(PATIENCE)
    for log in place.log, other_log:
        history = place.history(log)
        assert history.breaches == []
        assert len(history.jobs) == history.ends["finish"] == 1


def test_a_process_with_two_logs_that_is_killed_is_missed_in_both(place: Place) -> None:
    other_log = place.files / "other"
    victim = place.app(workers=1)
    victim.ask("start")
    victim.ask(f"also {other_log}")
    victim.ask("put hold a")
    victim.ask("put_also hold b")
    for text in "a", "b":
        assert place.wait_for_run(text) is victim
    heirs = {"a": place.app(workers=1), "b": place.app(other_log, workers=1)}
    for heir in heirs.values():
        heir.ask("start")
    killed = victim.kill()
    for text, heir in heirs.items():
        assert place.wait_for_run(text, 2) is heir
        assert place.began(text, 2) - killed < SOON
        place.go(text)
        heir.ask("drain")
    for log in place.log, other_log:
        history = place.history(log)
        assert history.breaches == []
        assert history.ends == {"crash": 1, "finish": 1}
