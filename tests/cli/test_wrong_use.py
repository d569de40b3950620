"""What is no log, no job or no command ends with exit code 2 and a sentence, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from shop import Command, Shop

LOOKING = ["status", "jobs", "log", "replay", "verify"]


def assert_misused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("command", LOOKING)
def test_a_directory_that_does_not_exist(quplog: Command, command: str, tmp_path: Path) -> None:
    assert_misused(quplog(command, "nowhere"), "nowhere", "does not exist")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", LOOKING)
def test_a_file_instead_of_a_directory(quplog: Command, command: str, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear ann")
    assert_misused(quplog(command, "letter.txt"), "letter.txt", "is a file")


@pytest.mark.parametrize("command", LOOKING)
def test_an_empty_directory_is_no_log_and_stays_empty(
    quplog: Command, command: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert_misused(quplog(command, "empty"), "empty")
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("command", LOOKING)
def test_a_directory_of_something_else_is_left_alone(
    quplog: Command, command: str, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    assert_misused(quplog(command, "photos"), "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_a_job_that_does_not_exist(quplog: Command, shop: Shop) -> None:
    assert_misused(quplog("show", shop.directory, 4711), "no job 4711")
    assert_misused(quplog("show", shop.directory, 1 << 70), "range")


def test_words_that_mean_nothing(quplog: Command, shop: Shop) -> None:
    assert_misused(quplog("jobs", shop.directory, "--state", "sleepy"), "sleepy", "succeeded")
    assert_misused(quplog("show", shop.directory, "seven"), "seven")
    assert_misused(quplog("jobs", shop.directory, "--limit", "-1"), "-1")
    assert_misused(quplog("log", shop.directory, "--from", "-1"), "-1")
    assert_misused(quplog("replay", shop.directory, "--until", "noon"), "noon")
    assert_misused(quplog("dance"), "dance")


def test_a_time_without_a_zone_is_asked_back(quplog: Command, shop: Shop) -> None:
    done = quplog("replay", shop.directory, "--until", "2026-01-31T12:00")
    assert_misused(done, "time zone")


def test_a_name_that_no_log_can_hold(quplog: Command, shop: Shop) -> None:
    for option in ("--queue", "--task"):
        assert_misused(quplog("jobs", shop.directory, option, "\udcff"), option, "UTF-8")
        assert_misused(quplog("jobs", shop.directory, option, ""), option, "bytes")


@pytest.mark.parametrize("target", ["..app:jq", "app", ":jq", "app:", "my-app:jq", "a..b:jq"])
def test_a_worker_of_what_is_no_module(quplog: Command, target: str) -> None:
    assert_misused(quplog("worker", target), "MODULE:NAME")


def test_without_its_libraries_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['click'] = None; from quplog.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False
    )
    assert_misused(done, "pip install 'quplog[cli]'")
    assert len(done.stderr.splitlines()) == 1


def test_help_and_version_are_no_mistakes(quplog: Command) -> None:
    for arguments in (["--help"], ["--version"], *([name, "--help"] for name in LOOKING)):
        done = quplog(*arguments)
        assert done.returncode == 0
        assert done.stdout
