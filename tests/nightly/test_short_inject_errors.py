"""One failure in a few, of every kind, with the sanitizers."""

from __future__ import annotations

from short import short


def test_inject_errors() -> None:
    tried = short("inject_errors", "--every", 12, "--seed", 4)
    assert tried["runs"] > 1000
    assert len(tried["by kind"]) == 16
