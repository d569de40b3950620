"""`quplog replay`: what recovery would build from the log, now or as of any moment."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import click

from quplog.cli.output import size, write_facts, write_heading, write_json, write_table
from quplog.cli.places import directory_argument, json_option, reading
from quplog.clock import datetime_us
from quplog.records import Report

ENDINGS = {
    "clean": "it was closed",
    "kill": "it was not closed: its owner is at work, or was killed",
    "reboot": "it was not closed before the machine was started again",
}


class Until(click.ParamType[tuple[int, int]]):
    """An LSN or a time, as (LSN, microseconds) of which one is 0."""

    name = "LSN|TIME"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Read what was typed."""
        text = str(value)
        if text.isdecimal() and int(text) < 1 << 63:
            return max(1, int(text)), 0  # before the first there is nothing
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is neither an LSN nor a time like 2026-01-31T12:00Z", param, ctx)
        if at.tzinfo is None:
            self.fail(f"{text!r} has no time zone: add Z for UTC, or +01:00", param, ctx)
        return 0, datetime_us(at, "--until")


@click.command()
@directory_argument
@click.option("--until", type=Until(), help="Stop before this LSN, or after this time.")
@json_option
def replay(directory: Path, *, until: tuple[int, int] | None, as_json: bool) -> None:
    """Build the table of jobs from the log, as opening it would, and say what came of it.

    Nothing is changed. With --until it is the state as it was then.
    """
    lsn, time_us = until or (0, 0)
    begin = time.perf_counter()
    with reading(directory, until_lsn=lsn, until_us=time_us) as store:
        seconds = time.perf_counter() - begin
        report = store.report
        counts = {str(state): number for state, number in store.counts().items()}
        schedules = len(store.schedules())
    if as_json:
        numbers = report._asdict() | {"seconds": seconds, "verdict": _verdict(report)}
        write_json({"counts": counts, "schedules": schedules} | numbers)
        return
    write_table(["state", "jobs"], counts.items())
    write_heading("replay")
    write_facts(
        [
            ("read", f"{report.frames} frames, {report.ops} ops, {size(report.bytes)}"),
            ("took", f"{seconds:.3f} s ({report.ops / max(seconds, 1e-9):,.0f} ops/s)"),
            ("schedules", schedules),
            ("ends at LSN", report.end_lsn),
            ("durable to LSN", report.durable_lsn),
            ("verdict", _verdict(report)),
        ]
    )


def _verdict(report: Report) -> str:
    """One sentence about how the log ends."""
    if report.damage_lsn:
        return (
            f"whole up to LSN {report.end_lsn}; behind it stand {report.torn_bytes} bytes of an "
            f"unfinished write in {report.file} at offset {report.damage_offset}, which nobody was "
            "told is durable: its owner is just writing it, or a power cut tore it, and then "
            "opening the log sets it aside in quarantine/"
        )
    return f"whole; {ENDINGS.get(report.ending, report.ending)}"
