"""What the README shows works: its Python runs, its commands exist with the options it names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tree import ROOT

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
README = ROOT / "README.md"


def blocks(text: str, language: str) -> list[str]:
    return [body for name, body in FENCE.findall(text) if name == language]


def examples(text: str) -> list[tuple[str, str | None]]:
    """Each Python block with the text block that follows it, if one does: what it prints."""
    fences = FENCE.findall(text)
    following = [*fences[1:], ("", "")]
    return [
        (body, after if language == "text" else None)
        for (name, body), (language, after) in zip(fences, following, strict=True)
        if name == "python"
    ]


def commands(text: str) -> list[list[str]]:
    """The words of every line that begins with '$ ', comments left out."""
    lines = [line for body in blocks(text, "console") for line in body.splitlines()]
    return [line[2:].split("#")[0].split() for line in lines if line.startswith("$ ")]


README_TEXT = README.read_text("utf-8")
EXAMPLES = examples(README_TEXT)
COMMANDS = commands(README_TEXT)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_python_in_the_readme_runs(example: tuple[str, str | None], tmp_path: Path) -> None:
    source, expected = example
    script = tmp_path / "example.py"
    script.write_text(source, "utf-8")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if expected is not None:
        assert done.stdout == expected


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_in_the_readme_exist(words: list[str]) -> None:
    if words[0].startswith("./"):
        script = ROOT / words[0]
        assert script.is_file()
        assert os.access(script, os.X_OK)
    elif words[0] == "quplog":
        shown = help_of(words[1])
        missing = [word for word in words if word.startswith("--") and word not in shown]
        assert missing == []
    else:
        assert words[0] in {"pip", "git", "cd"}


def help_of(command: str) -> str:
    pytest.importorskip("click")
    done = subprocess.run(
        [Path(sys.executable).parent / "quplog", command, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_has_examples_and_commands() -> None:
    assert len(EXAMPLES) >= 2
    assert {"./demo", "./test", "quplog"} <= {words[0] for words in COMMANDS}
