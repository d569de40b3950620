"""Memory, disk and descriptors over the time, as a picture and as a table (CSV).

The picture needs matplotlib, the group `soak` of pyproject.toml; without it there is the table.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from samples import Samples

MIB = 1 << 20
PANELS = (
    ("memory", "memory of each program, MiB", MIB),
    ("disk", "disk, MiB: the log, and what of it counts", MIB),
    ("descriptors", "open descriptors of each program", 1),
    ("threads", "threads of each program", 1),
)
ON_DISK = ("disk", "live", "held")


MISSING = "no picture: matplotlib is missing (pip install --group soak)"


def write_csv(samples: Samples, path: Path) -> Path:
    """All measurements, one a line: seconds, whose it is, what was measured, the value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["seconds", "who", "measure", "value"])
        for (who, measure), series in samples.series.items():
            table.writerows([f"{p.at:.3f}", who, measure, f"{p.value:.0f}"] for p in series)
    return path


def draw(samples: Samples, events: Sequence[tuple[float, str]], path: Path) -> str:
    """Draw all series; `events` are upright lines. Where the picture is, or why there is none."""
    if find_spec("matplotlib") is None:
        print(MISSING, file=sys.stderr)
        return MISSING
    from matplotlib.figure import Figure  # noqa: PLC0415  # it need not be there

    figure = Figure(figsize=(12, 16), layout="constrained")
    for axes, (measure, title, unit) in zip(figure.subplots(len(PANELS), 1), PANELS, strict=True):
        _draw_panel(axes, samples, ON_DISK if measure == "disk" else (measure,), unit)
        for at, what in events:
            axes.axvline(at, color="red" if "kill" in what else "grey", alpha=0.25, linewidth=0.7)
        axes.set_title(title)
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left", fontsize="small")
    axes.set_xlabel("seconds; red: somebody is killed; grey: stopped, paused or resumed")
    figure.savefig(path)
    return str(path)


def _draw_panel(axes: Any, samples: Samples, measures: Sequence[str], unit: int) -> None:
    for (who, measure), series in samples.series.items():
        if measure in measures:
            label = who if len(measures) == 1 else f"{measure} of {who}"
            times, values = [p.at for p in series], [p.value / unit for p in series]
            axes.plot(times, values, label=label, linewidth=0.8)
