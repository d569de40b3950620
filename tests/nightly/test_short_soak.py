"""A short soak: the programs of the long one, its kills and stops, and the judge of its jobs.

What only a long one can find, growth, is planted in its measurements.
"""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import pytest
from samples import MEASURES, Samples
from short import short
from soak import LASTING, Soak
from soak_judge import JUDGED_FROM, MIB
from soak_plot import draw, write_csv


def test_soak(tmp_path: Path) -> None:
    picture = tmp_path / "soak.svg"
    tried = short("soak", "--seconds", 12, "--rate", 50, "--seed", 2, "--plot", picture)
    assert tried["jobs"] >= 300
    assert tried["ended as"].keys() >= {"succeeded", "failed"}
    assert sum(tried["kills"].values()) >= 1
    with (tmp_path / "soak.csv").open(newline="") as file:
        measures = {row["measure"] for row in csv.DictReader(file)}
    assert measures >= {"memory", "disk", "descriptors"}
    if find_spec("matplotlib") is None:
        assert "matplotlib is missing" in tried["picture"]
    else:
        assert picture.read_text("utf-8").startswith("<?xml")


def said_of(tmp_path: Path, who: str, measure: str, leak: float) -> list[str]:
    """What is said of a soak in which one thing grows by `leak` a second."""
    soak = Soak(tmp_path, 2 * JUDGED_FROM, 200, 1)
    usual = dict.fromkeys(MEASURES, 20.0) | {"memory": 25.0 * MIB}
    for at in range(2 * JUDGED_FROM):
        for each in LASTING:
            for name, value in usual.items():
                more = leak * at if (each, name) == (who, measure) else 0
                soak.samples.add(each, name, at, value + more)
        more = leak * at if who == "log" else 0
        soak.samples.add("log", "disk", at, 4 * soak.segment + more)
        soak.samples.add("log", "live", at, 500_000)
    return soak.violations()


@pytest.mark.parametrize(
    ("who", "measure", "leak"),
    [
        ("work", "memory", 30_000),
        ("look", "descriptors", 0.05),
        ("reopen", "threads", 0.05),
        ("produce", "held", 50_000),
        ("log", "disk", 50_000),
    ],
)
def test_a_planted_leak_is_a_violation(tmp_path: Path, who: str, measure: str, leak: float) -> None:
    assert said_of(tmp_path, who, measure, 0) == []
    found = said_of(tmp_path, who, measure, leak)
    assert "grew" in found[0]


def test_without_matplotlib_there_is_a_table_and_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("soak_plot.find_spec", lambda _: None)
    samples = Samples()
    samples.add("log", "disk", 1.5, 4096)
    assert "matplotlib is missing" in draw(samples, [], tmp_path / "soak.png")
    assert "pip install" in capsys.readouterr().err
    table = write_csv(samples, tmp_path / "new" / "soak.csv")
    assert table.read_text("utf-8").splitlines()[1] == "1.500,log,disk,4096"
    assert not (tmp_path / "soak.png").exists()
