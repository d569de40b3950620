"""The files of the project, for the tests that judge the tree itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".git", "build", "dist", ".venv", "__pycache__"}
SKIPPED_SUFFIXES = (".egg-info", "_cache")


def files(*suffixes: str) -> list[Path]:
    """Every file of the project with one of these suffixes (none given: every text file).

    In a clone these are the files that git knows or would add; elsewhere all that are there.
    """
    found = [path for path in _listed() if not suffixes or path.suffix in suffixes]
    assert found, f"no {suffixes or 'file'} in {ROOT}: the listing is broken"
    return found


def _listed() -> list[Path]:
    known = _known_to_git()
    candidates = known or [path for path in ROOT.rglob("*") if not _skipped(path)]
    return sorted(path for path in candidates if path.is_file() and not path.is_symlink())


def _known_to_git() -> list[Path]:
    """The files of a clone; none if this is no clone, or the machine has no git."""
    if shutil.which("git") is None:
        return []
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name]


def _skipped(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(part in SKIPPED or part.endswith(SKIPPED_SUFFIXES) for part in parts)
