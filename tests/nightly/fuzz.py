"""Fuzz whatever reads a log: frames, ops, the table, recovery, the control page, salvage.

    python tests/nightly/fuzz.py --seconds 600 --seed 1

The targets (tests/fuzz/fuzz_*.c) share the time. Each begins with its corpus in tests/fuzz/corpus
and is built by clang with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer; what is
missing of these is installed. An input that breaks a promise stays where the answer says, beside
the command that runs it again. With --keep, inputs that reach what the corpus did not reach are put
into it, as few as do.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import proof

SOURCES = proof.ROOT / "tests" / "fuzz"
BUILD = proof.ROOT / "build" / "fuzz"
FOUND = BUILD / "found"
LONGEST = 1024
"""Bytes of an input."""
KEPT = 42
"""Inputs of a target in the repository, at most: the longest reach most."""
PATIENCE = 30
"""Seconds for one input: far more than any takes."""
SANITIZERS = "address,undefined"
ENVIRONMENT = {"ASAN_OPTIONS": "quarantine_size_mb=4:malloc_context_size=4:detect_leaks=1"}


def targets() -> list[str]:
    return sorted(path.stem.removeprefix("fuzz_") for path in SOURCES.glob("fuzz_*.c"))


def install() -> None:
    """What a bare Debian lacks, as ./test installs what it needs."""
    script = ". scripts/machine.sh && need cmake ninja clang >&2 && need libfuzzer >&2"
    done = subprocess.run(["bash", "-c", script], cwd=proof.ROOT, check=False)
    if done.returncode:
        sys.exit("The fuzzers need CMake, Ninja, and clang with libFuzzer.")


def build(names: list[str]) -> dict[str, Path]:
    definitions = (
        "CMAKE_C_COMPILER=clang",
        "QUPLOG_FUZZ=ON",
        f"QUPLOG_SANITIZE={SANITIZERS}",
    )
    return {name: proof.build(f"fuzz_{name}", *definitions, folder="fuzz") for name in names}


class Target(threading.Thread):
    """One fuzzer at work, for some seconds of its own."""

    def __init__(self, name: str, program: Path, seconds: int, seed: int) -> None:
        super().__init__()
        self.name, self.program, self.seconds, self.seed = name, program, seconds, seed
        self.work = FOUND / name
        self.corpus = SOURCES / "corpus" / name
        self.executions = 0
        self.violations: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._given_up = False

    def run(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.corpus.mkdir(parents=True, exist_ok=True)
        for old in FOUND.glob(f"{self.name}-*"):
            old.unlink()
        options = [
            f"-seed={self.seed}",
            f"-max_total_time={self.seconds}",
            f"-max_len={LONGEST}",
            "-len_control=20",
            f"-timeout={PATIENCE}",
            "-print_final_stats=1",
            f"-artifact_prefix={FOUND / self.name}-",
        ]
        command = [self.program, *options, self.work, self.corpus]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | ENVIRONMENT,
        )
        if self._given_up:
            self._process.kill()
        said = self._process.communicate()[1]
        counted = re.search(r"number_of_executed_units: (\d+)", said)
        self.executions = int(counted[1]) if counted else 0
        if self._process.returncode and not self._given_up:
            self.violations.append(self._tell(said))

    def give_up(self) -> None:
        """End it; nothing is found any more."""
        self._given_up = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _tell(self, said: str) -> str:
        """What was found, and how to see it again."""
        reason = re.search(r"not true: .*|ERROR: \S+Sanitizer: \S+|runtime error: .*", said)
        inputs = sorted(str(path) for path in FOUND.glob(f"{self.name}-*"))
        again = " ".join(["FUZZ_SHOW=1", str(self.program), *inputs])
        return f"{self.name}: {reason[0] if reason else said[-500:]}; again by: {again}"

    def keep(self) -> None:
        """Make the corpus anew of what it was and what was found: few inputs that reach most."""
        few = FOUND / f"{self.name}.few"
        shutil.rmtree(few, ignore_errors=True)
        few.mkdir()
        options = ["-set_cover_merge=1", "-use_counters=0", f"-max_len={LONGEST}"]
        command = [self.program, *options, few, self.corpus, self.work]
        subprocess.run(command, check=True, capture_output=True)
        chosen = sorted(few.iterdir(), key=lambda path: path.stat().st_size)[-KEPT:]
        shutil.rmtree(self.corpus)
        self.corpus.mkdir()
        for path in chosen:
            shutil.copy(path, self.corpus)


def fuzz(programs: dict[str, Path], seconds: int, seed: int) -> list[Target]:
    """All targets, as many at a time as there are cores, each with its share of the time."""
    cores = max(1, min(len(programs), os.cpu_count() or 1))
    share = max(1, seconds * cores // len(programs))
    waiting = [Target(name, program, share, seed) for name, program in programs.items()]
    way = proof.Progress("seconds", seconds)
    began = time.monotonic()
    running: list[Target] = []
    done: list[Target] = []
    try:
        while waiting or running:
            while waiting and len(running) < cores:
                running.append(waiting.pop(0))
                running[-1].start()
            running[0].join(timeout=1)
            done += [target for target in running if not target.is_alive()]
            running = [target for target in running if target.is_alive()]
            total = sum(target.executions for target in done)
            way.show(min(seconds, int(time.monotonic() - began)), f", {total} executions")
    finally:
        for target in running:
            target.give_up()
    return done


def target(word: str) -> str:
    if word not in targets():
        raise argparse.ArgumentTypeError(f"{word} is none of {', '.join(targets())}")
    return word


def parse() -> argparse.Namespace:
    parser = proof.parser(
        __doc__.splitlines()[0], seconds=proof.Size(600, "how long, all targets together")
    )
    parser.add_argument("--keep", action="store_true", help="add what was found to the corpus")
    known = ", ".join(targets())
    parser.add_argument("targets", nargs="*", type=target, help=f"of {known}; none: all")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    install()
    with proof.Answer("fuzz", arguments.seed) as answer:
        done = fuzz(build(arguments.targets or targets()), arguments.seconds, arguments.seed)
        answer.tried["executions"] = {target.name: target.executions for target in done}
        answer.violations += [violation for target in done for violation in target.violations]
        for target in done if arguments.keep else []:
            target.keep()
    return answer.code


if __name__ == "__main__":
    sys.exit(main())
