"""`quplog verify` tells a whole log from a torn and from a damaged one, and names the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shop import Command, Shop

GARBAGE = b"\xde\xad\xbe\xef" * 64


def report(quplog: Command, directory: Path, code: int) -> dict[str, Any]:
    done = quplog("verify", directory, "--json")
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout))


def segment(directory: Path) -> Path:
    (found,) = directory.glob("*.log")
    return found


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def change_a_byte(path: Path, offset: int) -> None:
    overwrite(path, offset, bytes([path.read_bytes()[offset] ^ 1]))


def place_of_a_put(quplog: Command, shop: Shop, job_id: int) -> tuple[int, int]:
    """(LSN, offset) of the frame that put a job."""
    lines = quplog("log", shop.directory, "--json").stdout.splitlines()
    found = (json.loads(line) for line in lines)
    lsn = next(r["frame_lsn"] for r in found if r["type"] == "put" and r["id"] == job_id)
    base = int(segment(shop.directory).stem, 16)
    return lsn, lsn - base


def test_a_log_as_it_was_written_is_whole(quplog: Command, shop: Shop) -> None:
    found = report(quplog, shop.directory, code=0)
    assert found["verdict"] == "whole"
    assert found["end_lsn"] >= found["durable_lsn"] > 0
    assert "whole" in quplog("verify", shop.directory).stdout


def test_one_changed_byte_is_found_and_named(quplog: Command, shop: Shop) -> None:
    lsn, offset = place_of_a_put(quplog, shop, shop.ready)
    file = segment(shop.directory)
    change_a_byte(file, offset + 60)
    found = report(quplog, shop.directory, code=1)
    assert (found["verdict"], found["file"]) == ("damaged", file.name)
    assert (found["offset"], found["lsn"]) == (offset, lsn)
    shown = quplog("verify", shop.directory)
    assert shown.returncode == 1
    for words in ("damaged", file.name, str(offset), str(lsn), "meaning", "what to do"):
        assert words in shown.stdout


@pytest.mark.parametrize("command", ["status", "jobs", "replay", "log"])
def test_a_damaged_log_is_exit_code_1_for_whoever_looks(
    quplog: Command, shop: Shop, command: str
) -> None:
    _, offset = place_of_a_put(quplog, shop, shop.ready)
    change_a_byte(segment(shop.directory), offset + 60)
    done = quplog(command, shop.directory)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert segment(shop.directory).name in done.stderr


def test_a_segment_without_a_header_is_named(quplog: Command, shop: Shop) -> None:
    file = segment(shop.directory)
    change_a_byte(file, 16)
    assert report(quplog, shop.directory, code=0)["verdict"] == "whole", "there are two copies"
    change_a_byte(file, 2048 + 16)
    found = report(quplog, shop.directory, code=1)
    assert (found["verdict"], found["file"]) == ("damaged", file.name)


def test_a_torn_end_is_no_damage(quplog: Command, shop: Shop) -> None:
    end = report(quplog, shop.directory, code=0)["end_lsn"]
    file = segment(shop.directory)
    overwrite(file, end - int(file.stem, 16), GARBAGE)
    found = report(quplog, shop.directory, code=0)
    assert found["verdict"] == "torn end"
    assert found["torn_bytes"] == len(GARBAGE)
    assert "quarantine" in quplog("verify", shop.directory).stdout
    assert "quarantine" in quplog("replay", shop.directory).stdout
