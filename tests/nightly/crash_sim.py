"""The core on a simulated disk that loses its power everywhere: tests/sim/prove_crash.c, in full.

    python tests/nightly/crash_sim.py --states 10000000 --exhaustive 4 --seed 1

Half an hour for 10,000,000 states on two cores. A violation ends it, and the answer says the
command that plays that scene again, with everything that happens.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import proof
from shares import JOBS, Shares


def parse() -> argparse.Namespace:
    parser = proof.parser(
        "Let many simulated processes work on one log, cut the power at the changes they make to "
        "the disk, recover, cut again during recovery, and judge what is left.",
        states=proof.Size(10_000_000, "how many disks after a crash are judged; 0: none", least=0),
        exhaustive=proof.Size(
            4, "also every sequence of up to so many operations; 0: none", least=0
        ),
        jobs=JOBS,
    )
    parser.add_argument(
        "--lie",
        choices=["data", "names"],
        help="let the disk lie about these syncs: then violations must be found",
    )
    return parser.parse_args()


def add_up(answer: proof.Answer, found: list[dict[str, Any]]) -> None:
    """Put the answers of some programs to the others'."""
    tried: dict[str, Any] = answer.tried
    for each in found:
        answer.violations += each.pop("violations")
        for name, number in each.items():
            if isinstance(number, list):
                so_far = tried.get(name, [0] * len(number))
                tried[name] = [a + b for a, b in zip(so_far, number, strict=True)]
            else:
                tried[name] = tried.get(name, 0) + number


def prove(arguments: argparse.Namespace, answer: proof.Answer) -> None:
    program = proof.build("prove_crash", "QUPLOG_FAILPOINTS=ON", folder="crash")
    if arguments.exhaustive:
        about = 8**arguments.exhaustive * 2 * 25
        way = proof.Progress("states of sequences, about", about)
        every = ("--exhaustive", arguments.exhaustive)
        add_up(answer, Shares(program, "states", way).run(arguments.jobs, *every))
    if arguments.states and not answer.violations:
        share = -(-arguments.states // arguments.jobs)
        lie = ["--lie", arguments.lie] if arguments.lie else []
        way = proof.Progress("states", arguments.states)
        scenes = ("--seed", arguments.seed, "--states", share, *lie)
        add_up(answer, Shares(program, "states", way).run(arguments.jobs, *scenes))


def main() -> int:
    arguments = parse()
    with proof.Answer("crash_sim", arguments.seed) as answer:
        prove(arguments, answer)
    return answer.code


if __name__ == "__main__":
    sys.exit(main())
