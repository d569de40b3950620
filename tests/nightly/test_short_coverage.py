"""Nothing that reads a log is left untried."""

from __future__ import annotations

from short import short


def test_coverage() -> None:
    tried = short("coverage")
    assert tried["taken"] >= 0.95 * tried["branches"]
