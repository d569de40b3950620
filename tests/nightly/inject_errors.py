"""Let every call fail: the n-th of each kind, with each error, for every n, in every scenario.

    python tests/nightly/inject_errors.py                      # every failure, with ASAN and UBSAN
    python tests/nightly/inject_errors.py --every 20 --seed 7  # one in 20, by chance
    python tests/nightly/inject_errors.py --plain              # without them: faster

The scenarios and what must hold after each failure are in tests/sim (prove_errors.c, life.h). Each
violation names the scenario, the kind of call, n and the error, and the command to see it again by.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import proof

RUNS = 26_500
"""About so many are there in all; for the line that shows the way."""


def parse() -> argparse.Namespace:
    parser = proof.parser(
        "Let the n-th call of each kind fail with each error, for every n, over all scenarios, and "
        "look whether a promise is broken, or anything leaks, crashes or hangs.",
        every=(1, "of so many failures one is tried, by chance"),
    )
    parser.add_argument("--plain", action="store_true", help="without ASAN and UBSAN")
    return parser.parse_args()


def build(*, plain: bool) -> Path:
    if plain:
        return proof.build("prove_errors")
    return proof.build("prove_errors", "QUPLOG_SANITIZE=address,undefined", folder="proofs-asan")


def start(program: Path, arguments: argparse.Namespace, place: str) -> list[subprocess.Popen[str]]:
    """One program for each processor, each with its share of the failures."""
    shares = os.cpu_count() or 1
    orders = ["--every", str(arguments.every), "--seed", str(arguments.seed), "--of", str(shares)]
    return [
        subprocess.Popen(
            [program, *orders, "--share", str(share)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TMPDIR": place},
        )
        for share in range(1, shares + 1)
    ]


def listen(program: subprocess.Popen[str], way: proof.Progress, shares: int) -> dict[str, Any]:
    """What one of them says in the end; the words of a sanitizer that ended it are a violation."""
    assert program.stdout is not None
    answer: dict[str, Any] = {"violations": []}
    words = ""
    for line in program.stdout:
        if line.startswith("runs "):
            way.show(min(way.total, int(line.split()[1]) * shares))
        elif line.startswith("{"):
            answer = json.loads(line)
        else:
            words += line
    code = program.wait()
    if (code and not answer["violations"]) or "runs" not in answer:
        answer["violations"].append(f"it ended with {code}: {words[:2000]}")
    return answer


def add_up(answers: list[dict[str, Any]]) -> dict[str, Any]:
    totals: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for answer in answers:
        totals.update({key: answer.get(key, 0) for key in ("runs", "the log failed")})
        failures.update(answer.get("failures", {}))
    for name, count in failures.items():
        kinds[name.split()[0]] += count
    return {**totals, "by kind": dict(kinds), "by failure": dict(failures)}


def main() -> int:
    arguments = parse()
    program = build(plain=arguments.plain)
    way = proof.Progress("runs", RUNS // arguments.every)
    with tempfile.TemporaryDirectory(prefix="quplog-errors-") as place:
        programs = start(program, arguments, place)
        answers = [listen(one, way, len(programs)) for one in programs]
    violations = [each for answer in answers for each in answer["violations"]]
    return proof.conclude("inject_errors", arguments.seed, add_up(answers), violations)


if __name__ == "__main__":
    sys.exit(main())
