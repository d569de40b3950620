"""A process that was stopped (SIGSTOP, a paused container) in the middle of a write or a sync.

It holds the right to append, and nobody may take that from it. Others get `LogLocked` after
`lock_timeout`, and know that nothing was written; when it goes on, so does everything.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator

import pytest
from apps import SOON, App, Place, wait_until

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


def stop_while_it_leads_a_sync(leader: App, unsynced: App, synced: App) -> None:
    """Stop it at random moments, until one is found in which others write but can't make durable.

    `synced` is waiting then.
    """
    chance = random.Random(1)  # noqa: S311  # nobody attacks this test
    for number in range(TRIES):
        time.sleep(chance.uniform(0, 0.01))
        leader.halt()
        free = unsynced.ask(f"put_unsynced work free-{number}").isdecimal()
        synced.tell(f"put work patient-{number}")
        try:
            synced.answer(patience=SHORT)
        except TimeoutError:
            if free:
                return
            leader.signal(signal.SIGCONT)
            synced.answer()
        leader.signal(signal.SIGCONT)
    raise AssertionError(f"{TRIES} times the leader was in no sync")


def test_who_stands_still_in_a_sync_keeps_nobody_from_writing(place: Place) -> None:
    leader, unsynced, synced, third = [place.app(workers=0, lock_timeout=SHORT) for _ in range(4)]
    for app in unsynced, synced, third:
        app.ask("counts")
    assert leader.ask("flood_synced") == "flooding"
    stop_while_it_leads_a_sync(leader, unsynced, synced)
    for number in range(100):
        assert unsynced.ask(f"put_unsynced work more-{number}").isdecimal()
    third.tell("put work impatient")
    wait_until(lambda: third.waits_on_a_word, "it waits for the sync")
    third.signal(signal.SIGINT)
    assert third.answer() == "interrupted"
    leader.signal(signal.SIGCONT)
    assert synced.answer().isdecimal()
    place.enough()
    assert int(leader.answer()) > 0
    worker = place.app(workers=4)
    worker.ask("start")
    worker.ask("drain")
    place.judge()


def test_who_only_looked_can_close_while_another_stands_still_in_a_sync(place: Place) -> None:
    leader, unsynced, synced, looker = [place.app(workers=0) for _ in range(4)]
    for app in unsynced, synced, looker:
        app.ask("counts")
    assert leader.ask("flood_synced") == "flooding"
    stop_while_it_leads_a_sync(leader, unsynced, synced)
    looker.ask("counts")
    assert looker.ask("close") == "closed"
    leader.signal(signal.SIGCONT)
    assert synced.answer().isdecimal()


def test_who_dies_in_a_sync_is_followed_by_another_leader(place: Place) -> None:
    leader, unsynced, synced = [place.app(workers=0) for _ in range(3)]
    for app in unsynced, synced:
        app.ask("counts")
    assert leader.ask("flood_synced") == "flooding"
    stop_while_it_leads_a_sync(leader, unsynced, synced)
    leader.kill()
    assert synced.answer().isdecimal()


def test_idle_workers_that_stand_still_keep_no_job_from_others(place: Place) -> None:
    stopped, other, producer = place.app(workers=10), place.app(), place.app(workers=0)
    for app in stopped, other:
        app.ask("start")
        app.ask("drain")
    stopped.halt()
    for text in "abc":
        began = time.monotonic()
        producer.ask(f"put hold {text}")
        assert place.wait_for_run(text) is other
        assert place.began(text, 1) - began < SOON
        place.go(text)
    other.ask("drain")
    stopped.signal(signal.SIGCONT)
    place.judge()
