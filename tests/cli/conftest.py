"""Logs to look at, and the command to look with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("click", reason="the command needs the extra `cli`")
pytest.importorskip("rich", reason="the command needs the extra `cli`")

from shop import PATIENCE, QUPLOG, Command, Shop, environment


@pytest.fixture
def quplog(tmp_path: Path) -> Command:
    """Run `quplog` with these arguments in a directory of its own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [QUPLOG, *map(str, arguments)],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return run


@pytest.fixture
def live_shop(tmp_path: Path) -> Iterator[Shop]:
    """The shop while its owner has the log open."""
    shop = Shop(tmp_path / "shop")
    yield shop
    shop.jq.close()


@pytest.fixture
def shop(live_shop: Shop) -> Shop:
    """The shop after its owner has closed the log."""
    live_shop.jq.close()
    return live_shop
