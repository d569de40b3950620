"""What commands print: tables for people, JSON for programs, and nothing that harms a terminal.

Names, errors and results come from a log that anybody may have written, so all text from there goes
through `plain`: what cannot be printed is shown as an escape. Colour and progress bars appear on a
terminal only. Answers go to standard output, all else to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from quplog.printable import plain

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FILE_WIDTH = 100_000
"""The width of what is no terminal: nothing is cut off or wrapped in a file."""
STYLES = {
    "failed": "red",
    "retrying": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "cancelled": "dim",
}
KIB = 1024
UNITS = ("KiB", "MiB", "GiB", "TiB")


def moment(time_us: int) -> str | None:
    """Microseconds since 1970 as ISO 8601 in UTC; None for 0, which means "no time".

    A time that no calendar holds, as only a damaged or foreign log has it, is shown as its number.

    >>> moment(1_500_000)
    '1970-01-01T00:00:01.500000+00:00'
    """
    if time_us == 0:
        return None
    try:
        return (EPOCH + timedelta(microseconds=time_us)).isoformat()
    except OverflowError:
        return f"{time_us} us"


def size(count: int) -> str:
    """A number of bytes for a person.

    >>> size(1536)
    '1.5 KiB'
    """
    if count < KIB:
        return f"{count} B"
    value, unit = float(count), 0
    while value >= KIB and unit < len(UNITS):
        value, unit = value / KIB, unit + 1
    return f"{value:.1f} {UNITS[unit - 1]}"


def write_json(value: object, *, indent: int | None = 2) -> None:
    """One JSON value; ASCII, so that it can carry any text and harm no terminal."""
    text = json.dumps(value, indent=indent, ensure_ascii=True)
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")


def write_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns under headings; numbers to the right, states in their colour."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [[_cell(value) for value in row] for row in rows]
    for index, heading in enumerate(headings):
        numeric = bool(cells) and all(row[index][1] for row in cells)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*(text for text, _ in row))
    _print(table)


def write_facts(facts: Iterable[tuple[str, object]]) -> None:
    """A name and what it is, one a line."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, _cell(value)[0])
    _print(table)


def write_heading(words: str) -> None:
    """A line above what belongs together."""
    sys.stdout.write("\n")
    write_line(words, style="bold")


def write_line(words: str, *, style: str = "") -> None:
    """One line; `style` is a colour for terminals."""
    if style and sys.stdout.isatty():
        _console().print(Text(plain(words), style=style), soft_wrap=True)
    else:
        sys.stdout.write(f"{plain(words)}\n")


def write_text(text: str) -> None:
    """Text of several lines, such as a traceback, indented."""
    for line in text.splitlines():
        write_line(f"  {line}")


def complain(words: str) -> None:
    """One sentence to standard error."""
    sys.stderr.write(f"quplog: {plain(words)}\n")
    sys.stderr.flush()


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while work goes on, if that is a terminal.

    Yields a function to be told how much of `total` is done.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn(label), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(label, total=max(total, 1))
        yield lambda done: bar.update(task, completed=done)


def _print(table: Table) -> None:
    """Print it in the terminal's width and colours, or in full width without."""
    console = _console()
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())


class _Console(Console):
    """A console that leaves it to its caller when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _console() -> Console:
    if sys.stdout.isatty():
        return _Console(highlight=False, markup=False, emoji=False)
    return _Console(
        highlight=False,
        markup=False,
        emoji=False,
        width=FILE_WIDTH,
        color_system=None,
        force_terminal=False,
    )


def _cell(value: object) -> tuple[Text, bool]:
    """A value as text, and whether it is a number."""
    if value is None:
        return Text("-", style="dim"), True
    if isinstance(value, bool):
        return Text("yes" if value else "no"), False
    if isinstance(value, int):
        return Text(str(value)), True
    words = plain(str(value))
    return Text(words, style=STYLES.get(words, "")), False
