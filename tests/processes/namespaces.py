"""Programs that are process 1 of PID namespaces of their own, as in containers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from storm import Member

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--uts", "--kill-child=SIGKILL")
AS_ROOT = ("--user", "--map-root-user")
"""For those who are not root: inside they are."""


def namespace_command() -> tuple[str, ...]:
    """What stands before a command that is to be process 1; skips the test if there is no way."""
    said = "there is no unshare"
    for command in UNSHARE, (*UNSHARE, *AS_ROOT):
        try:
            tried = subprocess.run(
                [*command, sys.executable, "-c", "import os; print(os.getpid())"],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            break
        if tried.stdout == "1\n":
            return command
        said = tried.stderr.strip()
    pytest.skip(f"NOT TESTED: this machine gives nobody a PID namespace of his own: {said}")


class Group(Member):
    """Two processes in a PID namespace; who is killed is the first, and with it all."""

    def kill(self) -> str:
        parent = self.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children")
        for first in children.read_text().split():
            os.kill(int(first), signal.SIGKILL)
        super().kill()
        return self.name
