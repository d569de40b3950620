"""What the long proofs share: how they are asked, show how far they are, and answer.

    arguments = proof.parser("Cut the power.", states=proof.Size(10, "how often")).parse_args()
    with proof.Answer("crash_sim", arguments.seed) as answer:
        way = proof.Progress("states", arguments.states)
        ...
        answer.tried["states"] = done
        answer.violations += found
    sys.exit(answer.code)

The answer is one line of JSON on the standard output, however the proof ends: all else goes to the
standard error. The exit code is 1 on any violation, and it is one if the proof was interrupted,
could not go on, or tried nothing; 2 on wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple, Self

ROOT = Path(__file__).resolve().parents[2]
SHOWN = 20
"""So many violations stand in the line of JSON."""
LINES = 20
"""So many lines of progress are written where there is no terminal."""
SEEDS = 1 << 63

_BEGAN = time.monotonic()


class Size(NamedTuple):
    """A number to be asked for: its default, what it means, and the least that makes sense."""

    default: int
    meaning: str
    least: int = 1


def _number(least: int, end: int) -> Callable[[str], int]:
    def number(word: str) -> int:
        value = int(word)
        if not least <= value < end:
            raise argparse.ArgumentTypeError(f"{value} is not one of {least}..{end - 1}")
        return value

    return number


def parser(description: str, **sizes: Size) -> argparse.ArgumentParser:
    """A parser with `--seed`, and an option for each size."""
    made = argparse.ArgumentParser(description=description)
    seed = _number(0, SEEDS)
    made.add_argument("--seed", type=seed, default=1, help="what chance begins with (1)")
    for name, size in sizes.items():
        option, number = "--" + name.replace("_", "-"), _number(size.least, 1 << 48)
        meaning = f"{size.meaning} ({size.default})"
        made.add_argument(option, type=number, default=size.default, help=meaning)
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


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _any(tried: object) -> bool:
    """Whether there is a number in it that is not 0."""
    if isinstance(tried, Mapping):
        return any(map(_any, tried.values()))
    if isinstance(tried, list | tuple):
        return any(map(_any, tried))
    return isinstance(tried, int | float) and tried != 0


class Answer:
    """What was tried and what was violated; written as the line of JSON when the block ends.

    Whatever ends the block early is a violation too, and goes no further: an exception, Ctrl-C or
    SIGTERM.
    """

    def __init__(self, proof: str, seed: int) -> None:
        self.tried: dict[str, object] = {}
        self.violations: list[str] = []
        self._proof, self._seed = proof, seed

    def __enter__(self) -> Self:
        # Who is started in the background ignores SIGINT, and so would the programs it starts.
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if isinstance(error, KeyboardInterrupt):
            self.violations.append("interrupted: what was not tried is not known to hold")
        elif error is not None:
            traceback.print_exception(kind, error, trace)
            self.violations.append(f"it could not go on: {type(error).__name__}: {error}")
        elif not self.violations and not _any(self.tried):
            self.violations.append("nothing was tried")
        self._write()
        return True

    @property
    def code(self) -> int:
        """The exit code."""
        return 1 if self.violations else 0

    @contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """A folder to work in; it stays where `tried` says if there is something to be seen."""
        place = Path(tempfile.mkdtemp(prefix=f"quplog-{name}-"))
        keep = True
        try:
            yield place
            keep = bool(self.violations)
        except KeyboardInterrupt:
            keep = False
            raise
        finally:
            if keep:
                self.tried["kept in"] = str(place)
            else:
                shutil.rmtree(place)

    def _write(self) -> None:
        answer: dict[str, object] = {
            "proof": self._proof,
            "seed": self._seed,
            "seconds": round(time.monotonic() - _BEGAN, 1),
            "tried": self.tried,
            "violations": self.violations[:SHOWN],
        }
        if len(self.violations) > SHOWN:
            answer["number of violations"] = len(self.violations)
        print(json.dumps(answer), flush=True)


class BuildError(Exception):
    """A program that a proof needs cannot be built."""


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
            raise BuildError(f"{target}:\n{done.stdout}{done.stderr}")
    return place / target
