"""A proof says what it found, in its line and in its exit code, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import proof
import pytest
from short import PATIENCE

HERE = Path(__file__).parent
SCRIPTS = [
    "corrupt",
    "coverage",
    "crash_sim",
    "fuzz",
    "inject_errors",
    "kill_storm",
    "models",
    "mutants",
    "soak",
]


def answer_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_violations_make_the_exit_code_1_and_are_all_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = [f"job {number} is lost" for number in range(proof.SHOWN + 1)]
    with proof.Answer("storm", 7) as answer:
        answer.tried["kills"] = 3
        answer.violations += found
    assert answer.code == 1
    said = answer_of(capsys)
    assert (said["proof"], said["seed"], said["tried"]) == ("storm", 7, {"kills": 3})
    assert said["violations"] == found[: proof.SHOWN]
    assert said["number of violations"] == len(found)


def test_none_makes_it_0(capsys: pytest.CaptureFixture[str]) -> None:
    with proof.Answer("storm", 7) as answer:
        answer.tried = {"kills": {"a worker": 1, "a producer": 0}}
    assert answer.code == 0
    assert answer_of(capsys)["violations"] == []


@pytest.mark.parametrize("tried", [{}, {"states": 0}, {"states": {}, "power cuts": [0, 0]}])
def test_who_tried_nothing_has_proved_nothing(
    tried: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    with proof.Answer("storm", 7) as answer:
        answer.tried = tried
    assert answer.code == 1
    assert answer_of(capsys)["violations"] == ["nothing was tried"]


def test_what_it_cannot_go_on_for_is_told_beside_what_was_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with proof.Answer("storm", 7) as answer, answer.place("storm") as place:
        answer.violations.append("job 1 is lost")
        raise OSError("no memory")
    said = answer_of(capsys)
    assert answer.code == 1
    assert said["violations"] == ["job 1 is lost", "it could not go on: OSError: no memory"]
    assert said["tried"] == {"kept in": str(place)}
    place.rmdir()


def test_a_place_is_removed_when_there_is_nothing_to_be_seen() -> None:
    with proof.Answer("storm", 7) as answer, answer.place("storm") as place:
        answer.tried["kills"] = 1
    assert not place.exists()
    with proof.Answer("storm", 7) as answer, answer.place("storm") as place:
        raise KeyboardInterrupt
    assert not place.exists()


def test_sizes_are_options_with_defaults() -> None:
    states, depth = proof.Size(10, "how often"), proof.Size(3, "how deep")
    parser = proof.parser("Try it.", states=states, max_depth=depth)
    arguments = parser.parse_args(["--seed", "5", "--max-depth", "2"])
    assert (arguments.seed, arguments.states, arguments.max_depth) == (5, 10, 2)


@pytest.mark.parametrize("words", [["--seed", "-1"], ["--states", "0"], ["--states", "-1"]])
def test_sizes_that_make_no_sense_are_wrong_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parser = proof.parser("Try it.", states=proof.Size(10, "how often"))
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words)
    assert ended.value.code == 2
    assert "is not one of" in capsys.readouterr().err


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_takes_a_seed_and_says_what_it_does(script: str) -> None:
    command = [sys.executable, HERE / f"{script}.py"]
    helped, refused = (
        subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        for words in (["--help"], ["--seed", "-1"])
    )
    assert (helped.returncode, refused.returncode) == (0, 2)
    assert "--seed SEED" in helped.stdout
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("way_to_end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("crash_sim", ["--exhaustive", "0"]),
        ("fuzz", ["--seconds", "600", "frame"]),
        ("kill_storm", []),
    ],
)
def test_an_interrupted_proof_says_so_and_leaves_nothing_running(
    script: str, options: list[str], way_to_end: signal.Signals, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, HERE / f"{script}.py", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as run:
        assert run.stderr is not None
        assert any(" of " in line for line in run.stderr), "it shows how far it is"
        run.send_signal(way_to_end)
        said, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 1
    [violation] = json.loads(said)["violations"]
    assert violation.startswith("interrupted")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)


def test_without_a_terminal_progress_is_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    way = proof.Progress("states", 1000)
    for done in range(1001):
        way.show(done)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == proof.LINES + 1
    assert lines[-1] == "1000 of 1000 states"
