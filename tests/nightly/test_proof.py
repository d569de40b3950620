"""A proof that found something says so, in its line and in its exit code."""

from __future__ import annotations

import json

import proof
import pytest


def test_violations_make_the_exit_code_1_and_are_all_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = [f"job {number} is lost" for number in range(proof.SHOWN + 1)]
    assert proof.conclude("storm", 7, {"kills": 3}, found) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["proof"], answer["seed"], answer["tried"]) == ("storm", 7, {"kills": 3})
    assert answer["violations"] == found[: proof.SHOWN]
    assert answer["number of violations"] == len(found)


def test_none_makes_it_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert proof.conclude("storm", 7, {}, []) == 0
    assert json.loads(capsys.readouterr().out)["violations"] == []


def test_sizes_are_options_with_defaults() -> None:
    parser = proof.parser("Try it.", states=(10, "how often"), max_depth=(3, "how deep"))
    arguments = parser.parse_args(["--seed", "5", "--max-depth", "2"])
    assert (arguments.seed, arguments.states, arguments.max_depth) == (5, 10, 2)


def test_without_a_terminal_progress_is_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    way = proof.Progress("states", 1000)
    for done in range(1001):
        way.show(done)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == proof.LINES + 1
    assert lines[-1] == "1000 of 1000 states"
