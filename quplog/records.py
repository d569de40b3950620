"""What is read of a log itself, as plain tuples: its records, its numbers, its damages."""

from __future__ import annotations

from typing import NamedTuple

from quplog.states import JobState


class Report(NamedTuple):
    """What opening, verifying or reading a log found. Positions are LSNs, in bytes."""

    frames: int
    ops: int
    bytes: int
    end_lsn: int
    durable_lsn: int
    damage_lsn: int
    damage_offset: int
    torn_bytes: int
    ending: str
    """How it had been left: new, clean, kill or reboot; shared: others have it open."""
    file: str
    message: str


class Stats(NamedTuple):
    """The log in numbers; times are microseconds."""

    tail_lsn: int
    synced_lsn: int
    first_lsn: int
    next_id: int
    epoch: int
    segments: int
    disk_bytes: int
    table_bytes: int
    jobs: int
    segment_size: int
    keep_succeeded_us: int
    keep_failed_us: int
    next_due_us: int


class Damage(NamedTuple):
    """A part of a log that is not as it was written, or a file that is not what it should be."""

    kind: str
    """frame, bytes, zeros, missing, unchecked; header, foreign, duplicate, misnamed."""
    op_count: int
    """Of a frame: how many records stood in it."""
    lsn: int
    end_lsn: int
    """The part of the log; both 0 for a file as a whole."""
    offset: int
    length: int
    file: str
    """Empty: no file holds this part."""


class ScannedTrim(NamedTuple):
    """A record that says that all before `first_lsn` is gone, and which ids had been given out."""

    lsn: int
    time_us: int
    first_lsn: int
    next_id: int


class ScannedOp(NamedTuple):
    """One op of a log that is scanned; fields that its type does not have are 0 or empty."""

    lsn: int
    length: int
    check: int
    """What `LogScan.load` needs besides, to read the whole op once more."""
    time_us: int
    type: str
    id: int
    token: int
    due_us: int
    generation: int
    slot: int
    state: JobState | None
    reason: int
    priority: int
    attempt: int
    crashes: int
    created_us: int
    started_us: int
    finished_us: int
    ready_lsn: int
    finish_lsn: int
    cancel_requested: bool
    paused: bool
    last_us: int
    succeeded_below: int
    failed_below: int
    task: str
    queue: str
    name: str
    data: bytes
    """The rule of a schedule, the ids that were forgotten; else nothing."""


class SavedJob(NamedTuple):
    """A job of another log; `put`, `finish` and `errors` are ops as `LogScan.load` gives them."""

    id: int
    state: JobState
    task: str
    queue: str
    put_lsn: int
    ready_lsn: int
    finish_lsn: int
    created_us: int
    due_us: int
    started_us: int
    finished_us: int
    attempt: int
    crashes: int
    put: bytes
    finish: bytes
    errors: list[tuple[int, bytes]]
    """The LSN of each, and the op."""


class LogRecord(NamedTuple):
    """One op as it stands in the log; fields that its type does not have are 0 or empty."""

    lsn: int
    frame_lsn: int
    time_us: int
    type: str
    """put, claim, finish, retry, release, cancel, schedule, ..."""
    id: int
    token: int
    due_us: int
    number: int
    generation: int
    state: JobState | None
    reason: int
    priority: int
    retries: int
    slot: int
    attempt: int
    task: str
    queue: str
    name: str
    data: bytes


def names_in(data: bytes) -> list[str]:
    """Names with a length byte before each: tags, and the tasks of a worker."""
    names = []
    while data:
        end = 1 + data[0]
        names.append(data[1:end].decode("utf-8", "replace"))
        data = data[end:]
    return names
