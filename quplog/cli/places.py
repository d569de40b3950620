"""Which log a command is about: its directory argument, and opening it to be read only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

from quplog.log_store import LogStore

Command = TypeVar("Command", bound=Callable[..., object])


def directory_argument(command: Command) -> Command:
    """Give a command its first argument, DIR."""
    kind = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.argument("directory", metavar="DIR", type=kind)(command)


def json_option(command: Command) -> Command:
    """Give a command its `--json`."""
    return click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")(
        command
    )


@contextmanager
def reading(directory: Path, *, until_lsn: int = 0, until_us: int = 0) -> Iterator[LogStore]:
    """The jobs of the log as they are now, or were before `until_lsn` or at `until_us`.

    Takes no lock and changes nothing.
    """
    store = LogStore.open(directory, read_only=True, until_lsn=until_lsn, until_us=until_us)
    try:
        yield store
    finally:
        store.close()
