"""Functions fit on a screen and lines in a window: at most 70 lines and 100 columns, everywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tree import ROOT, files

LINES_MAX = 70
COLUMNS_MAX = 100


def python_functions(source: str) -> Iterator[tuple[str, int, int]]:
    """(name, first line, number of lines) of every function; decorators do not count."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1


def c_functions(source: str) -> Iterator[tuple[str, int, int]]:
    """The same for C in the style of this house: a function's last brace stands in column 0."""
    start = 0
    head = ""
    inside = False
    for number, line in enumerate(source.splitlines(), 1):
        if inside:
            if line.startswith("}"):
                yield head, start, number - start + 1
                inside, start = False, 0
            continue
        if line[:1].isalpha() or line.startswith("_"):
            start, head = number, line.strip()
        is_body = line.rstrip().endswith("{") and (line.startswith("{") or ")" in line)
        if start and is_body and " = {" not in line:
            inside = True
        elif line.rstrip().endswith((";", "}")):
            start = 0


def too_long(path: Path) -> list[str]:
    source = path.read_text("utf-8")
    functions = python_functions(source) if path.suffix == ".py" else c_functions(source)
    return [
        f"{path.relative_to(ROOT)}:{line}: {length} lines: {name}"
        for name, line, length in functions
        if length > LINES_MAX
    ]


def test_the_measure_sees_functions_of_both_languages() -> None:
    python = "class A:\n    @b\n    def f(self):\n        return [\n            1,\n        ]\n"
    assert list(python_functions(python)) == [("f", 3, 4)]
    c = "struct s {\n    int a;\n};\nstatic int f(int a,\n    int b)\n{\n    return a;\n}\n"
    assert list(c_functions(c)) == [("static int f(int a,", 4, 5)]
    inline = "int g(void) {\n}\nstatic const struct io t = {\n    .a = f(1),\n};\n"
    assert list(c_functions(inline)) == [("int g(void) {", 1, 2)]


def test_functions_fit_on_a_screen() -> None:
    sources = files(".py", ".c", ".h")
    counted = sum(len(list(c_functions(p.read_text()))) for p in sources if p.suffix == ".c")
    assert counted > len([p for p in sources if p.suffix == ".c"]), "C functions are not seen"
    assert [complaint for path in sources for complaint in too_long(path)] == []


def test_lines_fit_in_a_window() -> None:
    wide = [
        f"{path.relative_to(ROOT)}:{number}: {len(line)} columns"
        for path in files(".py", ".c", ".h", ".sh", ".toml", ".cmake")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > COLUMNS_MAX
    ]
    assert wide == []


def test_no_tabs_and_no_trailing_space() -> None:
    untidy = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files(".py", ".c", ".h", ".sh", ".toml", ".md")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if "\t" in line or line != line.rstrip()
    ]
    assert untidy == []
