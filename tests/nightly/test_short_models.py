"""The script that checks larger models; tests/models has the others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from short import short

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from checked import missing


@pytest.mark.skipif(bool(missing()), reason=f"NOT TESTED, for lack of {missing()}")
def test_models() -> None:
    tried = short("models", "--searches", 1)
    assert all(states > 1000 for states in tried["states"].values())
