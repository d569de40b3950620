"""A simulated power cut, 200,000 times, and at every step of every short sequence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import proof
import pytest
from short import PATIENCE, short


def test_crash_sim() -> None:
    tried = short("crash_sim", "--states", 200_000, "--exhaustive", 4)
    assert tried["states"] > 200_000
    assert tried["sequences"] == 2 * (8 + 8**2 + 8**3 + 8**4)
    assert all(tried["power cuts"]), "power cuts in recoveries of recoveries of recoveries"


@pytest.mark.parametrize("lie", ["data", "names"])
def test_a_disk_that_lies_is_seen(lie: str) -> None:
    script = Path(__file__).with_name("crash_sim.py")
    done = subprocess.run(
        [sys.executable, script, "--states", "20000", "--exhaustive", "0", "--lie", lie],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "prove_crash --seed 1 --only" in done.stdout


def test_a_seed_replays_a_run_exactly() -> None:
    program = proof.build("prove_crash", "QUPLOG_FAILPOINTS=ON", folder="crash")
    command = [program, "--seed", "5", "--only", "3", "--trace"]
    first, second = (
        subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True) for _ in range(2)
    )
    assert first.stdout == second.stdout
    assert first.stderr.count(b"\n") > 1000
    assert first.stderr == second.stderr
