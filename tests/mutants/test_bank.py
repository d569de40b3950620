"""The bank fits the code: each mutant has its one place, compiles, and its killers are there."""

from __future__ import annotations

import re
from pathlib import Path

import bank
import pytest

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = bank.load()


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 40


def test_each_has_its_place_and_compiles() -> None:
    complaints = []
    for mutant in MUTANTS:
        try:
            bank.check(mutant, ROOT)
        except bank.BankError as error:
            complaints.append(str(error))
    assert complaints == []


def is_there(killer: str) -> bool:
    """Whether there is such a test."""
    program, *rest = killer.split()
    if program == "pytest":
        (place,) = rest
        file, _, name = place.partition("::")
        wanted = rf"^def {name}\(" if name else ""
    else:
        (name,) = rest or ("",)
        file = f"tests/c/{program}.c"
        wanted = rf"\bLISTED\({name}\)" if name else ""
    path = ROOT / file
    return path.is_file() and bool(re.search(wanted, path.read_text("utf-8"), re.MULTILINE))


def test_the_tests_that_are_named_as_killers_are_there() -> None:
    assert [
        f"{mutant.name}: {killer}"
        for mutant in MUTANTS
        for killer in mutant.killers
        if not is_there(killer)
    ] == []


def test_a_mutant_whose_place_has_changed_is_told(tmp_path: Path) -> None:
    (tmp_path / "code.c").write_text("int a = 1;\n")
    gone = bank.Mutant("gone", "nothing", "code.c", ("test_a",), "int b = 1;\n", "int b = 2;\n")
    same = bank.Mutant("same", "nothing", "code.c", ("test_a",), "int a = 1;\n", "int a = 1;\n")
    bad = bank.Mutant("bad", "nothing", "code.c", ("test_a",), "int a = 1;\n", "int a = ;\n")
    for mutant in (gone, same, bad):
        with pytest.raises(bank.BankError, match=mutant.name):
            bank.check(mutant, tmp_path)
