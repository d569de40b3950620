"""The faults that anybody would think of first, and whether their tests still kill them.

That all others fit the code is looked at by tests/mutants/test_bank.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mutants
import pytest
from bank import Mutant
from short import short
from workshop import Verdict

FIRST = (
    "io_data_never_synced",
    "log_directory_not_synced",
    "log_published_before_write",
    "frame_crc_without_lsn",
    "compact_removes_before_the_trim_is_synced",
    "io_short_write_taken_for_whole",
)


def test_mutants() -> None:
    only = [word for name in FIRST for word in ("--only", name)]
    tried = short("mutants", "--named", *only)
    assert tried["score"] == f"{len(FIRST)}/{len(FIRST)}"
    assert sorted(tried["killers"]) == sorted(FIRST)


class Untried:
    """A workshop in which every killer ends the same, whatever is planted."""

    failed: str | None = None

    def __init__(self, root: Path, place: Path) -> None: ...

    def plant(self, mutant: Mutant | None) -> None: ...

    def run(self, _killer: str, _limit: float) -> Verdict:
        return Verdict(self.failed, hung=False, seconds=0.0)


@pytest.mark.parametrize(
    ("failed", "violation"),
    [(None, f"{FIRST[0]} survives: "), ("a_test", "the score is void: test_io ")],
)
def test_whoever_survives_or_was_failing_before_is_a_violation(
    failed: str | None,
    violation: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Untried, "failed", failed)
    monkeypatch.setattr(mutants, "Workshop", Untried)
    monkeypatch.setattr(sys, "argv", ["mutants", "--only", FIRST[0]])
    assert mutants.main() == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["tried"]["score"] == "0/1"
    assert answer["violations"][0].startswith(violation)
