"""How much of the code that reads a log is reached by the C tests and the corpus: branch by branch.

    python tests/nightly/coverage.py             # at least 95 % of the branches of each file
    python tests/nightly/coverage.py --missing   # and which are not taken

The tests run in a build with gcov's counters. Counted are both ways of each condition, of each
part of a condition, and of each loop, also those that only a failing disk or a lack of memory
takes. Each file is judged by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import proof

FILES = ["chain", "control", "frame", "op", "reader", "record", "recover", "scan", "segment"]
"""Of csrc/: what takes bytes apart and decides what a log is."""
SUBJECTS = "frame op segment chain reading recovery power scan control log table memory"
"""Those of the C tests that these files are the subject of."""
BUILD = proof.ROOT / "build" / "coverage"


def run(command: list[object]) -> bytes:
    """What it writes."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, cwd=BUILD, check=False)
    if done.returncode:
        raise proof.BuildError(f"{words[0]} failed:\n{done.stdout.decode()}{done.stderr.decode()}")
    return done.stdout


def run_tests() -> None:
    cores = os.cpu_count() or 1
    flags = ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS=--coverage -fprofile-abs-path"]
    BUILD.mkdir(parents=True, exist_ok=True)
    run(["cmake", "-S", proof.ROOT, "-B", BUILD, "-G", "Ninja", *flags])
    print("building", file=sys.stderr, flush=True)
    run(["cmake", "--build", BUILD, "--parallel", cores])
    for counted in BUILD.rglob("*.gcda"):
        counted.unlink()
    print("running the tests", file=sys.stderr, flush=True)
    chosen = f"^fuzz_|^test_({SUBJECTS.replace(' ', '|')})$"
    ctest = ["ctest", "--test-dir", BUILD, "--output-on-failure", "--no-tests=error"]
    run([*ctest, "--tests-regex", chosen, "--parallel", cores])


def branches(name: str) -> Iterator[tuple[int, int]]:
    """(line, how often it was taken) of each branch of csrc/<name>.c."""
    counts = next(BUILD.rglob(f"{name}.c.gcda"))
    told = run(["gcov", "--json-format", "--branch-probabilities", "--stdout", counts])
    for part in map(json.loads, told.splitlines()):
        for file in part["files"]:
            if Path(file["file"]) != proof.ROOT / "csrc" / f"{name}.c":
                continue
            for line in file["lines"]:
                for branch in line["branches"]:
                    yield line["line_number"], branch["count"]


def tell_missing(name: str, found: list[tuple[int, int]]) -> None:
    source = (proof.ROOT / "csrc" / f"{name}.c").read_text().splitlines()
    for line in sorted({line for line, count in found if count == 0}):
        counts = [count for at, count in found if at == line]
        print(f"csrc/{name}.c:{line}: {source[line - 1].strip()}  {counts}", file=sys.stderr)


def parse() -> argparse.Namespace:
    parser = proof.parser(
        __doc__.splitlines()[0], least=proof.Size(95, "percent of the branches", least=0)
    )
    parser.add_argument("--missing", action="store_true", help="list what is not taken")
    return parser.parse_args()


def prove(arguments: argparse.Namespace, answer: proof.Answer) -> None:
    run_tests()
    percent: dict[str, float] = {}
    taken = total = 0
    for name in FILES:
        found = list(branches(name))
        here = sum(count > 0 for _, count in found)
        taken, total = taken + here, total + len(found)
        percent[f"{name}.c"] = round(100 * here / len(found), 1)
        print(f"{name + '.c':12} {here:4} of {len(found):4} branches, {percent[f'{name}.c']} %",
              file=sys.stderr)  # fmt: skip
        if percent[f"{name}.c"] < arguments.least:
            answer.violations.append(
                f"{name}.c: {percent[f'{name}.c']} % of its branches are taken"
            )
        if arguments.missing:
            tell_missing(name, found)
    answer.tried = {"branches": total, "taken": taken, "percent": percent}


def main() -> int:
    arguments = parse()
    with proof.Answer("coverage", arguments.seed) as answer:
        prove(arguments, answer)
    return answer.code


if __name__ == "__main__":
    sys.exit(main())
