"""`quplog log`: the records of a log, one by one, as they were and as they are written."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from quplog.cli.output import moment, size, write_json, write_line
from quplog.cli.places import directory_argument, json_option
from quplog.cli.stored import for_json
from quplog.errors import JobNotFound, LogCorrupt
from quplog.log_store import LogReader
from quplog.printable import plain
from quplog.records import LogRecord, names_in

LOOK_AGAIN_S = 0.2
"""How long `--follow` waits at the end before it looks for more."""


@click.command()
@directory_argument
@click.option(
    "--from",
    "lsn",
    metavar="LSN",
    type=click.IntRange(0, (1 << 63) - 1),
    default=0,
    help="Begin with the first record from there on.",
)
@click.option("--follow", is_flag=True, help="Go on with what is written, until Ctrl-C.")
@json_option
def log(directory: Path, *, lsn: int, follow: bool, as_json: bool) -> None:
    """Print every record of the log, one a line."""
    try:
        for record in _records(directory, lsn, follow=follow):
            if as_json:
                write_json(_fields(record), indent=None)
            else:
                write_line(_line(record))
    except KeyboardInterrupt:
        if not follow:
            raise


def _records(directory: Path, lsn: int, *, follow: bool) -> Iterator[LogRecord]:
    """The records from `lsn` on; with `follow` without end, until Ctrl-C.

    One reader goes on where it has come to the end, into new files and past removed ones. Raises
    LogCorrupt at damage.
    """
    with LogReader(directory, lsn if _is_frame(directory, lsn) else 0) as reader:
        while True:
            yield from (record for record in reader if record.lsn >= lsn)
            damage = reader.report().message
            if damage:
                raise LogCorrupt(damage)
            if not follow:
                return
            sys.stdout.flush()
            time.sleep(LOOK_AGAIN_S)


def _is_frame(directory: Path, lsn: int) -> bool:
    """Whether a frame begins there, so that reading can, too."""
    try:
        with LogReader(directory, lsn) as reader:
            first = next(iter(reader), None)
    except JobNotFound:  # no such place in the log
        return False
    return first is not None and first.frame_lsn == lsn


def _fields(record: LogRecord) -> dict[str, object]:
    """A record's fields, without those that its type does not have."""
    fields: dict[str, object] = {
        "lsn": record.lsn,
        "frame_lsn": record.frame_lsn,
        "time": moment(record.time_us),
        "type": record.type,
    }
    fields |= {
        name: value
        for name, value in record._asdict().items()
        if name not in {"time_us", "due_us", "data"} and name not in fields and value
    }
    if record.due_us:
        fields["due_at"] = moment(record.due_us)
    if record.type == "worker":
        fields["tasks"] = names_in(record.data)
    elif record.data:
        fields["data"] = for_json(record.data)
    return fields


def _line(record: LogRecord) -> str:
    """A record for a person."""
    parts = [f"{record.lsn:>12}", str(moment(record.time_us)), f"{record.type:<8}"]
    parts += [f"{name}={value}" for name, value in _named(record).items() if value]
    if record.type == "worker":
        parts.append(f"tasks={','.join(names_in(record.data))}")
    elif record.data:
        parts.append(f"data={size(len(record.data))}")
    return "  ".join(parts)


def _named(record: LogRecord) -> dict[str, object]:
    return {
        "job": record.id,
        "task": plain(record.task),
        "queue": plain(record.queue),
        "name": plain(record.name),
        "state": record.state,
        "due": moment(record.due_us),
        "attempt": record.attempt,
        "priority": record.priority,
        "reason": record.reason,
        "epoch" if record.type == "open" else "process": record.number,
        "slot": record.slot,
        "claim": record.token,
    }
