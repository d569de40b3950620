"""`quplog replay` builds the state of now, or of any moment before."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from shop import Command, Shop


def test_it_builds_what_opening_builds(quplog: Command, shop: Shop) -> None:
    replayed = json.loads(quplog("replay", shop.directory, "--json").stdout)
    now = json.loads(quplog("status", shop.directory, "--json").stdout)
    assert replayed["counts"] == now["counts"]
    assert replayed["schedules"] == 1
    assert replayed["ops"] > replayed["counts"]["succeeded"]
    assert "whole" in replayed["verdict"]


def test_the_state_before_any_record(quplog: Command, shop: Shop) -> None:
    lines = quplog("log", shop.directory, "--json").stdout.splitlines()
    found = [json.loads(line) for line in lines]
    finish = next(r for r in found if r["type"] == "finish" and r["id"] == shop.succeeded)
    before = quplog("replay", shop.directory, "--json", "--until", finish["frame_lsn"])
    counts = json.loads(before.stdout)["counts"]
    assert counts["succeeded"] == 0
    assert counts["running"] == 1
    assert counts["scheduled"] == 0


def test_the_state_at_any_time(quplog: Command, shop: Shop) -> None:
    lines = quplog("log", shop.directory, "--json").stdout.splitlines()
    first = datetime.fromisoformat(json.loads(lines[0])["time"])
    for moment, jobs in ((first - timedelta(days=1), 0), (first + timedelta(days=1), 5)):
        done = quplog("replay", shop.directory, "--json", "--until", moment.isoformat())
        assert sum(json.loads(done.stdout)["counts"].values()) == jobs


@pytest.mark.parametrize(
    "until", ["0", "1", "1970-01-01T00:00Z", "0001-01-01T00:00+23:59", "1969-12-31T23:59Z"]
)
def test_before_all_there_is_nothing(quplog: Command, shop: Shop, until: str) -> None:
    done = quplog("replay", shop.directory, "--json", "--until", until)
    assert sum(json.loads(done.stdout)["counts"].values()) == 0


def test_behind_all_there_is_everything(quplog: Command, shop: Shop) -> None:
    done = quplog("replay", shop.directory, "--json", "--until", "9999-12-31T23:59:59-23:59")
    assert sum(json.loads(done.stdout)["counts"].values()) == 5


def test_for_people(quplog: Command, shop: Shop) -> None:
    done = quplog("replay", shop.directory)
    assert done.returncode == 0
    assert "ops/s" in done.stdout
    assert "verdict" in done.stdout


def test_nothing_is_changed(quplog: Command, shop: Shop) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        files = shop.directory.rglob("*")
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}

    before = state()
    for command in ("status", "jobs", "log", "replay", "verify"):
        quplog(command, shop.directory)
    assert state() == before
