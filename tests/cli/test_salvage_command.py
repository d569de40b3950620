"""`quplog salvage` says what it saved, what it lost, and what a person has to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shop import Command, Shop


def place_of(quplog: Command, shop: Shop, **wanted: object) -> int:
    """Where in its segment the first frame begins that holds such a record."""
    lines = quplog("log", shop.directory, "--json").stdout.splitlines()
    found = (json.loads(line) for line in lines)
    lsn = next(r["frame_lsn"] for r in found if wanted.items() <= r.items())
    return int(lsn - int(segment(shop.directory).stem, 16))


def segment(directory: Path) -> Path:
    (found,) = directory.glob("*.log")
    return found


def damage(quplog: Command, shop: Shop, **wanted: object) -> None:
    file = segment(shop.directory)
    content = bytearray(file.read_bytes())
    content[place_of(quplog, shop, **wanted) + 60] ^= 1
    file.write_bytes(content)


def report(quplog: Command, shop: Shop, code: int) -> dict[str, Any]:
    done = quplog("salvage", shop.directory, "new", "--json")
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout))


def test_of_a_whole_log_all_is_saved(quplog: Command, shop: Shop) -> None:
    done = quplog("salvage", shop.directory, "new")
    assert done.returncode == 0, done.stderr
    assert "nothing was lost" in done.stdout
    assert quplog("verify", "new").returncode == 0
    for job_id in (shop.succeeded, shop.failed, shop.scheduled, shop.cancelled, shop.ready):
        old, new = (
            json.loads(quplog("show", directory, job_id, "--json").stdout)
            for directory in (shop.directory, "new")
        )
        for what in ("state", "task", "queue", "priority", "tags", "result"):
            assert old[what] == new[what]
    assert "hourly" in quplog("status", "new").stdout


def test_a_lost_job_is_named_and_the_others_are_there(quplog: Command, shop: Shop) -> None:
    damage(quplog, shop, type="put", id=shop.scheduled)
    found = report(quplog, shop, code=1)
    assert found["lost_something"] is True
    assert found["lost"] == [[shop.scheduled, shop.scheduled]]
    (damaged,) = found["damages"]
    assert (damaged["kind"], damaged["lost"]) == ("frame", "durable")
    jobs = json.loads(quplog("jobs", "new", "--json").stdout)
    left = {shop.succeeded, shop.failed, shop.cancelled, shop.ready}
    assert {job["id"] for job in jobs} == left


def test_a_person_is_told_what_to_do_about_a_job_that_may_have_finished(
    quplog: Command, shop: Shop
) -> None:
    damage(quplog, shop, type="finish", id=shop.succeeded)
    done = quplog("salvage", shop.directory, "new")
    assert done.returncode == 1
    for words in ("with losses", "may have finished", "mail.held", "quplog show"):
        assert words in " ".join(done.stdout.split())
    assert json.loads(quplog("show", "new", shop.succeeded, "--json").stdout)["queue"] == (
        "mail.held"
    )


def test_verify_of_a_damaged_log_names_salvage(quplog: Command, shop: Shop) -> None:
    damage(quplog, shop, type="put", id=shop.ready)
    assert "quplog salvage" in " ".join(quplog("verify", shop.directory).stdout.split())


def test_wrong_use_is_a_sentence_and_exit_code_2(quplog: Command, live_shop: Shop) -> None:
    for arguments, words in (
        ((live_shop.directory, "new"), "open"),
        ((live_shop.directory, live_shop.directory / "new"), "not apart"),
        (("nowhere", "new"), "nowhere"),
    ):
        done = quplog("salvage", *arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert not (live_shop.directory.parent / "new").exists()
