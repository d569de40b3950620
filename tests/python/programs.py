"""What the tests of the Python layer watch: child programs, threads and open files.

No test here depends on how long something takes: they wait for events, and PATIENCE is only the
guard that ends a test that hangs.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import threading
from pathlib import Path

PATIENCE = 60.0
"""Seconds after which a test gives up waiting."""

F_OFD_SETLK = 37  # of fcntl(2); the module fcntl names it from Python 3.13 on
OPEN_BYTE, COMPACT_BYTE, APPEND_BYTE = 0, 1, 3  # csrc/lock.h


def hold(path: Path, byte: int) -> int:
    """Lock one byte of the lock file as another process would; closing the descriptor ends it."""
    descriptor = os.open(path / "lock", os.O_RDWR)
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    fcntl.fcntl(descriptor, F_OFD_SETLK, wanted)
    return descriptor


def quplog_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("quplog-")}


def open_files(path: Path) -> list[str]:
    """What this process has open below `path`."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = descriptor.readlink()
        except OSError:  # it was closed while we looked
            continue
        if target.is_relative_to(path):
            found.append(str(target))
    return found


class Program:
    """Another Python program, in the directory of the test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """The next line that it prints; "" at the end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def lines(self) -> list[str]:
        """All lines that are left, until it ends."""
        assert self.process.stdout is not None
        return self.process.stdout.read().splitlines()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return self.process.wait(PATIENCE)
