"""Where mutants are made and tried: a copy of the tree with builds of its own, never the checkout.

    workshop = Workshop(ROOT, ROOT / "build" / "mutants")
    workshop.plant(mutant)                       # whatever was planted before is undone
    verdict = workshop.run("test_frame", 60)     # builds what that takes, and no more

The copy and its builds stay, so that each mutant costs the compilation of its own file and of the
one that is whole again. What a killer leaves behind (children, files) is removed after it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bank import Mutant

SOURCES = ("csrc", "quplog", "tests", "scripts", "examples")
FILES = ("CMakeLists.txt", "build_ext.py", "pyproject.toml", "README.md", "LICENSE")
PATIENCE = 900
"""Seconds; far more than any killer takes on the unchanged tree."""

DEFINES = {
    "c": (
        "QUPLOG_SANITIZE=address,undefined",
        "QUPLOG_FAILPOINTS=ON",
        "CMAKE_BUILD_TYPE=Debug",
    ),
    "pytest": (
        "SKBUILD=2",
        "SKBUILD_SABI_VERSION=3.11",
        f"Python_EXECUTABLE={sys.executable}",
        "CMAKE_BUILD_TYPE=RelWithDebInfo",
    ),
}
"""What CMake is told, for the C tests and for the module that pytest needs."""


class BuildError(Exception):
    """What was planted does not compile."""


@dataclass(frozen=True)
class Verdict:
    """How a killer ended: `failed` is the test that failed, or how else it ended; None: passed."""

    failed: str | None
    hung: bool
    seconds: float


class Workshop:
    """One copy of the tree, in which one mutant at a time is planted."""

    def __init__(self, root: Path, place: Path) -> None:
        self._root = root
        self._tree = place / "tree"
        self._built = {kind: place / kind for kind in DEFINES}
        self._scratch = place / "scratch"
        self._planted: Mutant | None = None
        self._configured: set[str] = set()
        for name in SOURCES:
            _mirror(root / name, self._tree / name)
        for name in FILES:
            _copy(root / name, self._tree / name)

    def plant(self, mutant: Mutant | None) -> None:
        """Undo what was planted; then plant this one, if it is one."""
        before, self._planted = self._planted, mutant
        if before is not None and (mutant is None or mutant.file != before.file):
            _copy(self._root / before.file, self._tree / before.file)
        if mutant is not None:
            (self._tree / mutant.file).write_text(mutant.planted(self._root), "utf-8")

    def run(self, killer: str, limit: float) -> Verdict:
        """Try one killer on what is planted, for `limit` seconds. Raises BuildError."""
        program, *arguments = killer.split()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        if program == "pytest":
            self._build("pytest", "_quplog")
            for module in self._built["pytest"].glob("_quplog*.so"):
                _copy(module, self._tree / "quplog" / module.name)
            options = ["-x", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
            command = [sys.executable, "-P", "-m", "pytest", *options, *arguments]
        else:
            self._build("c", program)
            command = [str(self._built["c"] / program), *arguments]
        return self._try(command, limit)

    def _build(self, kind: str, target: str) -> None:
        place = self._built[kind]
        if kind not in self._configured:
            options = [f"-D{define}" for define in DEFINES[kind]]
            _make(["cmake", "-S", self._tree, "-B", place, "-G", "Ninja", *options])
            self._configured.add(kind)
        _make(["ninja", "-C", place, target])

    def _try(self, command: Sequence[str], limit: float) -> Verdict:
        output = self._scratch / "output"
        began = time.monotonic()
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=self._tree,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": str(self._tree),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "TMPDIR": str(self._scratch),
                },
            )
            try:
                code: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end_session(process.pid)
                process.wait()
        seconds = time.monotonic() - began
        said = output.read_text("utf-8", "replace")
        return Verdict(None if code == 0 else _what_failed(said, code), code is None, seconds)


def _what_failed(said: str, code: int | None) -> str:
    """The test that failed; if none says so, how the program ended."""
    if code is None:
        return "did not end"
    named = re.search(r"^FAILED (\S+)", said, re.MULTILINE)
    if named:
        return named[1]
    last = re.findall(r"^passed (\w+)$", said, re.MULTILINE)
    where = f" after {last[-1]}" if last else ""
    sanitizer = re.search(r"(?:ERROR: |runtime error: )(.{1,60})", said)
    if sanitizer:
        return f"{sanitizer[1]}{where}"
    return (f"signal {-code}" if code < 0 else f"exit code {code}") + where


def _end_session(pid: int) -> None:
    """Also what it has started and not ended."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _make(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(done.stdout + done.stderr)


def _mirror(source: Path, target: Path) -> None:
    """Make the folder the same, and touch nothing that is: builds go by the time of a file."""
    names = {path.relative_to(source) for path in _sources(source)}
    for name in names:
        _copy(source / name, target / name)
    for path in _sources(target):
        if path.relative_to(target) not in names:
            path.unlink()


def _sources(folder: Path) -> list[Path]:
    return [
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]


def _copy(source: Path, target: Path) -> None:
    content = source.read_bytes()
    if not target.is_file() or target.read_bytes() != content:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
