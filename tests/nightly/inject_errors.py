"""Let every call fail: the n-th of each kind, with each error, for every n, in every scenario.

    python tests/nightly/inject_errors.py                      # every failure, with ASAN and UBSAN
    python tests/nightly/inject_errors.py --every 20 --seed 7  # one in 20, by chance
    python tests/nightly/inject_errors.py --plain              # without them: faster

The scenarios and what must hold after each failure are in tests/sim (prove_errors.c, life.h). Each
violation names the scenario, the kind of call, n and the error, and the command that shows it again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import proof

RUNS = 20_000
"""About so many are there in all; for the progress line."""


def parse() -> argparse.Namespace:
    parser = proof.parser(
        "Let the n-th call of each kind fail with each error, for every n, over all scenarios, and "
        "look whether a promise is broken, anything leaks, crashes or hangs.",
        every=(1, "of so many failures one is tried, by chance"),
    )
    parser.add_argument("--plain", action="store_true", help="without ASAN and UBSAN")
    return parser.parse_args()


def build(*, plain: bool) -> Path:
    if plain:
        return proof.build("prove_errors")
    return proof.build("prove_errors", "QUPLOG_SANITIZE=address,undefined", folder="proofs-asan")


def start(program: Path, arguments: argparse.Namespace) -> list[subprocess.Popen[str]]:
    shares = os.cpu_count() or 1
    orders = ["--every", str(arguments.every), "--seed", str(arguments.seed), "--of", str(shares)]
    return [
        subprocess.Popen(
            [program, *orders, "--share", str(share + 1)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for share in range(shares)
    ]


def follow(running: subprocess.Popen[str]) -> Iterator[str]:
    """Its lines; the last ones of a program that was ended by a sanitizer say why."""
    assert running.stdout is not None
    yield from running.stdout


def collect(programs: list[subprocess.Popen[str]], way: proof.Progress) -> dict[str, Any]:
    """Add up what the programs say; the lines of one are read while the others run."""
    failures: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    violations: list[str] = []
    for program in programs:
        other: list[str] = []
        answer: dict[str, Any] | None = None
        for line in follow(program):
            if line.startswith("runs "):
                way.show(min(way.total, int(line.split()[1]) * len(programs)))
            elif line.startswith("{"):
                answer = json.loads(line)
            else:
                other.append(line)
        if answer:
            failures.update(answer["failures"])
            totals.update({key: answer[key] for key in ("runs", "the log failed")})
            violations += answer["violations"]
        if (program.wait() != 0 and not (answer and answer["violations"])) or not answer:
            violations.append("it ended with " + str(program.returncode) + ": " + "".join(other)[:2000])
    by_kind: Counter[str] = Counter()
    for name, count in failures.items():
        by_kind[name.split()[0]] += count
    return {**totals, "by kind": dict(by_kind), "by failure": dict(failures), "violations": violations}


def main() -> int:
    arguments = parse()
    program = build(plain=arguments.plain)
    way = proof.Progress("runs", RUNS // arguments.every)
    tried = collect(start(program, arguments), way)
    return proof.conclude("inject_errors", arguments.seed, tried, tried.pop("violations"))


if __name__ == "__main__":
    sys.exit(main())
