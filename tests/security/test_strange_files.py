"""What has the name of a file of a log and is none is refused: not followed, not waited for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quplog import JobQueue, NotALog, QuplogError
from quplog.log_store import LogReader, LogScan

OUTSIDE = b"somebody else's"
PATIENCE = 60
"""Seconds; whoever opens a FIFO as if it were a file waits for ever."""
OPEN = """
import sys
from quplog import JobQueue, NotALog
from quplog.log_store import LogReader, LogScan, LogStore

def write(path):
    with JobQueue(path, workers=0) as jq:
        jq.counts()

def read(path):
    with LogReader(path) as reader:
        list(reader)

def scan(path):
    with LogScan(path) as scan:
        list(scan)

for use in (write, read, scan, lambda path: LogStore.open(path, read_only=True)):
    try:
        use(sys.argv[1])
    except NotALog as error:
        print(error)
"""


def make_link(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def make_dangling_link(path: Path, outside: Path) -> None:
    path.symlink_to(outside.with_name("nothing-yet"))


def make_pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def make_directory(path: Path, _: Path) -> None:
    path.mkdir()


def make_socket(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def make_device(path: Path, _: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS = [
    make_link,
    make_dangling_link,
    make_pipe,
    make_directory,
    make_socket,
    make_device,
]
Maker = Callable[[Path, Path], None]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    place = tmp_path / "jobs"
    with JobQueue(place, workers=0) as jq:
        jq.counts()
    return place


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    file = tmp_path / "outside"
    file.write_bytes(OUTSIDE)
    return file


def answers(log: Path) -> list[str]:
    """What each way to open it says, in a process that could be stuck."""
    done = subprocess.run(
        [sys.executable, "-c", OPEN, log],
        cwd=log.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", ["lock", "control", "poison", "spare"])
def test_a_file_of_a_log_that_is_none(log: Path, outside: Path, name: str, make: Maker) -> None:
    (log / name).unlink()
    make(log / name, outside)
    (said,) = answers(log)  # who only reads does not need these files
    assert said.startswith(f"{log}: something in it has the name of a file of the log")
    assert outside.read_bytes() == OUTSIDE
    assert not outside.with_name("nothing-yet").exists()
    with LogReader(log) as reader:
        assert list(reader)


@pytest.mark.parametrize("make", KINDS)
def test_a_segment_that_is_none(log: Path, outside: Path, make: Maker) -> None:
    (segment,) = log.glob("*.log")
    segment.rename(outside)
    before = outside.read_bytes()
    make(segment, outside)
    said = answers(log)
    assert len(said) == 4
    assert all("but is a link" in line for line in said)
    assert outside.read_bytes() == before


@pytest.mark.parametrize("make", KINDS)
def test_what_a_kill_left_half_made_is_removed(log: Path, outside: Path, make: Maker) -> None:
    (segment,) = log.glob("*.log")
    for path in log.iterdir():
        path.unlink()
    path = log / f"{segment.name}.tmp"
    make(path, outside)
    if path.is_dir():
        (said,) = answers(log)[:1]
        assert "but is a link" in said
    else:
        with JobQueue(log, workers=0) as jq:
            jq.counts()
        assert not path.is_symlink()
        assert not path.exists()
    assert outside.read_bytes() == OUTSIDE
    assert not outside.with_name("nothing-yet").exists()


def test_a_quarantine_that_leads_elsewhere(log: Path, tmp_path: Path) -> None:
    (segment,) = log.glob("*.log")
    content = segment.read_bytes()
    end = len(content.rstrip(b"\0"))
    segment.write_bytes(content[: end + 8] + b"\1" + content[end + 9 :])  # a torn end
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (log / "quarantine").symlink_to(elsewhere)
    with pytest.raises(NotALog, match="has the name of a file"), JobQueue(log, workers=0) as jq:
        jq.counts()
    assert list(elsewhere.iterdir()) == []
    (log / "quarantine").unlink()
    with JobQueue(log, workers=0) as jq:
        jq.counts()
    assert list((log / "quarantine").iterdir())


def test_a_link_to_the_directory_itself_is_followed(log: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(log)
    with JobQueue(link, workers=0) as jq, LogScan(link) as scan:
        assert jq.counts()
        assert list(scan)
    link.unlink()
    link.symlink_to(tmp_path / "loop")
    (tmp_path / "loop").symlink_to(link)
    with pytest.raises(OSError, match="symbolic") as caught, JobQueue(link, workers=0) as jq:
        jq.counts()
    assert not isinstance(caught.value, QuplogError)
