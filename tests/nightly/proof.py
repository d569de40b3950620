"""What the long proofs share: how they are asked, show how far they are, and answer.

    arguments = proof.parser("Cut the power at every step.", states=(10_000_000, "how often"))
    way = proof.Progress("states", arguments.states)
    way.show(done)
    sys.exit(proof.conclude("crash_sim", arguments.seed, {"states": done}, violations))

The answer is one line of JSON on the standard output, all else goes to the standard error, and the
exit code is 1 on any violation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHOWN = 20
"""So many violations stand in the line of JSON."""
LINES = 20
"""So many lines of progress are written where there is no terminal."""

_BEGAN = time.monotonic()


def parser(description: str, **sizes: tuple[int, str]) -> argparse.ArgumentParser:
    """A parser with `--seed`, and an option with its default for each size."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--seed", type=int, default=1, help="what chance begins with (1)")
    for name, (default, meaning) in sizes.items():
        option = "--" + name.replace("_", "-")
        made.add_argument(option, type=int, default=default, help=f"{meaning} ({default})")
    return made


class Progress:
    """How far it is: one line that changes in a terminal, a few lines elsewhere."""

    def __init__(self, unit: str, total: int) -> None:
        self.unit, self.total = unit, max(1, total)
        self._step = -1

    def show(self, done: int, more: str = "") -> None:
        terminal = sys.stderr.isatty()
        step = done * LINES // self.total
        if not terminal and step == self._step:
            return
        self._step = step
        line = f"{done:>{len(str(self.total))}} of {self.total} {self.unit}{more}"
        print(line, end="\r" if terminal else "\n", file=sys.stderr, flush=True)


def conclude(
    proof: str, seed: int, tried: Mapping[str, object], violations: Sequence[object]
) -> int:
    """Write the line of JSON; the exit code."""
    answer: dict[str, object] = {
        "proof": proof,
        "seed": seed,
        "seconds": round(time.monotonic() - _BEGAN, 1),
        "tried": tried,
        "violations": list(violations[:SHOWN]),
    }
    if len(violations) > SHOWN:
        answer["number of violations"] = len(violations)
    print(json.dumps(answer), flush=True)
    return 1 if violations else 0


def build(target: str, *definitions: str, folder: str = "proofs") -> Path:
    """Build one program of CMakeLists.txt in `build/<folder>`, and say where it is.

    `definitions` are CMake's, like `QUPLOG_SANITIZE=address`; each folder has its own.
    """
    place = ROOT / "build" / folder
    defines = [
        f"-D{definition}" for definition in ("CMAKE_BUILD_TYPE=RelWithDebInfo", *definitions)
    ]
    commands = [
        ["cmake", "-S", ROOT, "-B", place, "-G", "Ninja", *defines],
        ["cmake", "--build", place, "--parallel", str(os.cpu_count() or 1), "--target", target],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{target} can't be built:\n{done.stdout}{done.stderr}")
    return place / target
