"""`quplog log` prints every record, as it was and as it is written."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from threading import Timer
from typing import Any

import pytest
from shop import PATIENCE, QUPLOG, Command, Shop, environment, send

from quplog import JobQueue


def records(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_change_of_a_job_is_there(quplog: Command, shop: Shop) -> None:
    found = records(quplog("log", shop.directory, "--json"))
    types = [record["type"] for record in found if record.get("id") == shop.failed]
    assert types == ["put", "claim", "retry", "claim", "finish"]
    put = next(record for record in found if record.get("id") == shop.succeeded)
    assert (put["task"], put["queue"], put["data"]) == ("send", "mail", [{"to": "ann"}, 1])
    assert found[0]["type"] == "open"
    lsns = [record["lsn"] for record in found]
    assert lsns == sorted(set(lsns))


def test_reading_can_begin_at_any_record(quplog: Command, shop: Shop) -> None:
    found = records(quplog("log", shop.directory, "--json"))
    frame = found[len(found) // 2]["frame_lsn"]
    rest = records(quplog("log", shop.directory, "--json", "--from", frame))
    assert rest == [record for record in found if record["frame_lsn"] >= frame]


def test_reading_can_begin_between_records(quplog: Command, shop: Shop) -> None:
    found = records(quplog("log", shop.directory, "--json"))
    last = found[-1]["lsn"]
    assert records(quplog("log", shop.directory, "--json", "--from", 4097)) == found
    assert records(quplog("log", shop.directory, "--json", "--from", last - 1)) == found[-1:]
    assert records(quplog("log", shop.directory, "--json", "--from", last + 1)) == []
    assert records(quplog("log", shop.directory, "--json", "--from", 1 << 50)) == []


def test_lines_for_people_are_one_a_record(quplog: Command, shop: Shop) -> None:
    done = quplog("log", shop.directory)
    assert len(done.stdout.splitlines()) == len(records(quplog("log", shop.directory, "--json")))
    assert any("put" in line and "task=send" in line for line in done.stdout.splitlines())


def test_a_reader_that_has_enough_ends_it_without_complaint(shop: Shop) -> None:
    """As in `quplog log DIR | head -1`, with more to print than a pipe holds."""
    with JobQueue(shop.directory, workers=0) as jq:
        task = jq.task()(send)
        jq.enqueue_many([task.job(n, "ann") for n in range(5000)])
    log = subprocess.Popen(
        [QUPLOG, "log", shop.directory],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert log.stdout is not None
    assert log.stderr is not None
    assert "open" in log.stdout.readline()
    log.stdout.close()
    assert log.wait(PATIENCE) == 0
    assert log.stderr.read() == ""
    log.stderr.close()


@pytest.fixture
def following(live_shop: Shop) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [QUPLOG, "log", live_shop.directory, "--json", "--follow"],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    guard = Timer(PATIENCE, process.kill)  # what waits for its output sees the end then
    guard.start()
    yield process
    guard.cancel()
    process.kill()
    process.communicate()


def test_follow_shows_what_is_written_later(
    following: subprocess.Popen[str], live_shop: Shop
) -> None:
    assert following.stdout is not None
    for _ in range(3):
        job = live_shop.send.enqueue(8, "kim")
        lines = map(json.loads, following.stdout)
        assert any(line["type"] == "put" and line["id"] == job.id for line in lines)
    following.send_signal(signal.SIGINT)
    assert following.wait(PATIENCE) == 0


def test_follow_goes_on_when_what_it_stood_in_is_compacted_away(
    following: subprocess.Popen[str], live_shop: Shop
) -> None:
    assert following.stdout is not None
    lines = map(json.loads, following.stdout)
    small = JobQueue(live_shop.directory, workers=0, segment_size=1 << 16)
    small.counts()  # opened by the first verb
    live_shop.jq.enqueue_many([live_shop.send.job(n, "kim" * 1500) for n in range(300)])
    for _ in range(3):
        last = live_shop.send.enqueue(8, "kim" * 20_000)
        small.compact()  # what was put is shown as it was put, or as it was copied
        assert any(line["type"] in {"put", "copy"} and line["id"] == last.id for line in lines)
    assert not (live_shop.directory / "0000000000000000.log").exists()
    small.close()
