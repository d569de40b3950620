"""A process that was stopped (SIGSTOP, a paused container) in the middle of a write.

It holds the right to append, and nobody may take that from it. Others get `LogLocked` after
`lock_timeout`, and know that nothing was written; when it goes on, so does everything.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator

import pytest
from apps import App, Place, wait_until

from quplog import JobQueue, LogLocked
from quplog.log_store import LogReader

TRIES = 500
"""So often a moment is tried in which the writer might hold the lock."""

SHORT = 0.25
LONG = 600.0


def stop_while_it_holds_the_lock(writer: App, jq: JobQueue) -> None:
    """Stop it at random moments, until one is found in which others can't append."""
    chance = random.Random(1)  # noqa: S311  # nobody attacks this test
    for _ in range(TRIES):
        time.sleep(chance.uniform(0, 0.01))
        writer.halt()
        try:
            jq.queue("nobody's").resume()
        except LogLocked:
            return
        writer.signal(signal.SIGCONT)
    raise AssertionError(f"{TRIES} times the writer did not hold the lock")


@pytest.fixture
def jq(place: Place) -> Iterator[JobQueue]:
    """A JobQueue in this process that waits for the lock only shortly."""
    with JobQueue(place.log, workers=0, lock_timeout=SHORT) as jq:
        yield jq


@pytest.fixture
def writer(place: Place, jq: JobQueue) -> App:
    """An app that is stopped while it holds the right to append."""
    writer = place.app(workers=0)
    assert writer.ask("flood") == "flooding"
    stop_while_it_holds_the_lock(writer, jq)
    return writer


def go_on(place: Place, writer: App) -> None:
    """It ends its flood, and everything runs to the end as if nothing had been."""
    writer.signal(signal.SIGCONT)
    place.enough()
    assert int(writer.answer()) > 0
    worker = place.app(workers=4)
    worker.ask("start")
    worker.ask("drain")
    place.judge()


def payloads(place: Place) -> bytes:
    with LogReader(place.log) as reader:
        return b"".join(record.data for record in reader)


def test_an_enqueue_gives_up_in_time_and_has_written_nothing(
    place: Place, jq: JobQueue, writer: App
) -> None:
    @jq.task()
    def work(text: str) -> None: ...

    tail = jq._store.stats().tail_lsn
    for sync in True, False:
        with pytest.raises(LogLocked) as caught:
            work.using(sync=sync).enqueue("refused")
        assert caught.value.outcome_known
    with pytest.raises(LogLocked) as caught:
        jq.enqueue_many([work.job("refused"), work.job("refused")])
    assert caught.value.outcome_known
    assert jq._store.stats().tail_lsn == tail
    go_on(place, writer)
    assert b"refused" not in payloads(place)


def test_another_process_gives_up_too_and_goes_on_later(place: Place, writer: App) -> None:
    other = place.app(workers=0, lock_timeout=SHORT)
    assert other.ask("put work refused") == "LogLocked True"
    assert other.ask("put_unsynced work refused") == "LogLocked True"
    writer.signal(signal.SIGCONT)
    wait_until(lambda: other.ask("put work taken").isdecimal(), "it can enqueue again")
    go_on(place, writer)
    assert b"refused" not in payloads(place)


def test_looking_is_still_possible(place: Place, jq: JobQueue, writer: App) -> None:
    ready = sum(jq.counts().values())
    assert len(jq.jobs(limit=10)) == min(10, ready)
    go_on(place, writer)


def test_ctrl_c_ends_the_waiting_and_writes_nothing(place: Place, writer: App) -> None:
    for command in "put work", "put_unsynced work":
        other = place.app(workers=0, lock_timeout=LONG)
        other.ask("counts")
        other.tell(f"{command} refused")
        wait_until(lambda: other.waits_on_a_word, "it waits for the lock")  # noqa: B023
        other.signal(signal.SIGINT)
        assert other.answer() == "interrupted"
    go_on(place, writer)
    assert b"refused" not in payloads(place)


def test_who_waits_long_enough_is_served(place: Place, writer: App) -> None:
    others = [place.app(workers=0, lock_timeout=LONG) for _ in range(4)]
    for number, other in enumerate(others):
        other.tell(f"put work patient-{number}")
    wait_until(lambda: all(other.waits_on_a_word for other in others), "all wait for the lock")
    writer.signal(signal.SIGCONT)
    for other in others:
        assert other.answer().isdecimal()
    go_on(place, writer)
    assert payloads(place).count(b"patient") == len(others)


def test_workers_hold_their_outcomes_until_it_goes_on(place: Place) -> None:
    worker = place.app(workers=2, lock_timeout=SHORT)
    worker.ask("start")
    for text in "a", "b":
        worker.ask(f"put hold {text}")
    for text in "a", "b":
        place.wait_for_run(text)
    with JobQueue(place.log, workers=0, lock_timeout=SHORT) as jq:
        writer = place.app(workers=0)
        assert writer.ask("flood") == "flooding"
        stop_while_it_holds_the_lock(writer, jq)
        for text in "a", "b":
            place.go(text)
        wait_until(lambda: worker.ask("put work refused") == "LogLocked True", "it is refused")
        wait_until(lambda: worker.ask("put work refused") == "LogLocked True", "it is refused")
    go_on(place, writer)
    assert b"refused" not in payloads(place)


def test_its_death_frees_the_others_and_its_last_write_is_whole_or_gone(
    place: Place, writer: App
) -> None:
    other = place.app(workers=0, lock_timeout=LONG)
    other.tell("put work patient")
    wait_until(lambda: other.waits_on_a_word, "it waits for the lock")
    killed = writer.kill()
    assert other.answer().isdecimal()
    print(f"{time.monotonic() - killed:.3f} s from the kill to the next write")
    worker = place.app(workers=4)
    worker.ask("start")
    worker.ask("drain")
    place.judge()
