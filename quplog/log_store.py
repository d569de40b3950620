"""The embedded store: the verbs of `store.Store` over the job log in C.

The only module that touches the compiled module `_quplog`. It owns what the border is made of:
handles, bytes, and status codes, which become exceptions in one place, `_error`. No wait in here
swallows a signal: the C core returns when one arrives, Python runs the handler, and the loop goes
on waiting. After a fork the C core lets go of what the child has copies of, and the child opens the
log anew when it needs it.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, cast

from quplog._quplog import ffi, lib
from quplog.errors import (
    JobNotFound,
    LogClosed,
    LogCorrupt,
    LogFailed,
    LogFull,
    LogLocked,
    NotALog,
    PayloadError,
    QuplogError,
    StaleClaim,
    UnsupportedFormat,
)
from quplog.printable import plain
from quplog.records import (
    Damage,
    LogRecord,
    Report,
    SavedJob,
    ScannedOp,
    ScannedTrim,
    Stats,
    names_in,
)
from quplog.states import JobState
from quplog.store import (
    Claim,
    Details,
    Outcome,
    Put,
    PutSpec,
    Record,
    ScheduleChange,
    StoredSchedule,
)

FIND_PAGE = 1000
"""Jobs that one look into the table may return, so that it is not held for long."""

READS_MOST = 8
"""How often a log that is only read is read anew because others compact it."""

SPECS_KEPT = 4096
"""Prepared kinds of jobs that are kept; an application with more prepares some of them again."""


# ---- status codes -------------------------------------------------------------------------------

_ERRORS: dict[int, tuple[type[Exception], str]] = {
    lib.QUPLOG_NOT_FOUND: (
        JobNotFound,
        "there is no such job: the id is wrong, or the job was finished and has been forgotten",
    ),
    lib.QUPLOG_STALE: (StaleClaim, "another run has taken the job over"),
    lib.QUPLOG_TOO_LARGE: (
        PayloadError,
        "too large: one payload may take 4 MiB, and what is enqueued together 64 MiB",
    ),
    lib.QUPLOG_CORRUPT: (
        LogCorrupt,
        "the log is damaged where it had been acknowledged: quplog verify shows what else is",
    ),
    lib.QUPLOG_FULL: (
        LogFull,
        "no space is left on the device; nothing was written: make room, and do it again",
    ),
    lib.QUPLOG_FAILED: (
        LogFailed,
        (
            "the device did not make the log durable, and what became of this write is not known: "
            "look at the device, then close and open the JobQueue, which finds out"
        ),
    ),
    lib.QUPLOG_LOCKED: (
        LogLocked,
        (
            "another process held the log and did not let go within lock_timeout; nothing was "
            "written: let that process go on, or end it, and try again"
        ),
    ),
    lib.QUPLOG_CLOSED: (LogClosed, "the log is closed: open a new JobQueue on the directory"),
    -errno.EBADFD: (  # what io.h calls IO_NOT_ORDINARY
        NotALog,
        (
            "something in it has the name of a file of the log, but is a link, a directory, a pipe "
            "or a device: quplog does not touch it; put the file itself in its place"
        ),
    ),
    lib.QUPLOG_NOT_A_LOG: (
        NotALog,
        "the directory holds something else: give an empty directory, a new one, or a log",
    ),
    lib.QUPLOG_UNSUPPORTED: (
        UnsupportedFormat,
        "the log was written by a newer version of quplog: update quplog here",
    ),
    lib.QUPLOG_NO_MEMORY: (MemoryError, "no memory for the job table"),
    lib.QUPLOG_INVALID: (ValueError, "a name or number is outside of what the log can store"),
    lib.QUPLOG_READ_ONLY: (PermissionError, "the log was opened only to be read"),
}


def _error(status: int, subject: str = "") -> Exception:
    """The exception for a status code; `subject` is what it is about."""
    if status < 0 and status not in _ERRORS:
        return OSError(-status, os.strerror(-status), subject or None)
    kind, sentence = _ERRORS.get(status, (RuntimeError, f"unexpected status {status} of the log"))
    return kind(f"{plain(subject)}: {sentence}" if subject else sentence)


def _stored(status: int, subject: str = "") -> Exception:
    """The exception for what was stored, but is not known to be durable."""
    error = _error(status, subject)
    if status != lib.QUPLOG_FAILED:  # after which nothing is known
        error.add_note("It was stored, but may not be durable yet: do not store it again.")
    vars(error)["outcome_known"] = False
    return error


def _check(status: int, subject: str = "") -> None:
    if status:
        raise _error(status, subject)


def _wait(call: Callable[..., int], *args: object) -> int:
    """Call until it was not interrupted; Python runs its signal handlers in between."""
    status = call(*args)
    while status == lib.QUPLOG_INTERRUPTED:
        status = call(*args)
    return status


# ---- what the border hands over -----------------------------------------------------------------


def _enum_names(enum: str, prefix: str) -> dict[int, str]:
    """The words for the numbers of a C enum, as the header gives them."""
    names = ffi.typeof(f"enum {enum}").relements
    return {int(number): name.removeprefix(prefix) for name, number in names.items()}


_STATES = {
    number: JobState[name.removeprefix("JOB_")]
    for number, name in sorted(_enum_names("quplog_job_state", "QUPLOG_").items())
    if number != lib.QUPLOG_STATE_COUNT
}
_STATE_NUMBERS = {state: number for number, state in _STATES.items()}
_OP_TYPES = {n: name.lower() for n, name in _enum_names("quplog_op_type", "QUPLOG_OP_").items()}
_DAMAGES = {
    n: name.lower() for n, name in _enum_names("quplog_damage_kind", "QUPLOG_DAMAGE_").items()
}
_LOSSES = {n: name.lower() for n, name in _enum_names("quplog_loss", "QUPLOG_LOSS_").items()}
_SAVED_NUMBERS = (
    *("put_lsn", "ready_lsn", "finish_lsn"),
    *("created_us", "due_us", "started_us", "finished_us"),
    *("attempt", "crashes"),
)
"""The fields of SavedJob that the core takes as they are."""
_ENDINGS = {n: name.lower() for n, name in _enum_names("quplog_ending", "QUPLOG_").items()}


def _bytes(view: Any) -> bytes:
    length = view.length
    return cast("bytes", ffi.unpack(view.data, length)) if length else b""


def _text(view: Any) -> str:
    return _bytes(view).decode("utf-8", "replace")


def _prefixed(names: Iterable[str]) -> bytes:
    """A length byte before each name: how the C core takes lists of names."""
    encoded = [name.encode() for name in names]
    return b"".join(len(name).to_bytes(1, "little") + name for name in encoded)


def _read_report(report: Any) -> Report:
    fields = {name: getattr(report, name) for name in Report._fields}
    return Report(
        **fields
        | {
            "ending": _ENDINGS.get(report.ending, str(report.ending)),
            "file": ffi.string(report.file).decode("utf-8", "replace"),
            "message": ffi.string(report.message).decode("utf-8", "replace"),
        }
    )


def _open_error(status: int, path: str, report: Report) -> Exception:
    if status == lib.QUPLOG_CORRUPT:
        place = (report.file, report.damage_offset, report.damage_lsn)
        return LogCorrupt(f"{path}: {report.message}", *place)
    if status > 0 and report.message:
        kind, _ = _ERRORS.get(status, (RuntimeError, ""))
        return kind(f"{path}: {report.message}")
    if status < 0 and status not in _ERRORS and report.file:
        return _error(status, os.path.join(path, report.file))  # noqa: PTH118  # text, as given
    return _error(status, path)


def _open(path: str | os.PathLike[str], options: Any) -> tuple[Any, Report]:
    out = ffi.new("quplog **")
    found = ffi.new("quplog_report *")
    name = os.fspath(path)
    status = _wait(lib.quplog_open, os.fsencode(name), options, out, found)
    report = _read_report(found)
    if status:
        raise _open_error(status, name, report)
    return out[0], report


# The two calls that are worth saving a look-up.
_put = lib.quplog_put
_work = lib.quplog_work


# ---- the store ----------------------------------------------------------------------------------


class LogStore:
    """An open log. Everything may be called from any thread; see `store.Store` for the verbs."""

    def __init__(
        self,
        log: Any,
        report: Report,
        *,
        sync_finish: bool,
        read_again: Callable[[], Any] | None = None,
    ) -> None:
        # Its memory lives as long as anybody, a call in another thread too, holds this object;
        # None after close().
        self._log: Any = ffi.gc(log, lib.quplog_free)
        self.report = report
        self._read_again = read_again
        self._work_flags = int(lib.QUPLOG_SYNC) if sync_finish else 0
        # By identity, since hashing a PutSpec would cost more than the C call; the entry keeps its
        # PutSpec alive, so that the identity stays its own.
        self._specs: dict[int, tuple[Any, PutSpec, list[Any]]] = {}
        self._id_cells: list[Any] = []
        self._names: dict[int, str] = {}
        self._tasks: dict[int, str] = {}
        self._serving = threading.Lock()
        _open_stores.add(self)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        segment_size: int = 0,
        keep_succeeded_us: int = -1,
        keep_failed_us: int = -1,
        flush_interval_us: int = 100_000,
        lock_timeout_us: int = 10_000_000,
        sync_finish: bool = False,
        read_only: bool = False,
        until_lsn: int = 0,
        until_us: int = 0,
    ) -> Self:
        """Open the log in directory `path`, made if need be (not if `read_only`).

        0 and -1 mean: as stored in the log. Raises LogLocked, NotALog, LogCorrupt,
        UnsupportedFormat, LogFull, LogFailed, MemoryError or OSError.
        """
        options = ffi.new(
            "quplog_options *",
            {
                "segment_size": segment_size,
                "keep_succeeded_us": keep_succeeded_us,
                "keep_failed_us": keep_failed_us,
                "flush_interval_us": flush_interval_us,
                "lock_timeout_us": lock_timeout_us,
                "until_lsn": until_lsn,
                "until_us": until_us,
                "read_only": read_only,
            },
        )
        log, report = _open(path, options)
        read_again = (lambda: _open(path, options)[0]) if read_only else None
        return cls(log, report, sync_finish=sync_finish, read_again=read_again)

    # Putting jobs

    def put(self, puts: Sequence[Put], *, sync: bool, wait: bool = True) -> range:
        """Store all jobs or none; their ids, in order. Durable on return if `sync`.

        Not to `wait`: raise LogLocked rather than sleep behind another writer.
        """
        return self._commit(self._batch(puts), len(puts), sync=sync, wait=wait)

    def put_one(
        self,
        spec: PutSpec,
        payload: bytes,
        due_us: int,
        sync: bool,  # noqa: FBT001  # by position: see store.Store
    ) -> int:
        """Store one job, without what a batch costs; its id. Durable on return if `sync`."""
        entry = self._specs.get(id(spec)) or self._prepare(spec)
        log = self._log or self._open_log()
        try:
            out = self._id_cells.pop()
        except IndexError:  # as many as threads have been here at once
            out = ffi.new("uint64_t *")
        status = _put(log, entry[0], payload, len(payload), due_us, sync, out)
        while status == lib.QUPLOG_INTERRUPTED and not out[0]:  # nothing was written yet
            status = _put(log, entry[0], payload, len(payload), due_us, sync, out)
        job_id: int = out[0]
        self._id_cells.append(out)
        if status:
            if status == lib.QUPLOG_INTERRUPTED:
                status = _wait(lib.quplog_sync, log)
            if status:
                raise (_stored if job_id else _error)(status, spec.task)
        return job_id

    def sync(self) -> None:
        """Return when all that was stored before is durable."""
        _check(_wait(lib.quplog_sync, self._open_log()))

    def compact(self) -> None:
        """Copy what still counts out of all segments that are full, and remove them."""
        _check(_wait(lib.quplog_compact, self._open_log()))

    def _batch(self, puts: Iterable[Put]) -> Any:
        batch = ffi.gc(lib.quplog_batch_new(), lib.quplog_batch_free)
        if not batch:
            raise _error(lib.QUPLOG_NO_MEMORY)
        add = lib.quplog_batch_put
        for spec, payload, due_us in puts:
            entry = self._specs.get(id(spec)) or self._prepare(spec)
            status = add(batch, entry[0], payload, len(payload), due_us)
            if status:
                raise _error(status, spec.task)
        return batch

    def _commit(self, batch: Any, count: int, *, sync: bool, wait: bool = True) -> range:
        log = self._open_log()
        out = ffi.new("uint64_t[2]")
        flags = (lib.QUPLOG_SYNC if sync else 0) | (0 if wait else lib.QUPLOG_AT_ONCE)
        status = lib.quplog_commit(log, batch, flags, out, out + 1)
        while status == lib.QUPLOG_INTERRUPTED and not out[1]:  # nothing was written yet
            status = lib.quplog_commit(log, batch, flags, out, out + 1)
        if status == lib.QUPLOG_INTERRUPTED:
            status = _wait(lib.quplog_sync_to, log, out[1])
        if status:
            raise (_stored if out[1] else _error)(status)
        return range(out[0], out[0] + count)

    def _prepare(self, spec: PutSpec) -> tuple[Any, PutSpec, list[Any]]:
        texts = {
            "task": spec.task.encode(),
            "queue": spec.queue.encode(),
            "tags": _prefixed(spec.tags),
            "schedule": (spec.schedule or "").encode(),
        }
        struct = ffi.new("quplog_spec *", {"retries": spec.retries, "priority": spec.priority})
        buffers = []
        for field, text in texts.items():
            buffers.append(ffi.new("char[]", text))
            setattr(struct, field, buffers[-1])
            setattr(struct, f"{field}_length", len(text))
        if len(self._specs) >= SPECS_KEPT:
            self._specs.clear()
        entry = self._specs[id(spec)] = (struct, spec, buffers)
        return entry

    # Running jobs

    def serve(self, tasks: Mapping[str, object], queues: Sequence[str] | None) -> None:
        """Claim jobs of these tasks (more may be added later) from these queues (None: all)."""
        log = self._open_log()
        number = ffi.new("uint32_t *")
        with self._serving:
            for task in tasks:
                name = task.encode()
                _check(_wait(lib.quplog_register, log, name, len(name), number), task)
                self._tasks[number[0]] = task
        names = _prefixed(queues or ())
        _check(_wait(lib.quplog_serve, log, names, len(names)))

    def seat(self) -> LogSeat:
        """A new seat for a thread that runs jobs."""
        log = self._open_log()
        out = ffi.new("quplog_worker **")
        _check(lib.quplog_worker_new(log, out))
        worker = ffi.gc(out[0], lib.quplog_worker_free)
        return LogSeat(log, worker, self._work_flags, self._task, self._name)

    def start(self) -> None:
        """Begin to claim, or begin again."""
        lib.quplog_start(self._open_log())

    def stop(self) -> None:
        """Claim nothing more; waiting seats return None, `keep` returns False."""
        lib.quplog_stop(self._open_log())

    def keep(self) -> bool:
        """Do the helper's duty; True when a schedule is due, False when stopped."""
        status = _wait(lib.quplog_keep, self._open_log())
        if status == lib.QUPLOG_TICK:
            return True
        if status == lib.QUPLOG_STOPPED:
            return False
        raise _error(status)

    def wait_idle(self, deadline_us: int) -> bool:
        """Wait until nothing runs and nothing is ready that somebody here can run."""
        return _in_time(_wait(lib.quplog_wait_idle, self._open_log(), deadline_us))

    # Looking at jobs and changing them

    def load(self, job_id: int) -> Details:
        """All about one job, read from the log. Raises JobNotFound."""
        out = ffi.new("quplog_job **")
        status = lib.quplog_load(self._open_log(), _job_id(job_id), out)
        for _ in range(READS_MOST):
            if status != lib.QUPLOG_NOT_FOUND or not self._was_moved(job_id):
                break
            status = lib.quplog_load(self._open_log(), job_id, out)
        _check(status, f"job {job_id}")
        job = ffi.gc(out[0], lib.quplog_job_free)
        return Details(
            record=self._record(job.info),
            payload=_bytes(job.payload),
            tags=tuple(names_in(_bytes(job.tags))),
            result=_bytes(job.result) if job.result.data else None,
            errors=tuple(_bytes(job.errors[i]) for i in range(job.error_count)),
            result_dropped=job.result_dropped,
        )

    def _was_moved(self, job_id: int) -> bool:
        """Whether a log that is only read is out of date, because others compacted it.

        Then it is read anew: what it knows of the job stands elsewhere.
        """
        known = lib.quplog_info(self._open_log(), job_id, ffi.new("quplog_job_info *")) == 0
        if not known or self._read_again is None:
            return False
        old, self._log = self._log, ffi.gc(self._read_again(), lib.quplog_free)
        self._names.clear()
        _check(lib.quplog_close(old))
        return True

    def find(
        self,
        *,
        state: JobState | None = None,
        task: str | None = None,
        queue: str | None = None,
        since_us: int = 0,
        until_us: int = 0,
        after: int = 0,
        limit: int = 100,
    ) -> list[Record]:
        """The jobs that match, in order of their ids, from the one after `after` on."""
        log = self._open_log()
        states = 1 << _STATE_NUMBERS[state] if state else 0
        names = (task or "").encode(), (queue or "").encode()
        filters = (states, names[0], len(names[0]), names[1], len(names[1]), since_us, until_us)
        descending = False
        page = ffi.new("quplog_job_info[]", min(limit, FIND_PAGE))
        count = ffi.new("size_t *")
        found: list[Record] = []
        while len(found) < limit:
            capacity = min(limit - len(found), FIND_PAGE)
            _check(lib.quplog_find(log, *filters, after, descending, page, capacity, count))
            found += [self._record(page[i]) for i in range(count[0])]
            if count[0] < capacity:
                break
            after = found[-1].id
        return found

    def counts(self, queue: str | None = None) -> dict[JobState, int]:
        """How many jobs are in each state, in one queue or in all."""
        name = (queue or "").encode()
        counts = ffi.new("uint64_t[]", lib.QUPLOG_STATE_COUNT)
        _check(lib.quplog_counts(self._open_log(), name, len(name), counts))
        return {state: int(counts[number]) for number, state in _STATES.items()}

    def cancel(self, job_id: int, *, sync: bool) -> bool:
        """Cancel a pending job, ask a running one to stop; False if it had already finished."""
        log = self._open_log()
        lsn = ffi.new("uint64_t *")
        status = _wait(lib.quplog_cancel, log, _job_id(job_id), lsn)
        if status == lib.QUPLOG_STALE:
            return False
        _check(status, f"job {job_id}")
        if sync:
            _check(_wait(lib.quplog_sync_to, log, lsn[0]))
        return True

    def cancel_requested(self, job_id: int) -> bool:
        """Whether somebody asked the running job to stop. Raises JobNotFound."""
        info = ffi.new("quplog_job_info *")
        _check(lib.quplog_info(self._open_log(), _job_id(job_id), info), f"job {job_id}")
        return bool(info.cancel_requested)

    def wait_job(self, job_id: int, deadline_us: int) -> bool:
        """Wait until it is finished; False at the deadline (0: none)."""
        log = self._open_log()
        status = _wait(lib.quplog_wait_job, log, _job_id(job_id), deadline_us)
        return _in_time(status, f"job {job_id}")

    def wait_finished(self, seen: int) -> int:
        """Wait until any job has finished since `seen`; the number to give next time."""
        counter = ffi.new("uint32_t *", seen)
        _check(_wait(lib.quplog_wait_finished, self._open_log(), counter, 0))
        return int(counter[0])

    # Schedules and queues

    def schedules(self, *, due_only: bool = False) -> list[StoredSchedule]:
        """All schedules, or those whose time has come."""
        out = ffi.new("quplog_schedule **")
        count = ffi.new("size_t *")
        _check(lib.quplog_schedules(self._open_log(), due_only, out, count))
        block = ffi.gc(out[0], lib.quplog_schedules_free)
        return [
            StoredSchedule(
                id=_text(block[i].id),
                rule=_bytes(block[i].rule),
                version=block[i].version,
                next_us=block[i].next_us,
                last_us=block[i].last_us,
                paused=block[i].paused,
            )
            for i in range(count[0])
        ]

    def change_schedule(self, change: ScheduleChange, puts: Sequence[Put], *, sync: bool) -> bool:
        """The change and the jobs in one step; False (and nothing happens) if it had moved on."""
        batch = self._batch(puts)
        name = change.id.encode()
        status = lib.quplog_batch_schedule(
            batch, name, len(name), change.rule, len(change.rule), *change[2:]
        )
        _check(status, change.id)
        try:
            self._commit(batch, len(puts), sync=sync)
        except StaleClaim:
            return False
        return True

    def remove_schedule(self, schedule_id: str, *, sync: bool) -> bool:
        """Remove a schedule; False if there is none of this id."""
        if all(stored.id != schedule_id for stored in self.schedules()):
            return False
        batch = self._batch(())
        name = schedule_id.encode()
        _check(lib.quplog_batch_unschedule(batch, name, len(name)), schedule_id)
        self._commit(batch, 0, sync=sync)
        return True

    def pause(self, queue: str, *, paused: bool) -> None:
        """Let nobody claim from the queue, or let them again."""
        log = self._open_log()
        name = queue.encode()
        lsn = ffi.new("uint64_t *")
        _check(_wait(lib.quplog_pause, log, name, len(name), paused, lsn), queue)
        _check(_wait(lib.quplog_sync_to, log, lsn[0]), queue)

    def paused(self, queue: str) -> bool:
        """Whether the queue is paused."""
        name = queue.encode()
        out = ffi.new("bool *")
        _check(lib.quplog_paused(self._open_log(), name, len(name), out), queue)
        return bool(out[0])

    # Making a log of what was read of another

    def restore(self, job: SavedJob) -> None:
        """Store a job of another log under its id. Durable with the next sync or close."""
        buffers: list[Any] = []

        def view(data: bytes) -> dict[str, Any]:
            buffers.append(ffi.from_buffer(data))
            return {"data": buffers[-1], "length": len(data)}

        saved = ffi.new(
            "quplog_saved *",
            {name: getattr(job, name) for name in _SAVED_NUMBERS}
            | {
                "id": job.id,
                "state": _STATE_NUMBERS[job.state],
                "task": view(job.task.encode()),
                "queue": view(job.queue.encode()),
                "put": view(job.put),
                "finish": view(job.finish),
                "error_count": len(job.errors),
            },
        )
        errors = ffi.new("quplog_bytes[]", [view(op) for _, op in job.errors])
        lsns = ffi.new("uint64_t[]", [lsn for lsn, _ in job.errors])
        saved.errors, saved.error_lsns = errors, lsns
        _check(_wait(lib.quplog_restore, self._open_log(), saved), f"job {job.id}")

    def restore_op(self, op: bytes) -> None:
        """Store a queue's or the log's settings as they stood in another log."""
        _check(_wait(lib.quplog_restore_op, self._open_log(), op, len(op)))

    # The log itself

    def now_us(self) -> int:
        """The time of the log's clock."""
        return int(lib.quplog_now(self._open_log()))

    def stats(self) -> Stats:
        """The log in numbers."""
        stats = ffi.new("quplog_stats *")
        _check(lib.quplog_read_stats(self._open_log(), stats))
        return Stats(*(getattr(stats, name) for name in Stats._fields))

    def close(self) -> None:
        """Make everything durable and let go of the log; later calls raise LogClosed."""
        log, self._log = self._log, None
        if log:
            _open_stores.discard(self)
            _check(lib.quplog_close(log))

    def __del__(self) -> None:
        """Close what nobody closed: memory may only be given back after that."""
        with suppress(QuplogError):
            self.close()

    def abandon(self) -> None:
        """In the child of a fork: this log is the parent's."""
        self._log = None

    def _open_log(self) -> Any:
        log = self._log
        if not log:
            raise _error(lib.QUPLOG_CLOSED)
        return log

    def _task(self, number: int) -> str:
        """The task that quplog_register() gave this number."""
        task = self._tasks.get(number)
        if task is None:  # a worker may claim its first job while serve() has just registered it
            with self._serving:
                task = self._tasks[number]
        return task

    def _name(self, number: int) -> str:
        name = self._names.get(number)
        if name is None:
            name = self._names[number] = _text(lib.quplog_name(self._open_log(), number))
        return name

    def _record(self, info: Any) -> Record:
        return Record(
            id=info.id,
            task=self._name(info.task),
            queue=self._name(info.queue),
            state=_STATES[info.state],
            attempt=info.attempt,
            retries=info.retries,
            priority=info.priority,
            created_us=info.created_us,
            due_us=info.due_us,
            started_us=info.started_us,
            finished_us=info.finished_us,
            cancel_requested=info.cancel_requested,
        )


