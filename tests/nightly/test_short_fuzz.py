"""Each fuzz target finds its feet within seconds, and what one finds is told."""

from __future__ import annotations

from pathlib import Path

import fuzz
import pytest
from short import short

TARGETS = {"control", "errors", "frame", "op", "recovery", "salvage", "table"}

BROKEN = """#!/bin/sh
for word in "$@"; do
    case $word in -artifact_prefix=*) touch "${word#*=}crash-1" ;; esac
done
echo "fuzz_frame.c:7: not true: length == 8" >&2
echo "stat::number_of_executed_units: 12" >&2
exit 77
"""


def test_fuzz() -> None:
    tried = short("fuzz", "--seconds", 10, "--seed", 5)
    executions = tried["executions"]
    assert set(executions) == TARGETS
    assert all(count > 0 for count in executions.values()), executions


def test_what_a_fuzzer_finds_is_told_with_the_command_that_shows_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "FOUND", tmp_path)
    monkeypatch.setattr(fuzz, "SOURCES", tmp_path)
    program = tmp_path / "broken"
    program.write_text(BROKEN)
    program.chmod(0o700)
    target = fuzz.Target("frame", program, seconds=1, seed=1)
    target.run()
    assert target.executions == 12
    [violation] = target.violations
    assert violation.startswith("frame: not true: length == 8;")
    assert violation.endswith(f"FUZZ_SHOW=1 {program} {tmp_path}/frame-crash-1")
