"""A sample of everything that can happen to the files of a log, and of it under the sanitizers."""

from __future__ import annotations

from short import short

FAMILIES = 18


def test_damages() -> None:
    tried = short("corrupt", "--most", 2000)
    assert tried["damages"] > 50_000
    assert len(tried["families"]) == FAMILIES
    assert all(tried["families"].values())
    for answer in ("same jobs", "corrupt", "torn"):
        assert tried["answers"][answer] > 1000


def test_damages_under_the_sanitizers() -> None:
    tried = short("corrupt", "--most", 60, "--seed", 2, "--sanitize")
    assert tried["damages"] > 2000
