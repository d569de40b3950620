"""Each model keeps its promises in every state, and each fault that can be planted breaks one.

The first comment of each model says what it follows. tests/nightly/models.py checks larger sizes.
"""

from __future__ import annotations

import re

import pytest
from checked import HERE, check, missing
from sizes import FAULTS, SMALL

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"NOT TESTED, for lack of {missing()}")


def each(cases: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(model, size) for model, sizes in cases.items() for size in sizes]


@pytest.mark.parametrize(("model", "size"), each(SMALL))
def test_model_keeps_its_promises(model: str, size: str) -> None:
    found = check(model, *size.split())
    assert found.error == ""
    assert found.states > 1000


@pytest.mark.parametrize(("model", "fault"), each(FAULTS))
def test_planted_fault_is_found(model: str, fault: str) -> None:
    assert check(model, *fault.split()).error


@pytest.mark.parametrize("model", SMALL)
def test_no_fault_of_a_model_is_forgotten(model: str) -> None:
    known = set(re.findall(r"FAULT_\w+", (HERE / f"{model}.pml").read_text(encoding="utf-8")))
    assert {fault.split()[0] for fault in FAULTS[model]} == known
