"""The mutation bank of tests/mutants: plant each fault in a copy of the tree, and see it noticed.

    python tests/nightly/mutants.py                          all of them
    python tests/nightly/mutants.py --mutants 10 --seed 5    ten, picked by the seed
    python tests/nightly/mutants.py --only frame_crc_without_lsn

A mutant is killed when a test fails that passes on the unchanged tree, or takes ten times as long.
Those that its file names are tried first; one that they do not kill has to stand all others too. A
mutant that survives is a violation: a test is missing. It runs in the environment of the tests
(CONTRIBUTING.md).
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import proof

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "mutants"))
import bank
from workshop import PATIENCE, BuildError, Verdict, Workshop

TESTS = proof.ROOT / "tests"
PYTEST = ("tests/unit", "tests/python", "tests/processes", "tests/cli")


def parse() -> argparse.Namespace:
    parser = proof.parser(
        "Plant small faults, one at a time, and look whether the tests notice each of them.",
        mutants=proof.Size(0, "how many, picked by the seed; 0: all", least=0),
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this one")
    parser.add_argument(
        "--named", action="store_true", help="try only the tests that the mutants' files name"
    )
    return parser.parse_args()


def pick(arguments: argparse.Namespace) -> list[bank.Mutant]:
    """The mutants that were asked for, file by file: each build compiles what has changed."""
    mutants = sorted(bank.load(), key=lambda mutant: (mutant.file, mutant.name))
    if arguments.only:
        known = {mutant.name for mutant in mutants}
        unknown = [name for name in arguments.only if name not in known]
        if unknown:
            sys.exit(f"there is no mutant {unknown[0]}: see tests/mutants")
        return [mutant for mutant in mutants if mutant.name in arguments.only]
    if 0 < arguments.mutants < len(mutants):
        chance = random.Random(arguments.seed)  # noqa: S311  # a choice that can be repeated
        picked = set(chance.sample(range(len(mutants)), arguments.mutants))
        return [mutant for number, mutant in enumerate(mutants) if number in picked]
    return mutants


def named(mutant: bank.Mutant) -> list[str]:
    """The tests that the mutant's file names."""
    return list(mutant.killers)


def others(mutant: bank.Mutant) -> list[str]:
    """Every other test that may notice it, the quick ones first."""
    programs = [path.stem for path in sorted((TESTS / "c").glob("test_*.c"))]
    rest = [*(programs if mutant.is_c else ()), *(f"pytest {folder}" for folder in PYTEST)]
    return [killer for killer in rest if killer not in mutant.killers]


class Run:
    """One run over the mutants that were picked."""

    def __init__(self, violations: list[str]) -> None:
        self.violations = violations
        self.killed: dict[str, str] = {}
        self.timed_out: list[str] = []
        self._limits: dict[str, float] = {}
        self._workshop = Workshop(proof.ROOT, proof.ROOT / "build" / "mutants")

    def attempt(
        self, mutants: Sequence[bank.Mutant], killers: Callable[[bank.Mutant], list[str]]
    ) -> list[bank.Mutant]:
        """Plant one after the other and try these killers; those that survive."""
        self._measure(list(dict.fromkeys(k for mutant in mutants for k in killers(mutant))))
        if self.violations:
            return []
        survivors = []
        way = proof.Progress("mutants", len(mutants))
        for done, mutant in enumerate(mutants):
            way.show(done, f", {len(self.killed)} killed so far")
            try:
                if not self._kill(mutant, killers(mutant)):
                    survivors.append(mutant)
            except (bank.BankError, BuildError) as error:
                self.violations.append(f"{mutant.name} is no mutant: {error}")
        self._workshop.plant(None)
        return survivors

    def _measure(self, killers: Sequence[str]) -> None:
        """Whoever fails without a fault says nothing about one."""
        way = proof.Progress("killers on the unchanged tree", len(killers))
        self._workshop.plant(None)
        for done, killer in enumerate(killers):
            way.show(done)
            verdict = self._workshop.run(killer, PATIENCE)
            self._limits[killer] = 10 + 10 * verdict.seconds
            if verdict.failed is not None:
                self.violations.append(
                    f"the score is void: {killer} fails on the unchanged tree: {verdict.failed}"
                )

    def _kill(self, mutant: bank.Mutant, killers: Sequence[str]) -> bool:
        self._workshop.plant(mutant)
        for killer in killers:
            verdict = self._workshop.run(killer, self._limits[killer])
            if verdict.failed is not None:
                self._note(mutant, killer, verdict)
                return True
        print(f"{mutant.name} survives {', '.join(killers)}", file=sys.stderr, flush=True)
        return False

    def _note(self, mutant: bank.Mutant, killer: str, verdict: Verdict) -> None:
        self.killed[mutant.name] = killer
        if verdict.hung:
            self.timed_out.append(mutant.name)
        line = f"{mutant.name}: {killer}: {verdict.failed}, {verdict.seconds:.1f} s"
        print(line, file=sys.stderr, flush=True)


def prove(mutants: list[bank.Mutant], answer: proof.Answer, *, by_all: bool) -> None:
    run = Run(answer.violations)
    survivors = run.attempt(mutants, named)
    if survivors and by_all:
        survivors = run.attempt(survivors, others)
    answer.violations += [f"{mutant.name} survives: {mutant.breaks}" for mutant in survivors]
    answer.tried = {
        "mutants": len(mutants),
        "killed": len(run.killed),
        "of these by the time limit": len(run.timed_out),
        "score": f"{len(run.killed)}/{len(mutants)}",
        "killers": run.killed,
    }


def main() -> int:
    arguments = parse()
    mutants = pick(arguments)
    with proof.Answer("mutants", arguments.seed) as answer:
        prove(mutants, answer, by_all=not arguments.named)
    return answer.code


if __name__ == "__main__":
    sys.exit(main())
