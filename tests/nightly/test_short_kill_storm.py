"""Real processes and a real SIGKILL, as often as fits between two commits."""

from __future__ import annotations

from short import short


def test_kill_storm() -> None:
    tried = short("kill_storm", "--kills", 3, "--jobs", 500, "--seed", 3)
    assert sum(tried["kills"].values()) == 3
    assert tried["jobs"] >= 500
