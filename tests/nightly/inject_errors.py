"""Let every call fail: the n-th of each kind, with each error, for every n, in every scenario.

    python tests/nightly/inject_errors.py                      # every failure, with ASAN and UBSAN
    python tests/nightly/inject_errors.py --every 20 --seed 7  # one in 20, by chance
    python tests/nightly/inject_errors.py --plain              # without them: faster

The scenarios and what must hold after each failure are in tests/sim (prove_errors.c, life.h). Each
violation names the scenario, the kind of call, n and the error, and the command to see it again by.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import proof
from shares import JOBS, Shares

RUNS = 26_500
"""About so many there are in all; for the line that shows the way."""


def parse() -> argparse.Namespace:
    parser = proof.parser(
        "Let the n-th call of each kind fail with each error, for every n, over all scenarios, and "
        "look whether a promise is broken, or anything leaks, crashes or hangs.",
        every=proof.Size(1, "of so many failures one is tried, by chance"),
        jobs=JOBS,
    )
    parser.add_argument("--plain", action="store_true", help="without ASAN and UBSAN")
    return parser.parse_args()


def build(*, plain: bool) -> Path:
    if plain:
        return proof.build("prove_errors")
    return proof.build("prove_errors", "QUPLOG_SANITIZE=address,undefined", folder="proofs-asan")


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


def prove(arguments: argparse.Namespace, answer: proof.Answer) -> None:
    program = build(plain=arguments.plain)
    way = proof.Progress("runs", RUNS // arguments.every)
    orders = ("--every", arguments.every, "--seed", arguments.seed)
    with tempfile.TemporaryDirectory(prefix="quplog-errors-") as place:
        shares = Shares(program, "runs", way, to_the_end=True, environment={"TMPDIR": place})
        found = shares.run(arguments.jobs, *orders)
    answer.tried = add_up(found)
    answer.violations += [violation for each in found for violation in each["violations"]]


def main() -> int:
    arguments = parse()
    with proof.Answer("inject_errors", arguments.seed) as answer:
        prove(arguments, answer)
    return answer.code


if __name__ == "__main__":
    sys.exit(main())
