"""Check a model with spin: every state that it can come to.

    found = check("append", "KILLS=2", "FAULT_NO_REPAIR")
    assert found.states > 1000 and found.error

spin turns the model into a C program, which is compiled and run. An error is a broken assertion, or
a state that nobody leaves although somebody still waits.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = ("spin", "gcc")
DEPTH = 200_000
"""So many steps a path may have; one that has more is reported as unfinished."""
MEGABYTES = 3000
UNFINISHED = ("max search depth too small", "out of memory", "aborting", "Search not completed")
ERROR = re.compile(r"^pan:1: (.*?)(?: \(at depth \d+\))?$", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """What a search has come to."""

    states: int
    error: str
    """How a promise was broken; empty if none was."""
    seconds: float
    """Of the search, without what it took to make its program."""


class UnfinishedError(RuntimeError):
    """The search has not seen every state, so it says nothing."""


def missing() -> list[str]:
    """What this machine lacks for checking."""
    return [tool for tool in TOOLS if not shutil.which(tool)]


def _run(place: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    if done.returncode and command[0] != "./pan":
        raise RuntimeError(f"{command} failed:\n{output}")
    return output


def check(name: str, *definitions: str, long: bool = False) -> Found:
    """Search the states of `<name>.pml` until an error is found.

    Where a search is short, what counts is how fast its program is made.
    """
    defines = [f"-D{definition}" for definition in definitions]
    speed = "-O2" if long else "-O0"
    with tempfile.TemporaryDirectory(prefix="quplog-model-") as folder:
        place = Path(folder)
        _run(place, "spin", *defines, "-a", str(HERE / f"{name}.pml"))
        options = ["-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEGABYTES}", "-DVECTORSZ=2048"]
        _run(place, "gcc", speed, "-w", *options, "-o", "pan", "pan.c")
        began = time.monotonic()
        output = _run(place, "./pan", f"-m{DEPTH}")
        seconds = time.monotonic() - began
    error = ERROR.search(output)
    counted = re.search(r"(\d+) states, stored", output)
    if counted is None or (not error and any(sign in output for sign in UNFINISHED)):
        raise UnfinishedError(f"{name} {definitions}:\n{output}")
    return Found(int(counted[1]), error[1] if error else "", seconds)
