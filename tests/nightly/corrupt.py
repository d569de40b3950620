"""Logs damaged in every way there is, one damage at a time: tests/sim/prove_corruption.c, in full.

    python tests/nightly/corrupt.py --seed 1

Every bit flipped, every length cut to, every sector filled, swapped, duplicated, stale or foreign,
and what can happen to whole files: some 9,400,000 damages, in about half an hour on two cores. With
`--most 1000` only so many of each kind of each log. A violation ends it, and the answer says the
command that tries that damage again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import proof
from shares import JOBS, Shares

ABORT = dict.fromkeys(("ASAN_OPTIONS", "UBSAN_OPTIONS"), "abort_on_error=1")
"""So that the program tells of a finding of a sanitizer as of any crash: by the damage's number."""


def parse() -> argparse.Namespace:
    parser = proof.parser(
        "Damage reference logs in every way, and see that they are opened with the same jobs, "
        "called corrupt, or torn within what was not synced, and that verify and salvage find all.",
        most=proof.Size(0, "at most so many damages of each kind of each log; 0: all", least=0),
        jobs=JOBS,
    )
    parser.add_argument("--sanitize", action="store_true", help="under ASAN and UBSAN")
    return parser.parse_args()


def count(program: Path, options: list[str]) -> int:
    done = subprocess.run(
        [program, *options, "--count"], capture_output=True, text=True, check=True
    )
    return int(json.loads(done.stdout)["chosen"])


def prove(arguments: argparse.Namespace, answer: proof.Answer) -> None:
    sanitize = ("QUPLOG_SANITIZE=address,undefined",) if arguments.sanitize else ()
    folder = "corrupt-sanitized" if arguments.sanitize else "corrupt"
    program = proof.build("prove_corruption", *sanitize, folder=folder)
    options = ["--seed", str(arguments.seed)]
    options += ["--most", str(arguments.most)] if arguments.most else ["--all"]
    way = proof.Progress("damages", count(program, options))
    found = Shares(program, "damages", way, environment=ABORT).run(arguments.jobs, *options)
    sums: dict[str, Counter[str]] = {"families": Counter(), "answers": Counter()}
    for name, total in sums.items():
        for each in found:
            total.update(each.get(name, {}))
    answer.tried = {"damages": sum(each.get("damages", 0) for each in found), **sums}
    answer.violations += [violation for each in found for violation in each["violations"]]


def main() -> int:
    arguments = parse()
    with proof.Answer("corrupt", arguments.seed) as answer:
        prove(arguments, answer)
    return answer.code


if __name__ == "__main__":
    sys.exit(main())
