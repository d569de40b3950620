"""One failure in twenty, of every kind, with the sanitizers; and that a lie is found out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import inject_errors
import pytest
from short import short

KINDS = 16 + 10
"""Of calls of the core; and of those that io.c makes of the system."""


def test_inject_errors() -> None:
    tried = short("inject_errors", "--every", 20, "--seed", 4)
    assert tried["runs"] > 900
    assert len(tried["by kind"]) >= KINDS - 2  # the rarest may not be among them


@pytest.fixture(scope="module")
def program() -> Path:
    return inject_errors.build(plain=False)


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        ("rotate:write:14:lie", "after a kill"),
        ("put:fdatasync:2:lie", "after a power cut"),
        ("rotate:fsync:1:lie", "after a power cut"),
    ],
)
def test_a_call_that_is_said_to_be_done_and_is_not_is_found_out(
    program: Path, lie: str, found: str
) -> None:
    command = [str(program), "--only", lie]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert found in done.stdout.splitlines()[-1]
