"""The core on a simulated disk that loses its power everywhere: tests/sim/prove_crash.c, in full.

    python tests/nightly/crash_sim.py --states 10000000 --exhaustive 4 --seed 1

Half an hour for 10,000,000 states on two cores. Each core plays every n-th scene. A violation ends
it, and the answer says the command that plays that scene again, with everything that happens.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import proof


def parse() -> argparse.Namespace:
    parser = proof.parser(
        "Let many simulated processes work on one log, cut the power at the changes they make to "
        "the disk, recover, cut again during recovery, and judge what is left.",
        states=(10_000_000, "how many disks after a crash are judged"),
        exhaustive=(4, "also every sequence of up to so many operations; 0: none"),
        jobs=(os.cpu_count() or 1, "how many programs at a time"),
    )
    parser.add_argument(
        "--lie",
        choices=["data", "names"],
        help="let the disk lie about these syncs: then violations must be found",
    )
    return parser.parse_args()


class Play:
    """One way to run the program, on all cores."""

    def __init__(self, program: Path, total: int, unit: str) -> None:
        self._program = program
        self._way = proof.Progress(unit, total)
        self._states: Counter[int] = Counter()
        self.running: set[subprocess.Popen[str]] = set()

    def run(self, jobs: int, *options: object) -> list[dict[str, Any]]:
        """The answers of the programs, each of which plays its share."""
        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(lambda job: self._run(job, jobs, options), range(jobs)))

    def _run(self, job: int, jobs: int, options: tuple[object, ...]) -> dict[str, Any]:
        command = [self._program, "--first", job, "--step", jobs, *options]
        with subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            self.running.add(running)
            assert running.stdout is not None
            assert running.stderr is not None
            last = ""
            for line in running.stdout:
                last = line
                if states := re.fullmatch(r"states (\d+)\n", line):
                    self._states[job] = int(states[1])
                    self._way.show(self._states.total())
            errors = running.stderr.read()
        self.running.discard(running)
        return self._answer(running, last, errors, command)

    def _answer(
        self, ended: subprocess.Popen[str], last: str, errors: str, command: list[object]
    ) -> dict[str, Any]:
        if ended.returncode in {0, 1} and last.startswith("{"):
            answer: dict[str, Any] = json.loads(last)
        elif ended.returncode == -15:  # another one has found something
            answer = {"states": 0, "violations": []}
        else:
            what = f"{' '.join(map(str, command))} ended with {ended.returncode}: {errors}"
            answer = {"states": 0, "violations": [what]}
        if answer["violations"]:
            for other in list(self.running):
                other.terminate()
        return answer


def add_up(tried: dict[str, Any], answers: list[dict[str, Any]], violations: list[str]) -> None:
    """Put the answers of some programs together."""
    for answer in answers:
        violations += answer.pop("violations")
        for name, number in answer.items():
            if isinstance(number, list):
                so_far = tried.get(name, [0] * len(number))
                tried[name] = [a + b for a, b in zip(so_far, number, strict=True)]
            else:
                tried[name] = tried.get(name, 0) + number


def main() -> int:
    arguments = parse()
    program = proof.build("prove_crash", "QUPLOG_FAILPOINTS=ON", folder="crash")
    tried: dict[str, Any] = {}
    violations: list[str] = []
    if arguments.exhaustive:
        play = Play(program, 8**arguments.exhaustive * 2 * 25, "states of sequences, about")
        answers = play.run(arguments.jobs, "--exhaustive", arguments.exhaustive)
        add_up(tried, answers, violations)
    if arguments.states and not violations:
        share = -(-arguments.states // arguments.jobs)
        lie = ["--lie", arguments.lie] if arguments.lie else []
        play = Play(program, arguments.states, "states")
        answers = play.run(arguments.jobs, "--seed", arguments.seed, "--states", share, *lie)
        add_up(tried, answers, violations)
    return proof.conclude("crash_sim", arguments.seed, tried, violations)


if __name__ == "__main__":
    sys.exit(main())
