"""A fork takes nothing of the log with it: no lock, no slot, no half-done work of other threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from apps import PATIENCE, Place, wait_until
from test_dead_workers import SOON

PRELOAD = Path(__file__).with_name("preload.py")


@pytest.mark.parametrize(("method", "children"), [("os.fork", 150), ("fork", 50), ("spawn", 10)])
def test_children_use_at_once_what_was_made_before_the_fork(
    place: Place, method: str, children: int
) -> None:
    command = [sys.executable, PRELOAD, place.log, place.files, method, str(children)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        try:
            said, _ = server.communicate(timeout=PATIENCE)
        finally:
            try:
                os.killpg(server.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    assert said == "done\n"
    place.judge()
