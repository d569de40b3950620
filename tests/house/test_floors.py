"""A file includes or imports only files of lower floors, so that nothing can become a circle.

The floors are those that CONTRIBUTING.md shows; what people read there is what is checked here.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tree import ROOT

ENTRY = re.compile(r"^  ((?:[\w/]+\.(?:h|c|py) )+) *(-|\d+)  ")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
EVERYWHERE = -1
"""The floor of what has none: the public header, which any file may include."""


def house() -> dict[str, int]:
    """The floors by path, as CONTRIBUTING.md shows them."""
    floors: dict[str, int] = {}
    folder = ""
    for line in (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines():
        heading = re.match(r"^(csrc|quplog)/ +floor", line)
        if heading:
            folder = heading[1]
        elif line.startswith("```"):
            folder = ""
        entry = ENTRY.match(line)
        if folder and entry:
            floor = EVERYWHERE if entry[2] == "-" else int(entry[2])
            floors.update({f"{folder}/{name}": floor for name in entry[1].split()})
    return floors


def sources(folder: str, *suffixes: str) -> list[Path]:
    found = [path for suffix in suffixes for path in (ROOT / folder).rglob(f"*{suffix}")]
    return sorted(path for path in found if path.is_file())


def c_includes(path: Path) -> set[str]:
    return {f"csrc/{name}" for name in INCLUDE.findall(path.read_text("utf-8"))}


def python_imports(path: Path) -> set[str]:
    """The modules of quplog that a module imports anywhere, as paths in the tree."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are written in full"
            module = node.module or ""
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return {found for name in names if (found := module_path(name)) is not None}


def module_path(name: str) -> str | None:
    """The file of the longest module that this dotted name begins with; None: not of quplog."""
    parts = name.split(".")
    if parts[0] != "quplog" or parts[1:2] == ["_quplog"]:
        return None
    for length in range(len(parts), 0, -1):
        base = "/".join(parts[:length])
        for candidate in (f"{base}.py", f"{base}/__init__.py"):
            if (ROOT / candidate).is_file():
                return candidate
    raise AssertionError(f"{name} is no module of quplog")


def breaches(path: str, uses: set[str], floors: dict[str, int]) -> list[str]:
    own = {path, str(Path(path).with_suffix(".h"))}
    return [
        f"{path} (floor {floors[path]}) uses {used} (floor {floors[used]})"
        for used in sorted(uses - own)
        if floors[used] >= floors[path]
    ]


def test_every_file_has_a_floor_and_every_floor_its_files() -> None:
    present = {
        str(path.relative_to(ROOT))
        for path in [*sources("csrc", ".c", ".h"), *sources("quplog", ".py")]
    }
    assert present == set(house())


def test_c_includes_only_lower_floors() -> None:
    floors = house()
    paths = sources("csrc", ".c", ".h")
    assert paths
    found = [
        complaint
        for path in paths
        for complaint in breaches(str(path.relative_to(ROOT)), c_includes(path), floors)
    ]
    assert found == []


def test_python_imports_only_lower_floors() -> None:
    floors = house()
    paths = sources("quplog", ".py")
    assert paths
    found = [
        complaint
        for path in paths
        for complaint in breaches(str(path.relative_to(ROOT)), python_imports(path), floors)
    ]
    assert found == []


def test_only_the_embedded_store_knows_the_compiled_module() -> None:
    knowing = [
        str(path.relative_to(ROOT))
        for path in sources("quplog", ".py")
        if re.search(r"^\s*(from|import)\b.*\b_quplog\b", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert knowing == ["quplog/log_store.py"]


def test_an_upward_use_is_seen() -> None:
    floors = {"csrc/a.c": 1, "csrc/a.h": 1, "csrc/b.h": 1, "csrc/c.h": 0}
    assert breaches("csrc/a.c", {"csrc/a.h", "csrc/c.h"}, floors) == []
    assert breaches("csrc/a.c", {"csrc/b.h"}, floors) == [
        "csrc/a.c (floor 1) uses csrc/b.h (floor 1)"
    ]
