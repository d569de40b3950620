"""Nearly every branch of what reads a log is taken by the C tests, or they are not enough."""

from __future__ import annotations

from short import short


def test_coverage() -> None:
    tried = short("coverage")
    assert tried["percent"].keys() >= {"frame.c", "op.c", "segment.c", "chain.c", "recover.c"}
    assert tried["branches"] > 1000
