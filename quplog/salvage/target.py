"""The directory that a salvage writes: under another name until it is complete and durable."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


class Target:
    """The new directory, under another name until it is complete."""

    def __init__(self, old: Path, new: Path) -> None:
        source, self._path = old.resolve(), new.resolve()
        if source == self._path or source in self._path.parents or self._path in source.parents:
            message = f"{new} and {old} are not apart: name a directory elsewhere"
            raise ValueError(message)
        if new.exists() and (not new.is_dir() or any(new.iterdir()) or new.is_mount()):
            message = f"{new} exists and is not an empty directory: name a new one"
            raise FileExistsError(message)
        self.incomplete = self._path.with_name(f"{self._path.name}.incomplete")
        if self.incomplete.exists():
            message = (
                f"{self.incomplete} is left from a salvage that was cut short: remove it first"
            )
            raise FileExistsError(message)

    def __enter__(self) -> None:
        """Make it."""
        self.incomplete.mkdir(mode=0o700)

    def complete(self) -> None:
        """Give it its name, durably."""
        _sync_directory(self.incomplete)
        self.incomplete.rename(self._path)
        _sync_directory(self._path.parent)

    def __exit__(self, *_: object) -> None:
        """Remove it, if it did not become complete."""
        shutil.rmtree(self.incomplete, ignore_errors=True)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