def _in_time(status: int, subject: str = "") -> bool:
    if status == lib.QUPLOG_TIMEOUT:
        return False
    _check(status, subject)
    return True


def _job_id(job_id: int) -> int:
    """A number that C can take: no job has another."""
    if not isinstance(job_id, int) or isinstance(job_id, bool):
        message = f"a job id is an int, not {type(job_id).__name__}"
        raise TypeError(message)
    if not 0 < job_id < 1 << 63:
        raise _error(lib.QUPLOG_NOT_FOUND, f"job {job_id}")
    return job_id


class LogSeat:
    """The place of one thread that runs jobs: see `store.Seat`."""

    def __init__(
        self,
        log: Any,
        worker: Any,
        flags: int,
        task: Callable[[int], str],
        name: Callable[[int], str],
    ) -> None:
        self._worker = worker
        self._log = log  # which has to live longer than the worker
        self._task = task
        self._name = name
        self._claim = lib.quplog_worker_claim(worker)
        self._payload = self._claim.payload  # a view, which shows what the claim has now
        self._flags = flags
        self._flags_to_claim = flags | int(lib.QUPLOG_CLAIM_NEXT)
        self._flags_to_wait = self._flags_to_claim | int(lib.QUPLOG_WAIT)
        self._closing = threading.Lock()
        self._undurable: int | None = None
        """An outcome was written and waits to be durable: what the call said of its claim."""

    def work(
        self,
        outcome: Outcome,
        data: bytes = b"",
        due_us: int = 0,
        *,
        claim: bool = True,
        wait: bool = True,
    ) -> Claim | None:
        """Write the outcome of the present claim and claim the next job, in one step."""
        flags = self._flags
        if claim:
            flags = self._flags_to_wait if wait else self._flags_to_claim
        worker = self._worker
        if self._undurable is not None:
            return self._go_on(self._undurable, _wait(lib.quplog_sync, self._log), claim=claim)
        status = _work(worker, outcome, due_us, data, len(data), flags)
        written = self._claim.finish_status
        while status == lib.QUPLOG_INTERRUPTED:
            if written == lib.QUPLOG_INTERRUPTED:  # before the outcome was
                status = _work(worker, outcome, due_us, data, len(data), flags)
                written = self._claim.finish_status
            else:
                status = _work(worker, Outcome.NONE, 0, b"", 0, flags)
        return self._go_on(status, written, claim=claim)

    def _go_on(self, status: int, written: int, *, claim: bool) -> Claim | None:
        """With what the call said of the claim, unless something is to be said of the outcome."""
        # If the two differ, the outcome stands in the log, and with it the claim of the next job:
        # written once more, it would be the outcome of that. Only the sync is tried again.
        self._undurable = status if written not in (0, status) else None
        if written:
            raise _error(written)
        if status == 0:
            return self._read_claim() if claim else None
        if status in (lib.QUPLOG_EMPTY, lib.QUPLOG_STOPPED):
            return None
        raise _error(status)

    def release(self) -> None:
        """From another thread: give the present claim back, without using an attempt."""
        with self._closing:  # its own thread may be leaving at this moment
            if self._worker:
                _check(lib.quplog_worker_release(self._worker))

    def close(self) -> None:
        """Leave the seat; a claim that is left goes back."""
        with self._closing:
            worker, self._worker = self._worker, None
            if worker:
                ffi.release(worker)

    def _read_claim(self) -> Claim:
        claim = self._claim
        return Claim(
            claim.id,
            claim.token,
            self._task(claim.task),
            self._name(claim.queue),
            _bytes(self._payload),
            claim.attempt,
            claim.retries,
            claim.created_us,
            claim.started_us,
            _error(claim.payload_status, "the payload") if claim.payload_status else None,
        )


