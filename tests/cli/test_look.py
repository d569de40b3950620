"""`status`, `jobs` and `show` tell what is in the log, to people and to programs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from shop import Command, Shop


def test_status_counts_every_job(quplog: Command, shop: Shop) -> None:
    found = json.loads(quplog("status", shop.directory, "--json").stdout)
    states = {state: number for state, number in found["counts"].items() if number}
    assert states == {"succeeded": 1, "failed": 1, "scheduled": 1, "cancelled": 1, "ready": 1}
    lanes = {(lane.pop("queue"), lane.pop("task")): lane for lane in found["lanes"]}
    assert lanes["mail", "send"] == {"succeeded": 1, "scheduled": 1, "cancelled": 1}
    assert lanes["post", "stamp"] == {"ready": 1}
    assert [(s["id"], s["rule"]) for s in found["schedules"]] == [("hourly", "every 1 hour")]
    assert found["log"]["next_id"] == 6


def test_status_for_people_names_queues_states_and_schedules(quplog: Command, shop: Shop) -> None:
    done = quplog("status", shop.directory)
    assert done.returncode == 0
    heading, *lines = done.stdout.splitlines()
    columns = heading.split()
    assert columns[:2] == ["queue", "task"]
    mail = next(line.split() for line in lines if line.startswith("mail") and "send" in line)
    assert mail[columns.index("succeeded")] == "1"
    assert "hourly" in done.stdout
    assert "\x1b" not in done.stdout


def test_jobs_have_the_attribute_names_of_job(quplog: Command, live_shop: Shop) -> None:
    found: list[dict[str, Any]] = json.loads(quplog("jobs", live_shop.directory, "--json").stdout)
    assert [job["id"] for job in found] == [1, 2, 3, 4, 5]
    for shown in found:
        job = live_shop.jq.job(shown["id"])
        for name, value in shown.items():
            real = getattr(job, name)
            assert value == (real.isoformat() if isinstance(real, datetime) else real), name


def test_jobs_can_be_chosen(quplog: Command, shop: Shop) -> None:
    def ids(*options: object) -> list[int]:
        done = quplog("jobs", shop.directory, "--json", *options)
        return [job["id"] for job in json.loads(done.stdout)]

    assert ids("--state", "failed") == [shop.failed]
    assert ids("--queue", "post") == [shop.ready]
    assert ids("--task", "send") == [shop.succeeded, shop.scheduled, shop.cancelled]
    assert ids("--limit", 2) == [1, 2]
    assert ids("--limit", 2, "--after", 2) == [3, 4]
    assert ids("--queue", "no such queue") == []


def test_jobs_for_people_say_when_there_are_more(quplog: Command, shop: Shop) -> None:
    done = quplog("jobs", shop.directory, "--limit", 2)
    assert "--after 2" in done.stdout
    assert "--after" not in quplog("jobs", shop.directory).stdout


def test_show_tells_a_jobs_whole_history(quplog: Command, shop: Shop) -> None:
    done = quplog("show", shop.directory, shop.succeeded, "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["arguments"] == {"args": [1], "kwargs": {"to": "ann"}}
    assert found["result"] == "1 sent to ann"
    kinds = [(event["kind"], event["attempt"]) for event in found["history"]]
    assert kinds == [("ready", 0), ("started", 1), ("succeeded", 1)]
    lsns = [event["lsn"] for event in found["history"]]
    assert lsns == sorted(lsns)
    assert datetime.fromisoformat(found["history"][0]["time"]).utcoffset() is not None


def test_show_of_a_failed_job_has_each_error_and_exit_code_1(quplog: Command, shop: Shop) -> None:
    done = quplog("show", shop.directory, shop.failed, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert len(found["errors"]) == 2
    assert "RuntimeError: no paper" in found["error"]
    assert [event["kind"] for event in found["history"]] == [
        *("ready", "started", "retrying"),
        *("ready", "started", "failed"),
    ]


def test_show_for_people(quplog: Command, shop: Shop) -> None:
    failed = quplog("show", shop.directory, shop.failed)
    assert failed.returncode == 1
    assert "break_down('no paper')" in failed.stdout
    assert "error 2 of 2" in failed.stdout
    assert "Traceback" in failed.stdout
    late = quplog("show", shop.directory, shop.scheduled).stdout
    assert "late" in late
    assert "scheduled, due 20" in late


def test_looking_works_beside_a_live_owner(quplog: Command, live_shop: Shop) -> None:
    for command in ("status", "jobs", "log", "replay", "verify"):
        done = quplog(command, live_shop.directory)
        assert done.returncode == 0, done.stderr
    before = json.loads(quplog("status", live_shop.directory, "--json").stdout)["counts"]["ready"]
    live_shop.send.using(queue="post", sync=False).enqueue(5, "zoe")
    after = json.loads(quplog("status", live_shop.directory, "--json").stdout)["counts"]["ready"]
    assert after == before + 1
    assert live_shop.send.enqueue(6, "zoe").id == 7, "the owner goes on undisturbed"
