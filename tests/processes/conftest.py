"""Fixtures of the tests with several processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from apps import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A folder for a log and the apps that use it; they are killed in the end."""
    place = Place(tmp_path)
    yield place
    for app in place.apps:
        app.clear()
