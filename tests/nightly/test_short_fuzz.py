"""Each fuzz target finds its feet within seconds; that it can fail is shown by a planted fault."""

from __future__ import annotations

from short import short

TARGETS = {"control", "errors", "frame", "op", "recovery", "salvage", "table"}


def test_fuzz() -> None:
    tried = short("fuzz", "--seconds", 12, "--seed", 5)
    executions = tried["executions"]
    assert set(executions) == TARGETS
    assert all(count > 0 for count in executions.values()), executions
