"""`quplog verify`: is every byte of the log as it was written? If not, which, and what now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from quplog.cli.damages import damage_for_json, write_damages
from quplog.cli.output import (
    progress,
    size,
    write_facts,
    write_heading,
    write_json,
    write_line,
)
from quplog.cli.places import directory_argument, json_option
from quplog.errors import LogCorrupt
from quplog.log_store import LogReader, LogScan
from quplog.records import Damage, Report

PAGE = 10_000
MEANING = (
    "These bytes had been acknowledged as durable and are not what was written: the device or "
    "somebody has changed them. quplog does not open the log."
)
ADVICE = (
    "End what uses the log, change nothing in the directory, and copy it to another device. Check "
    "this one. If you have a copy of the damaged file, put it in its place and verify again. Else "
    "write a new log with all jobs that are left: quplog salvage DIR NEWDIR (docs/DAMAGE.md)."
)
TORN = (
    "The last write is unfinished, and nobody was told that it is durable: its owner is just "
    "writing it, or a power cut tore it. Nothing is lost and nothing needs to be done: opening the "
    "log sets the torn bytes aside in quarantine/."
)


@click.command()
@directory_argument
@json_option
def verify(directory: Path, *, as_json: bool) -> int:
    """Read all of the log and check every sum in it. The exit code is 1 if it is damaged."""
    try:
        report = _read_all(directory)
    except LogCorrupt as error:
        damage = {"file": error.file, "offset": error.offset, "lsn": error.lsn}
        return _bad(directory, damage, str(error), as_json=as_json)
    if report.message:
        damage = {
            "file": report.file,
            "offset": report.damage_offset,
            "lsn": report.damage_lsn,
        }
        return _bad(directory, damage, report.message, as_json=as_json)
    return _good(report, as_json=as_json)


def _read_all(directory: Path) -> Report:
    with LogReader(directory) as reader, progress("verifying", reader.size()) as advance:
        while reader.skip(PAGE):
            advance(reader.report().bytes)
        return reader.report()


def _find_all(directory: Path) -> list[tuple[Damage, str]]:
    """Every damage that there is, also behind the first."""
    with LogScan(directory) as scan, progress("looking for more", scan.size()) as advance:
        found = []
        for damage in scan.damages(PAGE):
            advance(scan.report().bytes)
            if damage:
                found.append(damage)
        return [(damage, scan.judge(damage)) for damage in found]


def _bad(
    directory: Path, damage: Mapping[str, str | int | None], found: str, *, as_json: bool
) -> int:
    damages = _find_all(directory)
    if as_json:
        parts = [damage_for_json(part, loss) for part, loss in damages]
        write_json({"verdict": "damaged", **damage, "message": found, "damages": parts})
        return 1
    write_line("damaged", style="bold red")
    write_facts(
        [
            ("file", damage["file"]),
            ("offset", damage["offset"]),
            ("LSN", damage["lsn"]),
            ("found", found),
            ("meaning", MEANING),
            ("what to do", ADVICE),
        ]
    )
    write_heading("all that is damaged")
    write_damages(damages)
    return 1


def _good(report: Report, *, as_json: bool) -> int:
    torn = bool(report.damage_lsn)
    if as_json:
        write_json({"verdict": "torn end" if torn else "whole", **report._asdict()})
        return 0
    write_line("whole", style="bold green")
    facts: list[tuple[str, object]] = [
        ("read", f"{report.frames} frames, {report.ops} ops, {size(report.bytes)}"),
        ("ends at LSN", report.end_lsn),
        ("durable to LSN", report.durable_lsn),
    ]
    if torn:
        facts += [
            ("torn end", f"{report.torn_bytes} bytes in {report.file} at {report.damage_offset}"),
            ("meaning", TORN),
        ]
    write_facts(facts)
    return 0
