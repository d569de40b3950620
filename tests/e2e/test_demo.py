"""The demonstration shows what it says, and would say so if it did not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("rich", reason="the demonstration uses the command")

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


@pytest.fixture
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_killed_process_loses_no_job_and_runs_no_finished_one_again() -> None:
    done = subprocess.run(
        [sys.executable, "-P", DEMO], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "201 times a job finished, each job once" in done.stdout
    assert "interrupted" in done.stdout
    assert "no acknowledged job was lost" in done.stdout
    assert "BROKEN" not in done.stdout


def test_each_broken_promise_is_noticed(demo: ModuleType) -> None:
    def story(**changes: object) -> object:
        good = demo.Story(put={1, 2}, runs=Counter({1: 1, 2: 2}), finished=Counter({1: 1, 2: 1}))
        good.cut_off, good.opened = Counter({2: 1}), 2
        for name, value in changes.items():
            setattr(good, name, value)
        return good

    assert demo.judge(story(), [1, 2]) == []
    assert demo.judge(story(), [1, 2, 3]) == ["job 3 was acknowledged and is gone"]
    for broken in (
        story(runs=Counter({1: 2, 2: 2})),
        story(finished=Counter({1: 2, 2: 1})),
        story(finished=Counter({2: 1})),
        story(runs=Counter({1: 1, 2: 1})),
        story(opened=3),
    ):
        assert len(demo.judge(broken, [1, 2])) == 1
