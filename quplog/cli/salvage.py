"""`quplog salvage`: a new log with every job that can still be read of a damaged one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import click

from quplog.cli.damages import damage_for_json, write_damages
from quplog.cli.output import (
    progress,
    size,
    write_facts,
    write_heading,
    write_json,
    write_line,
    write_table,
)
from quplog.cli.places import directory_argument, json_option
from quplog.errors import LogLocked
from quplog.printable import plain
from quplog.salvage import Uncertain
from quplog.salvage import salvage as write_salvaged
from quplog.salvage.report import SalvageReport

IDS_SHOWN = 20
"""Ids that a person is shown; JSON has them all."""
HELD = (
    "They are held in paused queues. Look at each (quplog show), cancel() those that are done, "
    "then resume() the queue; or salvage once more with --uncertain run."
)
RUNNING = "They will run, some of them perhaps for the second time."


@click.command()
@directory_argument
@click.argument("new_directory", metavar="NEWDIR", type=click.Path(path_type=Path))
@click.option(
    "--uncertain",
    type=click.Choice(["hold", "run"]),
    default="hold",
    show_default=True,
    help="Jobs that may have finished already: hold them in paused queues, or let them run.",
)
@json_option
def salvage(directory: Path, new_directory: Path, *, uncertain: str, as_json: bool) -> int:
    """Write a new log with every job that can still be read of a damaged one.

    DIR is not changed. NEWDIR appears when it is complete. The exit code is 1 if something was
    lost.
    """
    try:
        with _phases() as tell:
            report = write_salvaged(
                directory, new_directory, uncertain=cast("Uncertain", uncertain), progress=tell
            )
    except (LogLocked, FileExistsError, FileNotFoundError, ValueError) as error:
        raise click.ClickException(plain(str(error))) from error
    if as_json:
        write_json(_for_json(report, new_directory))
    else:
        _write_report(report, new_directory)
    return 1 if report.lost_something else 0


@contextmanager
def _phases() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each thing that is being done."""
    with ExitStack() as stack:
        bars: dict[str, Callable[[int], None]] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                stack.close()
                bars[what] = stack.enter_context(progress(what, total))
            bars[what](done)

        yield tell


def _for_json(report: SalvageReport, new_directory: Path) -> dict[str, object]:
    lost = [[part.start, part.stop - 1] for part in report.lost]
    return {
        "directory": str(new_directory),
        "lost_something": report.lost_something,
        "jobs": {str(state): number for state, number in report.jobs.items()},
        "uncertain": report.uncertain,
        "held_queues": report.held_queues,
        "lost": lost,
        "lost_finished": report.lost_finished,
        "traceless": report.traceless,
        "lost_schedules": report.lost_schedules,
        "stale": report.stale,
        "unreadable": report.unreadable,
        "senseless": report.senseless,
        "next_id": report.next_id,
        "read": {
            "frames": report.frames,
            "ops": report.ops,
            "bytes": report.bytes,
            "end_lsn": report.end_lsn,
            "durable_lsn": report.durable_lsn,
        },
        "damages": [damage_for_json(damage, loss) for damage, loss in report.damages],
    }


def _write_report(report: SalvageReport, new_directory: Path) -> None:
    if report.lost_something:
        write_line("salvaged, with losses", style="bold yellow")
    else:
        write_line("salvaged, nothing was lost", style="bold green")
    write_facts(
        [
            ("new log", new_directory),
            ("read", f"{report.frames} frames, {report.ops} ops, {size(report.bytes)}"),
            ("durable to LSN", report.durable_lsn),
            ("new ids from", report.next_id),
        ]
    )
    write_heading("jobs in the new log")
    write_table(["state", "jobs"], report.jobs.items())
    if report.damages:
        write_heading("damaged")
        write_damages(report.damages)
    losses = list(_losses(report))
    if losses:
        write_heading("lost, or not certain")
        write_facts(losses)


def _losses(report: SalvageReport) -> Iterator[tuple[str, object]]:
    if report.lost:
        count = sum(map(len, report.lost))
        yield "lost jobs", f"{count}: {_ids(report.lost)}"
    if report.traceless:
        yield "without a trace", f"at most {report.traceless} jobs, of which nothing else tells"
    if report.unreadable:
        yield "unreadable", _ids(report.unreadable)
    if report.senseless:
        yield "left out", f"what no quplog writes, at LSN {_ids(report.senseless)}"
    if report.lost_finished:
        yield "had finished", f"{_ids(report.lost_finished)}: nothing else is left of them"
    if report.uncertain:
        number = len(report.uncertain)
        yield "may have finished", f"{number}: {_ids(report.uncertain)}"
        yield "", HELD if report.held_queues else RUNNING
    if report.held_queues:
        yield "held in", ", ".join(report.held_queues)
    if report.lost_schedules:
        yield "lost schedules", ", ".join(report.lost_schedules)
    if report.stale:
        yield "perhaps out of date", ", ".join(report.stale)


def _ids(parts: Iterable[int | range]) -> str:
    """The first of them."""
    shown: list[str] = []
    for part in parts:
        if len(shown) == IDS_SHOWN:
            return f"{', '.join(shown)}, ... (--json shows them all)"
        if isinstance(part, range) and len(part) > 1:
            shown.append(f"{part.start}..{part.stop - 1}")
        else:
            shown.append(str(part.start if isinstance(part, range) else part))
    return ", ".join(shown)
