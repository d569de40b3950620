"""`JobQueue`: the user's door. Each verb checks what it was given and hands it on.

A JobQueue may be made at import time: nothing is opened, written or started until the first verb or
start(). All its methods may be called from any thread.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from queue import SimpleQueue
from types import FrameType
from typing import Any, Self, TypeVar, Unpack, cast, overload

from quplog.clock import SECOND_US, datetime_us, deadline_after, monotonic_us, to_us
from quplog.codec import Types, encode_object
from quplog.errors import UnknownTask
from quplog.intake import Intake
from quplog.job import Job, JobSpec
from quplog.log_store import LogStore
from quplog.runner import runs_job_of
from quplog.schedule import Every, Missed, Rule
from quplog.scheduler import Schedule, find_schedule, write_schedule
from quplog.states import JobState
from quplog.task import (
    Handler,
    Registry,
    Task,
    TaskDecorator,
    TaskOptions,
    UsingOptions,
    check_name,
    make_object_task,
    make_task,
    put_options,
)
from quplog.worker import WorkerPool, run_ready

R = TypeVar("R")
Duration = timedelta | float
"""A timedelta or seconds."""

EXIT_GRACE = 5.0
"""Seconds that jobs have to finish when the program ends without stop()."""

WORKERS_MAX = 1024
SEGMENT_MIN, SEGMENT_MAX = 1 << 16, 1 << 40
AS_STORED = -1
ID_MAX = (1 << 63) - 1
TAG_PAGE = 1000


@dataclass(frozen=True, slots=True)
class _Decorated:
    """A schedule from a decorator: written by start()."""

    id: str
    rule: Rule
    job: JobSpec[Any]
    start_now: bool


class JobQueue:
    """Background jobs, kept in the directory `path` (made on first use).

    `workers`: how many threads start() starts; 0: none, for a program that only enqueues.
    `sync`: whether an enqueue returns only when the job is on the disk. False: it survives the
    death of the process at once, and a power cut after `flush_interval`.
    `sync_finish`: the same for the outcomes of jobs.
    `segment_size` in bytes, `keep_succeeded` and `keep_failed` (how long finished jobs are kept):
    None is as stored in the log, at first 16 MiB, 1 hour and 7 days.
    `lock_timeout`: how long a call waits for another process that does not let go of the log,
    because it was stopped while it wrote; then it raises LogLocked, and nothing was written.
    Lengths of time are a timedelta or seconds. Wrong options raise TypeError or ValueError.

    >>> jq = JobQueue("jobs")                                   # doctest: +SKIP
    >>> @jq.task()                                              # doctest: +SKIP
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> with jq:                                                # doctest: +SKIP
    ...     print(add.enqueue(1, 2).result(timeout=5))
    3
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        workers: int = 10,
        sync: bool = True,
        sync_finish: bool = False,
        flush_interval: Duration = 0.1,
        segment_size: int | None = None,
        keep_succeeded: Duration | None = None,
        keep_failed: Duration | None = None,
        lock_timeout: Duration = 10,
    ) -> None:
        self._path = _checked_path(path)
        self._workers = _whole("workers", workers, 0, WORKERS_MAX)
        self._sync = _flag("sync", sync)
        open_store = partial(
            LogStore.open,
            self._path,
            sync_finish=_flag("sync_finish", sync_finish),
            flush_interval_us=to_us(flush_interval, "flush_interval"),
            segment_size=0
            if segment_size is None
            else _whole("segment_size", segment_size, SEGMENT_MIN, SEGMENT_MAX),
            keep_succeeded_us=AS_STORED
            if keep_succeeded is None
            else to_us(keep_succeeded, "keep_succeeded"),
            keep_failed_us=AS_STORED if keep_failed is None else to_us(keep_failed, "keep_failed"),
            lock_timeout_us=to_us(lock_timeout, "lock_timeout"),
        )
        self._types = Types()
        self._registry = Registry()
        self._decorated: list[_Decorated] = []
        self._intake = Intake(open_store, self._types, sync=self._sync)
        self._lifecycle = threading.RLock()
        self._pool: WorkerPool | None = None
        self._queues: list[str] | None = None
        # What run() waits for: None is a signal, else why the pool cannot go on.
        self._alarms: SimpleQueue[Exception | None] = SimpleQueue()
        _queues.add(self)

    # Tasks

    def task(self, **options: Unpack[TaskOptions]) -> TaskDecorator:
        """Make a function a task. Options: see `TaskOptions`.

        Raises ValueError if another function has the name already.
        """
        return cast("TaskDecorator", partial(self._make_task, options))

    def every(
        self,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
        start_now: bool = False,
        missed: Missed = "once",
        jitter: Duration = 0,
        id: str | None = None,  # noqa: A002  # the word that people know
        **options: Unpack[TaskOptions],
    ) -> TaskDecorator:
        """Make a function a task that runs again and again; start() stores its schedule.

        It first runs after one period (`start_now`: at once). `missed` says what happens to runs
        whose time went by while no program was there: "once" (one run for all), "all", "skip".
        `jitter` puts each run off by a random time up to that. `id`: default the task's name.
        """
        period = timedelta(
            weeks=weeks,
            days=days,
            hours=hours,
            minutes=minutes,
            seconds=seconds,
            milliseconds=milliseconds,
        )
        rule = Every(to_us(period, "the period"), missed, to_us(jitter, "jitter"))
        _flag("start_now", start_now)
        make = partial(self._make_recurring, options, rule, id, start_now)
        return cast("TaskDecorator", make)

    def register(self, cls: type, executor: object, **options: Unpack[TaskOptions]) -> None:
        """Let jobs that are objects of `cls` be run by `executor`.

        That has a method `execute(task)`, or is a callable that takes the task.

        >>> jq.register(OrderEmail, sender)                     # doctest: +SKIP
        >>> jq.enqueue(OrderEmail(42))                          # doctest: +SKIP
        """
        put, handler = make_object_task(cls, executor, options, self._types)
        self._add(handler)
        self._registry.objects[cls] = put

    def types(self, *classes: type) -> None:
        """Make classes known, so that arguments and results may hold their objects."""
        for cls in classes:
            self._types.add(cls)

    # Enqueueing

    @overload
    def enqueue(self, job: JobSpec[R], /, **options: Unpack[UsingOptions]) -> Job[R]: ...
    @overload
    def enqueue(self, job: object, /, **options: Unpack[UsingOptions]) -> Job[Any]: ...
    def enqueue(self, job: object, /, **options: Unpack[UsingOptions]) -> Job[Any]:
        """Store a job: a `task.job(...)` or an object of a registered class.

        Options: see `UsingOptions`. Raises UnknownTask, PayloadError, LogFull, LogFailed, LogLocked
        or LogClosed.
        """
        spec = self._spec(job, options)
        return self._intake.put(spec.options, spec.payload)

    @overload
    async def aenqueue(self, job: JobSpec[R], /, **options: Unpack[UsingOptions]) -> Job[R]: ...
    @overload
    async def aenqueue(self, job: object, /, **options: Unpack[UsingOptions]) -> Job[Any]: ...
    async def aenqueue(self, job: object, /, **options: Unpack[UsingOptions]) -> Job[Any]:
        """Do the same without blocking the event loop."""
        spec = self._spec(job, options)
        return await self._intake.aput(spec.options, spec.payload)

    def enqueue_many(self, jobs: Iterable[JobSpec[R]]) -> list[Job[R]]:
        """Store all these jobs, or none, at once; the Jobs are in the same order.

        Objects of registered classes are taken too.
        """
        specs = [job if type(job) is JobSpec else self._spec(job, {}) for job in jobs]
        return self._intake.put_many(specs)

    def transaction(self) -> AbstractContextManager[None]:
        """Store everything that is enqueued in the block at once at its end, or nothing.

        An exception discards it all. Until the end, the `id` of such a Job raises JobNotFound.
        A transaction inside of another joins it.
        """
        return self._intake.transaction()

    def sync(self) -> None:
        """Return when everything that was enqueued so far is on the disk."""
        self._store.sync()

    def compact(self) -> None:
        """Give disk space back now: of jobs that were forgotten, and of what finished jobs took.

        A started pool does this by itself when the log has grown; whatever it is that is stored
        stays. Returns when it is done. Raises LogFull, LogCorrupt, LogFailed.
        """
        self._store.compact()

    # Schedules

    def schedule(
        self,
        job: object,
        *,
        every: Duration,
        id: str | None = None,  # noqa: A002  # the word that people know
        start_now: bool = False,
        missed: Missed = "once",
        jitter: Duration = 0,
    ) -> Schedule:
        """Store a schedule: a `task.job(...)` or an object of a registered class, again and again.

        The same schedule again changes nothing; a changed rule counts from its last run. `id`:
        default the task's name or the object's type. The rest is as for `every()`.
        """
        spec = self._spec(job, {})
        rule = Every(to_us(every, "every"), missed, to_us(jitter, "jitter"))
        name = spec.options.spec.task if id is None else check_name("id", id)
        self._write(_Decorated(name, rule, _undelayed(spec), _flag("start_now", start_now)))
        stored = find_schedule(self._store, name)
        assert stored is not None  # noqa: S101  # it has just been written
        return Schedule(self._store, stored, sync=self._sync)

    def schedules(self) -> list[Schedule]:
        """All stored schedules."""
        store = self._store
        return [Schedule(store, stored, sync=self._sync) for stored in store.schedules()]

    def unschedule(self, schedule_id: str) -> bool:
        """Remove a schedule; jobs that it has made stay. False: there is none of this id."""
        return self._store.remove_schedule(check_name("id", schedule_id), sync=self._sync)

    # Running

    def start(self, *, workers: int | None = None, queues: Sequence[str] | None = None) -> None:
        """Start the worker threads. Once they run, another call changes nothing until stop().

        `workers`: how many, if not as the JobQueue was made. `queues`: run only these (None: all).
        """
        number = self._workers if workers is None else _whole("workers", workers, 0, WORKERS_MAX)
        names = _names("queues", queues)
        with self._lifecycle:
            if self._pool is not None:
                return
            self._queues = names
            session = self._intake.session
            for decorated in self._decorated:
                self._write(decorated)
            if number == 0:
                return
            handlers = self._registry.handlers
            session.store.serve(handlers, self._queues)
            pool = WorkerPool(
                session.store, handlers, self._types, workers=number, alarm=self._alarms.put
            )
            session.stop_first = partial(pool.stop, EXIT_GRACE)
            pool.start()
            self._pool = pool

    def stop(self, grace: Duration = 30) -> None:
        """Claim no more jobs, let those that run finish within `grace`, give the rest back.

        A job that goes back is ready again and has used no attempt. Returns at once when nothing
        runs. Called by a job it returns at once, and stops in the background. The log stays open,
        and start() works again.
        """
        seconds = to_us(grace, "grace") / SECOND_US
        session = self._intake.opened
        if session is not None and runs_job_of(session.store):
            # The job that calls is one of those to be waited for.
            name = "quplog-stop"
            threading.Thread(target=self._stop, args=(seconds,), name=name, daemon=True).start()
        else:
            self._stop(seconds)

    def run(
        self,
        *,
        workers: int | None = None,
        queues: Sequence[str] | None = None,
        grace: Duration = 30,
    ) -> None:
        """Start, run jobs until SIGTERM or SIGINT, and then stop.

        The jobs that run then have `grace` to finish; a second signal gives them back at once.
        Only in the main thread. Raises LogFailed if the device fails meanwhile.
        """
        to_us(grace, "grace")
        signals = count()

        def on_signal(_: int, __: FrameType | None) -> None:
            pool = self._pool
            if next(signals) == 0:
                self._alarms.put(None)
            elif pool is not None:
                pool.hurry()

        while self._pool is None and not self._alarms.empty():  # of one that has been stopped
            self._alarms.get()
        with _signal_handlers(on_signal):
            self.start(workers=workers, queues=queues)
            failure = self._alarms.get()
            self.stop(grace)
        if failure is not None:
            raise failure

    def drain(self, timeout: Duration | None = None) -> None:
        """Return when no job is running, and none is ready that somebody here can run.

        Without start() it runs them, in this thread. Jobs that are due later do not count, nor do
        paused queues and tasks that are not registered. Raises TimeoutError after `timeout`.
        """
        store = self._store
        if runs_job_of(store):
            message = "drain() inside of a job would wait for that job itself"
            raise RuntimeError(message)
        deadline_us = 0 if timeout is None else deadline_after(timeout, "timeout")
        while True:
            ran = self._run_ready(deadline_us) if self._pool is None else 0
            now_us = monotonic_us()
            # Where jobs were run just now there may be more, to be run here: only look. Else wait,
            # in slices, because a stop() meanwhile leaves it to this thread to run the rest.
            until_us = now_us if ran else now_us + SECOND_US
            if store.wait_idle(min(until_us, deadline_us or until_us)):
                return
            if deadline_us and monotonic_us() >= deadline_us:
                message = f"there are still jobs to run after {timeout} s"
                raise TimeoutError(message)

    # Looking at jobs

    def job(self, job_id: int) -> Job[Any]:
        """The job of this number as it is now. Raises JobNotFound."""
        return Job.load(self._intake.session.link, job_id)

    def jobs(
        self,
        *,
        state: JobState | str | None = None,
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[Job[Any]]:
        """At most `limit` jobs that match all that is given, in order of their ids.

        `since` and `until`: created from then on, and before then; aware datetimes. `after`: only
        ids above it, to get the next page. `tag` has to read each job from the log.
        """
        find = partial(
            self._store.find,
            state=None if state is None else _state(state),
            queue=None if queue is None else check_name("queue", queue),
            task=None if task is None else check_name("task", task),
            since_us=0 if since is None else datetime_us(since, "since"),
            until_us=0 if until is None else datetime_us(until, "until"),
        )
        last = 0 if after is None else _whole("after", after, 0, ID_MAX)
        limit = _whole("limit", limit, 1, ID_MAX)
        link = self._intake.session.link
        if tag is None:
            return [Job.from_record(link, record) for record in find(after=last, limit=limit)]
        check_name("tag", tag)
        found: list[Job[Any]] = []
        while len(found) < limit and (records := find(after=last, limit=TAG_PAGE)):
            page: list[Job[Any]] = [Job.from_record(link, record) for record in records]
            found += [job for job in page if tag in job.tags]
            last = records[-1].id
        return found[:limit]

    def counts(self, queue: str | None = None) -> dict[JobState, int]:
        """How many jobs are in each state, in one queue or (None) in the whole log."""
        return self._store.counts(None if queue is None else check_name("queue", queue))

    def queue(self, name: str) -> QueueControl:
        """A queue, to pause and resume it."""
        return QueueControl(self._intake, check_name("queue", name))

    # The end

    def close(self) -> None:
        """Stop, and close the log for good: later verbs raise LogClosed, but for this and stop."""
        session = self._intake.opened
        if session is not None and runs_job_of(session.store):
            message = "close() inside of a job would wait for that job itself: call stop()"
            raise RuntimeError(message)
        self.stop()
        self._intake.close()

    def __enter__(self) -> Self:
        """Start; the end of the block stops and closes."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and close."""
        self.close()

    def __repr__(self) -> str:
        return f"JobQueue({self._path!r})"

    @property
    def _store(self) -> LogStore:
        return self._intake.session.store

    def _stop(self, grace: float) -> None:
        with self._lifecycle:
            if self._pool is None:
                return
            self._pool.stop(grace)
            self._pool = None
            session = self._intake.opened
            if session is not None:
                session.stop_first = None

    def _run_ready(self, deadline_us: int) -> int:
        store, handlers = self._store, self._registry.handlers
        store.serve(handlers, None)
        return _outside_event_loop(partial(run_ready, store, handlers, self._types, deadline_us))

    def _spec(self, job: object, options: UsingOptions) -> JobSpec[Any]:
        """The JobSpec of what enqueue() and schedule() take."""
        if isinstance(job, JobSpec):
            return JobSpec(put_options(job.options, options), job.payload) if options else job
        base = self._registry.objects.get(type(job))
        if base is None:
            kind = type(job).__name__
            message = (
                f"cannot enqueue {kind}: give task.job(...), or an object of a class that was "
                f"registered with jq.register({kind}, executor)"
            )
            raise UnknownTask(message)
        payload = encode_object(job, self._types)
        return JobSpec(put_options(base, options) if options else base, payload)

    def _make_task(self, options: TaskOptions, function: Callable[..., Any]) -> Task[..., Any]:
        task, handler = make_task(function, options, self._intake, self._types)
        self._add(handler)
        return task

    def _make_recurring(
        self,
        options: TaskOptions,
        rule: Rule,
        schedule_id: str | None,
        start_now: bool,  # noqa: FBT001  # given by partial()
        function: Callable[..., Any],
    ) -> Task[..., Any]:
        try:
            inspect.signature(function).bind()
        except TypeError as error:
            message = f"a scheduled function is called without arguments: {error}"
            raise TypeError(message) from None
        task = self._make_task(options, function)
        name = task.name if schedule_id is None else check_name("id", schedule_id)
        if any(each.id == name for each in self._decorated):
            message = f"there is a schedule {name!r} already: give this one another id=..."
            raise ValueError(message)
        decorated = _Decorated(name, rule, task.job(), start_now)
        self._decorated.append(decorated)
        if self._pool is not None:
            self._write(decorated)
        return task

    def _add(self, handler: Handler) -> None:
        self._registry.add(handler)
        if self._pool is not None:
            self._store.serve({handler.name: handler}, self._queues)

    def _write(self, schedule: _Decorated) -> None:
        write_schedule(
            self._store,
            schedule.id,
            schedule.rule,
            schedule.job,
            start_now=schedule.start_now,
            sync=self._sync,
        )

    def _after_fork(self) -> None:
        self._lifecycle = threading.RLock()  # a thread that is not here may have held the old one
        self._pool = None
        self._intake.forget_after_fork()


class QueueControl:
    """One named queue: what `jq.queue(name)` returns."""

    __slots__ = ("_intake", "name")

    def __init__(self, intake: Intake, name: str) -> None:
        self._intake = intake
        self.name = name

    @property
    def paused(self) -> bool:
        """Whether it is paused."""
        return self._intake.session.store.paused(self.name)

    def pause(self) -> None:
        """Let no worker claim from it, in any process, until resume(); also after restarts."""
        self._intake.session.store.pause(self.name, paused=True)

    def resume(self) -> None:
        """Let workers claim from it again."""
        self._intake.session.store.pause(self.name, paused=False)

    def __repr__(self) -> str:
        return f"<queue {self.name}>"


@contextmanager
def _signal_handlers(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        message = "run() waits for signals, which only the main thread can: use start() here"
        raise RuntimeError(message)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _outside_event_loop(run: Callable[[], R]) -> R:
    """Call it where a job may start an event loop: not in a thread where one is running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(run).result()


def _undelayed(spec: JobSpec[Any]) -> JobSpec[Any]:
    if spec.options.is_later:
        message = "a scheduled job has no delay or run_at: its schedule says when it is due"
        raise ValueError(message)
    return spec


def _state(value: JobState | str) -> JobState:
    try:
        return JobState(value)
    except ValueError:
        message = f"state must be one of {', '.join(JobState)}, not {value!r}"
        raise ValueError(message) from None


def _names(option: str, names: Sequence[str] | None) -> list[str] | None:
    if names is None:
        return None
    if isinstance(names, str) or not names:
        message = f"{option} must be a list of names (None: all), not {names!r}"
        raise TypeError(message)
    return [check_name(f"each of {option}", name) for name in names]


def _whole(option: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{option} must be a whole number, not {type(value).__name__}"
        raise TypeError(message)
    if not least <= value <= most:
        message = f"{option} must be from {least:,} to {most:,}, not {value:,}"
        raise ValueError(message)
    return value


def _flag(option: str, value: object) -> bool:
    if not isinstance(value, bool):
        message = f"{option} must be True or False, not {value!r}"
        raise TypeError(message)
    return value


def _checked_path(path: object) -> str:
    name = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(name, str):
        message = f"path must be the name of a directory, not {path!r}"
        raise TypeError(message)
    if not name or "\0" in name:
        message = f"path must be the name of a directory, not {name!r}"
        raise ValueError(message)
    return name


_queues: weakref.WeakSet[JobQueue] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for each in list(_queues):
        each._after_fork()  # noqa: SLF001  # the same module


os.register_at_fork(after_in_child=_after_fork_in_child)
