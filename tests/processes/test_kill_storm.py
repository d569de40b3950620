"""The whole promise at once: many processes on one log, and SIGKILL for one after the other."""

from __future__ import annotations

import sys
from pathlib import Path

from namespaces import Group, namespace_command
from storm import Plan, Storm

PROGRAMS = Path(__file__).parent


def test_no_kill_loses_a_job_or_runs_a_finished_one_again(tmp_path: Path) -> None:
    result = Storm(tmp_path, Plan(jobs=20_000, kills=40, seed=1)).run()
    assert result["violations"] == []
    assert result["kills"].keys() == {"produce", "work"}


def test_not_in_containers_either_where_every_process_is_number_1(tmp_path: Path) -> None:
    class Container(Group):
        COMMAND = (*namespace_command(), sys.executable, PROGRAMS / "group.py")

    plan = Plan(jobs=4_000, kills=15, seed=2, roles=["produce,work"] * 2)
    result = Storm(tmp_path, plan, Container).run()
    assert result["violations"] == []
    assert result["claims ended by"]["crash"] > 0


def test_nor_while_the_log_is_compacted_all_the_time(tmp_path: Path) -> None:
    plan = Plan(jobs=12_000, kills=25, seed=4, segments=40, keep=0, late=50)
    result = Storm(tmp_path, plan).run()
    assert result["violations"] == []
    assert result["copied by compaction"] > 0
    assert result["trimmed up to"] > 0
