"""Programs that share a proof: what one finds is told, however it ends, and ends the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import proof
import pytest
from shares import Shares

FINDS = """
case $2 in
    0) echo 'states 7'; echo '{"states": 7, "violations": ["a job is lost"]}'; exit 1 ;;
    *) exec sleep 600 ;;
esac
"""
FLOODS = """
head -c 1000000 /dev/zero | tr '\\0' x >&2
echo '{"violations": []}'
"""
DIES = 'echo "out of bounds" >&2; kill -SEGV $$'
LIES = """echo '{"violations": []}'; exit 1"""


def answers(folder: Path, script: str, jobs: int) -> list[dict[str, Any]]:
    program = folder / "program"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o700)
    return Shares(program, "states", proof.Progress("states", 10)).run(jobs)


def test_what_one_finds_ends_the_others(tmp_path: Path) -> None:
    found, *others = answers(tmp_path, FINDS, 3)
    assert found == {"states": 7, "violations": ["a job is lost"]}
    assert others == [{"violations": []}] * 2


def test_a_program_that_says_much_is_listened_to(tmp_path: Path) -> None:
    assert answers(tmp_path, FLOODS, 1) == [{"violations": []}]


@pytest.mark.parametrize(
    ("script", "said"), [(DIES, "ended with -11: out of bounds"), (LIES, "ended with 1")]
)
def test_one_that_ends_otherwise_is_a_violation(tmp_path: Path, script: str, said: str) -> None:
    [answer] = answers(tmp_path, script, 1)
    [violation] = answer["violations"]
    assert said in violation