# ---- reading a log ------------------------------------------------------------------------------


class LogReader:
    """The ops of a log directory, one by one, from an LSN on; needs no lock and changes nothing.

    Iterating ends at the live tail, at a torn end or at damage: `report()` tells which. `job_id`:
    only what concerns this job, or every job (0: everything).

    >>> with LogReader("jobs") as reader:                   # doctest: +SKIP
    ...     for record in reader:
    ...         print(record.lsn, record.type, record.id)
    """

    def __init__(self, path: str | os.PathLike[str], lsn: int = 0, *, job_id: int = 0) -> None:
        out = ffi.new("quplog_reader **")
        found = ffi.new("quplog_report *")
        name = os.fspath(path)
        status = _wait(lib.quplog_reader_open, os.fsencode(name), lsn, out, found)
        if status:
            raise _open_error(status, name, _read_report(found))
        self._reader = ffi.gc(out[0], lib.quplog_reader_close)
        lib.quplog_reader_about(self._reader, job_id)
        self._record = ffi.new("quplog_record *")
        self.path = Path(name)

    def __iter__(self) -> Iterator[LogRecord]:
        """The records that are left."""
        while self._goes_on(lib.quplog_reader_next(self._open_reader(), self._record)):
            yield self._read()

    def skip(self, most: int) -> bool:
        """Check the next `most` records without reading them out; False at the end."""
        return self._goes_on(lib.quplog_reader_skip(self._open_reader(), most))

    def report(self) -> Report:
        """What reading has found so far."""
        return self._progress()[0]

    def size(self) -> int:
        """All bytes that there are to read; `report().bytes` is how far it has come."""
        return self._progress()[1]

    def close(self) -> None:
        """Let go of the files."""
        reader, self._reader = self._reader, None
        if reader:
            ffi.release(reader)

    def __enter__(self) -> Self:
        """The reader; the end of the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _goes_on(self, status: int) -> bool:
        if status in (lib.QUPLOG_EMPTY, lib.QUPLOG_CORRUPT):
            return False
        _check(status, str(self.path))
        return True

    def _open_reader(self) -> Any:
        if not self._reader:
            raise _error(lib.QUPLOG_CLOSED, str(self.path))
        return self._reader

    def _progress(self) -> tuple[Report, int]:
        report = ffi.new("quplog_report *")
        size = ffi.new("uint64_t *")
        lib.quplog_reader_report(self._open_reader(), report, size)
        return _read_report(report), int(size[0])

    def _read(self) -> LogRecord:
        record = self._record
        fields = {name: getattr(record, name) for name in LogRecord._fields}
        return LogRecord(
            **fields
            | {
                "type": _OP_TYPES.get(record.type, str(record.type)),
                "state": _STATES.get(record.state),
                "task": _text(record.task),
                "queue": _text(record.queue),
                "name": _text(record.name),
                "data": _bytes(record.data),
            }
        )


# ---- a damaged log ------------------------------------------------------------------------------


class LogScan:
    """Every op of a damaged log that is still whole, in order, with what is damaged in between.

    `alone` keeps others from opening the log meanwhile, and raises LogLocked if somebody has it
    open. Changes nothing. What a damage cost is known when everything was read: `judge`.

    >>> with LogScan("jobs") as scan:                       # doctest: +SKIP
    ...     for found in scan:
    ...         print(found)
    """

    def __init__(self, path: str | os.PathLike[str], *, alone: bool = False) -> None:
        out = ffi.new("quplog_scan **")
        found = ffi.new("quplog_report *")
        self._name = os.fspath(path)
        status = lib.quplog_scan_open(os.fsencode(self._name), alone, out, found)
        if status:
            raise _open_error(status, self._name, _read_report(found))
        self._scan = ffi.gc(out[0], lib.quplog_scan_close)
        self._found = ffi.new("quplog_scanned *")

    def __iter__(self) -> Iterator[ScannedOp | ScannedTrim | Damage]:
        """What is left."""
        found = self._found
        while self._goes_on(lib.quplog_scan_next(self._open_scan(), found)):
            if found.kind == lib.QUPLOG_SCAN_OP:
                yield self._read_op(found)
            elif found.kind == lib.QUPLOG_SCAN_TRIM:
                record = found.record
                yield ScannedTrim(record.lsn, record.time_us, found.first_lsn, found.next_id)
            else:
                yield _read_damage(found.damage)

    def damages(self, most: int) -> Iterator[Damage | None]:
        """The damages that are left; None after each `most` records without one."""
        damage = ffi.new("quplog_damage *")
        while self._goes_on(lib.quplog_scan_damage(self._open_scan(), most, damage)):
            yield _read_damage(damage) if damage.kind else None

    def judge(self, damage: Damage) -> str:
        """What it cost. nothing; torn: what nobody was told is durable; durable: what somebody was.

        To be asked when everything was read.
        """
        kind = next(number for number, name in _DAMAGES.items() if name == damage.kind)
        numbers = {name: getattr(damage, name) for name in ("op_count", "lsn", "end_lsn")}
        asked = ffi.new("quplog_damage *", numbers | {"kind": kind})
        return _LOSSES[lib.quplog_scan_judge(self._open_scan(), asked)]

    def load(self, lsn: int, length: int, check: int) -> bytes:
        """The whole op that stands there. Raises LogCorrupt if it has changed since."""
        op = ffi.new("quplog_bytes *")
        status = lib.quplog_scan_load(self._open_scan(), lsn, length, check, op)
        _check(status, f"{self._name}, LSN {lsn}")
        return _bytes(op)

    def report(self) -> Report:
        """What was found so far; `end_lsn`: all that is known of the log stands before it."""
        return self._progress()[0]

    def size(self) -> int:
        """All bytes that there are to read; `report().bytes` is how far it has come."""
        return self._progress()[1]

    def close(self) -> None:
        """Let go of the files, and let others open the log."""
        scan, self._scan = self._scan, None
        if scan:
            ffi.release(scan)

    def __enter__(self) -> Self:
        """The scan; the end of the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _goes_on(self, status: int) -> bool:
        if status == lib.QUPLOG_EMPTY:
            return False
        if status:
            raise _open_error(status, self._name, self.report())
        return True

    def _open_scan(self) -> Any:
        if not self._scan:
            raise _error(lib.QUPLOG_CLOSED, self._name)
        return self._scan

    def _progress(self) -> tuple[Report, int]:
        report = ffi.new("quplog_report *")
        size = ffi.new("uint64_t *")
        lib.quplog_scan_report(self._open_scan(), report, size)
        return _read_report(report), int(size[0])

    def _read_op(self, found: Any) -> ScannedOp:
        record = found.record
        kind = _OP_TYPES[record.type]
        return ScannedOp(
            lsn=record.lsn,
            length=found.op.length,
            check=found.check,
            time_us=record.time_us,
            type=kind,
            id=record.id,
            token=record.token,
            due_us=record.due_us,
            generation=record.generation,
            slot=record.slot,
            state=_STATES.get(record.state),
            reason=record.reason,
            priority=record.priority,
            attempt=record.attempt,
            crashes=found.crashes,
            created_us=found.created_us,
            started_us=found.started_us,
            finished_us=found.finished_us,
            ready_lsn=found.ready_lsn,
            finish_lsn=found.finish_lsn,
            cancel_requested=found.cancel_requested,
            paused=found.paused,
            last_us=found.last_us,
            succeeded_below=found.succeeded_below,
            failed_below=found.failed_below,
            task=_text(record.task),
            queue=_text(record.queue),
            name=_text(record.name),
            data=_bytes(record.data) if kind in {"schedule", "forget"} else b"",
        )


def _read_damage(damage: Any) -> Damage:
    fields = {name: getattr(damage, name) for name in Damage._fields}
    kind = _DAMAGES[damage.kind]
    return Damage(**fields | {"kind": kind, "file": ffi.string(damage.file).decode()})


def seed_log(path: str | os.PathLike[str], end_lsn: int, next_id: int) -> None:
    """Make a log without a job in an empty directory; it goes on behind another one's LSNs and ids.

    Raises LogFull, ValueError or OSError; then the directory is to be thrown away.
    """
    name = os.fspath(path)
    _check(lib.quplog_seed(os.fsencode(name), end_lsn, next_id), name)


# ---- fork ---------------------------------------------------------------------------------------

_open_stores: weakref.WeakSet[LogStore] = weakref.WeakSet()


def _abandon_all() -> None:
    for store in list(_open_stores):
        store.abandon()


os.register_at_fork(after_in_child=_abandon_all)
