"""A new log with every job that can still be read of a damaged one, and what was lost.

    report = salvage("jobs", "jobs.new")

The records that are whole are read in order, and each job is followed through its states. A record
was only written when it was true, so it is believed also where the one before it is missing: a job
whose start stood in a damaged part has finished if its finish is there. Jobs keep their ids, what
they have returned, their errors and their place in the line; those that ran wait again, as after a
kill. The old directory is not written to, and nobody can open it meanwhile. The new one appears
under its name when it is complete and durable, and has been read again.

What cannot be known is said. Of a job that was waiting or running before a damaged part, the part
may have held its end. Which jobs that can be is bounded by three rules:

- a job that ran needs one record to end; one that waited needs two, in different frames, since a
  claim and its finish are never written at once;
- jobs are claimed in the order of their lane, and a claim takes 24 bytes: only the first so many of
  each lane can have been claimed in a part;
- a later record that names the job settles it.

These jobs are *uncertain*. To run them could do twice what was done, so they are held: stored in
a queue of their own, `<queue>.held`, which is paused. With `uncertain="run"` they stay where they
are.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from quplog.errors import LogCorrupt
from quplog.log_store import LogReader, LogScan, LogStore, seed_log
from quplog.salvage.report import Progress, SalvageReport
from quplog.salvage.rescue import Rescue
from quplog.salvage.target import Target
from quplog.salvage.verdict import Verdict
from quplog.salvage.writer import Writer
from quplog.states import JobState

Uncertain = Literal["hold", "run"]


def salvage(
    directory: str | os.PathLike[str],
    new_directory: str | os.PathLike[str],
    *,
    uncertain: Uncertain = "hold",
    progress: Progress | None = None,
) -> SalvageReport:
    """Write a new log with what is left of a damaged one.

    Raises LogLocked if somebody has the old log open; NotALog; UnsupportedFormat; FileExistsError
    if `new_directory` exists and is not empty; ValueError if one directory is in the other; LogFull
    or OSError: then there is no new directory.
    """
    tell = progress or (lambda _what, _done, _total: None)
    target = Target(Path(directory), Path(new_directory))
    with LogScan(directory, alone=True) as scan:
        rescue = _read(scan, tell)
        with target:
            outcome = _write(scan, rescue, target.incomplete, uncertain, tell)
            _check(target.incomplete, outcome.jobs)
            target.complete()
        return outcome


def _read(scan: LogScan, tell: Progress) -> Rescue:
    rescue = Rescue()
    size = scan.size()
    for number, found in enumerate(scan):
        rescue.read(found)
        if number % 1000 == 0:
            tell("reading", scan.report().bytes, size)
    rescue.finish()
    return rescue


def _write(
    scan: LogScan, rescue: Rescue, directory: Path, uncertain: Uncertain, tell: Progress
) -> SalvageReport:
    verdict = Verdict(scan, rescue)
    seed_log(directory, verdict.report.end_lsn, verdict.next_id)
    writer = Writer(scan, verdict, hold=uncertain == "hold")
    with ExitStack() as stack:
        store = LogStore.open(directory)
        stack.callback(store.close)
        writer.write_settings(store, rescue.settings)
        writer.write_jobs(store, tell)
    return SalvageReport(
        frames=verdict.report.frames,
        ops=verdict.report.ops,
        bytes=verdict.report.bytes,
        end_lsn=verdict.report.end_lsn,
        durable_lsn=verdict.report.durable_lsn,
        damages=verdict.damages,
        jobs=writer.counts,
        uncertain=sorted(verdict.uncertain),
        held_queues=sorted(writer.held_queues),
        unreadable=writer.unreadable,
        senseless=sorted({*rescue.senseless, *writer.senseless}),
        lost=verdict.lost(),
        lost_finished=verdict.lost_finished(),
        traceless=verdict.traceless(),
        lost_schedules=sorted(s.op.name for s in verdict.schedules if not s.rule),
        stale=verdict.stale(),
        next_id=verdict.next_id,
    )


def _check(directory: Path, counts: dict[JobState, int]) -> None:
    """Read the new log as anybody would. Raises LogCorrupt if it is not what was written."""
    with LogReader(directory) as reader:
        while reader.skip(10_000):
            pass
        message = reader.report().message
    store = LogStore.open(directory, read_only=True)
    try:
        found = store.counts()
    finally:
        store.close()
    if message or found != counts:
        why = message or f"jobs by state: {found}, not {counts}"
        text = f"the new log is not as it was written, and is removed: try another device ({why})"
        raise LogCorrupt(text)
