"""A container of a storm: process 1 of its own PID namespace, with a second one beside it.

    group.py LOG FILES NAME ROLES

Both are members (see member.py) under a host name of their own, NAME; the second one only works.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import member


def main(log: str, files: str, name: str, roles: str) -> None:
    assert os.getpid() == 1
    socket.sethostname(name)
    program = Path(__file__).with_name("member.py")
    command = [sys.executable, "-P", program, log, files, f"{name}-second", "work"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as second:
        member.main(log, files, name, roles)
        assert second.stdin is not None
        second.stdin.close()
        assert second.wait() == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
