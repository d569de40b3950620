"""What holds for every test."""

from __future__ import annotations

import signal


def pytest_sessionstart() -> None:
    """Let Ctrl-C reach what tests start: who runs in the background of a script may ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
