"""The whole promise at once: many processes on one log, and SIGKILL for one after the other."""

from __future__ import annotations

from pathlib import Path

from storm import Plan, Storm


def test_no_kill_loses_a_job_or_runs_a_finished_one_again(tmp_path: Path) -> None:
    plan = Plan(jobs=20_000, kills=30, seed=1)
    result = Storm(tmp_path, plan).run()
    print(result)
    assert result["violations"] == []
    assert result["kills"].keys() == {"produce", "work"}
