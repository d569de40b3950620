"""The mutation bank: small faults, each of which breaks a promise and must be noticed by a test.

One TOML file for each; its name is the fault's. `old` is the exact text that is replaced: it must
stand once in the file, so that a mutant whose place has moved or changed is an error and never a
fault that quietly is none.

    breaks = "A stale or moved frame never passes."
    file = "csrc/frame.c"
    killers = ["test_frame a_frame_that_was_moved_never_passes"]
    old = '''
        put_u64(place, lsn);
    '''
    new = '''
        put_u64(place, 0);
    '''

`killers` are the tests that are tried first; any other may kill it too. A killer is a program of
tests/c and, if given, one of its tests; or what follows `pytest`: a file and, behind `::`, a test.
"""

from __future__ import annotations

import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


class BankError(Exception):
    """A mutant does not fit the code (any more)."""


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    name: str
    breaks: str
    file: str
    killers: tuple[str, ...]
    old: str
    new: str

    @property
    def is_c(self) -> bool:
        """Whether the fault is in the C core."""
        return self.file.endswith(".c")

    def planted(self, root: Path) -> str:
        """The text of the file with the fault in it. Raises BankError if it has no place there."""
        source = (root / self.file).read_text("utf-8")
        found = source.count(self.old)
        if found != 1 or self.old == self.new:
            message = f"{self.name}: its text stands {found} times in {self.file}"
            raise BankError(message)
        return source.replace(self.old, self.new)


def load(folder: Path = HERE) -> list[Mutant]:
    """All mutants, by name."""
    return [read(path) for path in sorted(folder.glob("*.toml"))]


def read(path: Path) -> Mutant:
    """One mutant. Raises BankError if its file says too little, or too much."""
    said = tomllib.loads(path.read_text("utf-8"))
    wanted = {"breaks", "file", "killers", "old", "new"}
    if set(said) != wanted or not said["killers"]:
        message = f"{path.name} says {sorted(said)}, and has to say {sorted(wanted)}"
        raise BankError(message)
    said["killers"] = tuple(said["killers"])
    return Mutant(name=path.stem, **said)


def check(mutant: Mutant, root: Path) -> None:
    """Raise BankError if the mutant does not fit, or what it makes of its file does not compile."""
    text = mutant.planted(root)
    if not mutant.is_c:
        try:
            compile(text, mutant.file, "exec")
        except SyntaxError as error:
            message = f"{mutant.name}: {error}"
            raise BankError(message) from error
        return
    command = ["cc", "-x", "c", "-std=c11", "-D_GNU_SOURCE", "-fsyntax-only"]
    done = subprocess.run(
        [*command, f"-I{root / 'csrc'}", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"{mutant.name}: {done.stderr}"
        raise BankError(message)
