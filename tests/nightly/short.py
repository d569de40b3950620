"""The short form of a long proof: `short("kill_storm", "--kills", 3)`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PATIENCE = 600
"""Seconds; far more than any short form takes."""


def short(name: str, *options: object) -> dict[str, Any]:
    """Run `tests/nightly/<name>.py`; what it tried, once it has found no violation."""
    script = Path(__file__).with_name(f"{name}.py")
    command = [sys.executable, script, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["violations"]) == (0, []), done.stdout + done.stderr
    tried: dict[str, Any] = answer["tried"]
    return tried
