"""What a process and a directory take, as the kernel tells it: memory, disk, descriptors, threads.

A file that was removed keeps its blocks while anybody has it open, so that belongs to the disk too:
it is the measure `held` of the process that has it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from bounded import Point

MEASURES = ("memory", "descriptors", "threads", "held")
BLOCK = 512


def of_process(pid: int) -> dict[str, float] | None:
    """Its measures, in bytes and numbers; None: it has ended."""
    place = Path(f"/proc/{pid}")
    try:
        words = (place / "status").read_text().split()
        names = os.listdir(place / "fd")  # noqa: PTH208  # a name may be gone by now
    except OSError:
        return None
    if "VmRSS:" not in words:  # a zombie has no memory
        return None
    return {
        "memory": 1024.0 * int(words[words.index("VmRSS:") + 1]),
        "threads": float(words[words.index("Threads:") + 1]),
        "descriptors": float(len(names)),
        "held": float(sum(_removed(place / "fd" / name) for name in names)),
    }


def _removed(descriptor: Path) -> int:
    """The bytes of the file, if it has no name any more."""
    try:
        found = descriptor.stat()
    except OSError:  # it was closed meanwhile
        return 0
    return found.st_blocks * BLOCK if found.st_nlink == 0 else 0


def of_directory(path: Path) -> float:
    """All bytes that its files take on the disk."""
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.stat().st_blocks * BLOCK
        except OSError:  # compaction has removed it
            continue
    return float(total)


class Samples:
    """Series by who it is about and what was measured."""

    def __init__(self) -> None:
        self.series: defaultdict[tuple[str, str], list[Point]] = defaultdict(list)

    def add(self, who: str, measure: str, at: float, value: float) -> None:
        """One more point."""
        self.series[who, measure].append(Point(at, value))

    def add_process(self, who: str, pid: int, at: float) -> None:
        """Measure it now, if it lives."""
        for measure, value in (of_process(pid) or {}).items():
            self.add(who, measure, at, value)
