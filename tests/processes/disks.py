"""Small disks that are really full, or really fail: a tmpfs, and ext4 in a file.

They take root. Where nothing can be mounted, the tests that need one are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BLOCK = 4096


class Disk:
    """A mounted file system of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave not a single block."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (64 * BLOCK, BLOCK):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def relieve(self) -> None:
        """Give back what fill() has taken."""
        os.truncate(self._ballast, 0)

    def resize(self, size: str) -> None:
        """Make a tmpfs larger, or smaller."""
        _run("mount", "-o", f"remount,size={size}", str(self.path))


@contextmanager
def tmpfs(path: Path, size: str) -> Iterator[Disk]:
    """A tmpfs of so many bytes, like "4m"."""
    path.mkdir()
    with _mounted(path, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        yield Disk(path)


@contextmanager
def ext4(path: Path, size: str, image: Path, *options: str) -> Iterator[Disk]:
    """An ext4 in the file `image`, which takes blocks as they are written."""
    path.mkdir()
    _run("truncate", "-s", size, str(image))
    mkfs = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if mkfs is None:
        pytest.skip("mkfs.ext4 is missing, which scripts/machine.sh would have installed")
    _run(mkfs, "-q", "-m", "0", *options, str(image))
    with _mounted(path, "-o", "loop", str(image)):
        yield Disk(path)


class FailingDisk(Disk):
    """An ext4 that takes writes, and fails to sync them while the disk below it is full."""

    def __init__(self, path: Path, below: Disk, image: Path) -> None:
        super().__init__(path)
        self._below = below
        self._image = image

    def break_down(self) -> None:
        """Blocks that were written before can be written again; new ones get lost."""
        os.sync()
        self._below.fill()

    def repair(self) -> None:
        self._below.relieve()

    def remount(self) -> None:
        """Forget what is only in memory because it could not be written; nobody may use it."""
        _run("umount", str(self.path))
        _run("mount", "-o", "loop", str(self._image), str(self.path))


@contextmanager
def failing(path: Path, below: Path) -> Iterator[FailingDisk]:
    """It has no journal, because one would make it read-only at the first failure."""
    image = below / "image"
    with tmpfs(below, "16m") as disk, ext4(path, "64m", image, "-O", "^has_journal"):
        yield FailingDisk(path, disk, image)


@contextmanager
def _mounted(path: Path, *arguments: str) -> Iterator[None]:
    try:
        _run("mount", *arguments, str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        pytest.skip(f"NOT TESTED, since nothing can be mounted here: {reason}")
    try:
        yield
    finally:
        _run("umount", "--lazy", str(path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
