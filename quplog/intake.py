"""Where jobs go in: the open log with its channel (`Session`), and the way to it (`Intake`).

The log is opened when it is first needed, and never again after close(). Every enqueue passes here:
one alone goes to the store at once, one from an event loop by the channel, and one inside of a
`transaction()` waits for the end of the block and then goes in one frame with the others.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from quplog.channel import Channel
from quplog.codec import Types
from quplog.errors import LogClosed
from quplog.job import Job, JobLink, JobSpec, PutOptions
from quplog.log_store import LogStore
from quplog.store import Put

R = TypeVar("R")


class Session:
    """An open log: the store, its channel, and what has to stop before they are closed."""

    def __init__(self, store: LogStore, types: Types, *, sync: bool) -> None:
        self.store = store
        self.channel = Channel(store)
        self.link = JobLink(store, types, sync, self.channel.finished)
        self.stop_first: Callable[[], None] | None = None

    def close(self) -> None:
        """Stop, make everything durable, and let go of the log."""
        if self.stop_first is not None:
            self.stop_first()
        self.channel.stop()
        self.store.close()
        self.channel.join()


class Intake:
    """The way in; it implements `task.Door`."""

    def __init__(self, open_store: Callable[[], LogStore], types: Types, *, sync: bool) -> None:
        self._open_store = open_store
        self._types = types
        self._sync = sync
        self._session: Session | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize[[], Intake] | None = None

    @property
    def session(self) -> Session:
        """The open log; opens it if need be. Raises LogClosed after close()."""
        return self._session or self._open()

    @property
    def opened(self) -> Session | None:
        """The log if it is open."""
        return self._session

    def put(self, options: PutOptions, payload: bytes) -> Job[Any]:
        """Store one job, or add it to the transaction that this context is in."""
        session = self._session or self._open()
        spec = options.spec
        due_us = options.due_us(session.store.now_us()) if options.is_later else 0
        sync = self._sync if options.sync is None else options.sync
        if _transactions.get() and (transaction := self._transaction()) is not None:
            job = transaction.add(session.link, Put(spec, payload, due_us), sync=sync)
            if job is not None:
                return job
        return Job(session.link, session.store.put_one(spec, payload, due_us, sync), spec, due_us)

    async def aput(self, options: PutOptions, payload: bytes) -> Job[Any]:
        """The same without blocking the event loop."""
        if _transactions.get() and self._transaction() is not None:
            return self.put(options, payload)
        session = self._session or self._open()
        due_us = options.due_us(session.store.now_us()) if options.is_later else 0
        put = Put(options.spec, payload, due_us)
        job_id = await session.channel.put(put, sync=self._syncs(options))
        return Job(session.link, job_id, options.spec, due_us)

    def put_many(self, specs: Sequence[JobSpec[R]]) -> list[Job[R]]:
        """Store all jobs in one frame, or none; inside of a transaction, with it."""
        if _transactions.get() and self._transaction() is not None:
            return [self.put(spec.options, spec.payload) for spec in specs]
        session = self._session or self._open()
        now_us = session.store.now_us()
        puts = []
        for each in specs:
            options = each.options
            due_us = options.due_us(now_us) if options.is_later else 0
            puts.append(Put(options.spec, each.payload, due_us))
        kinds = {id(each.options): each.options for each in specs}.values()
        sync = any(self._syncs(options) for options in kinds)
        ids = session.store.put(puts, sync=sync)
        link = session.link
        return [
            Job(link, job_id, spec, due_us)
            for job_id, (spec, _, due_us) in zip(ids, puts, strict=True)
        ]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything enqueued inside goes in one frame at the end; nothing after an exception.

        A transaction inside of another joins it.
        """
        if self._transaction() is not None:
            yield
            return
        transaction = _Transaction(self)
        token = _transactions.set((*_transactions.get(), transaction))
        try:
            yield
        except BaseException:
            transaction.end()
            raise
        finally:
            _transactions.reset(token)
        transaction.commit()

    def close(self) -> None:
        """Close the log, for good."""
        with self._lock:
            self._closed = True
            session, self._session = self._session, None
            if self._finalizer is not None:
                self._finalizer.detach()
        if session is not None:
            session.close()

    def forget_after_fork(self) -> None:
        """In the child of a fork: the log is the parent's; the next use opens it anew."""
        self._lock = threading.Lock()  # a thread that is not here may have held the old one
        self._session = None
        if self._finalizer is not None:
            self._finalizer.detach()

    def _open(self) -> Session:
        with self._lock:
            if self._closed:
                message = "this JobQueue was closed: make a new one on the directory"
                raise LogClosed(message)
            if self._session is None:
                session = Session(self._open_store(), self._types, sync=self._sync)
                # At the end of the program, or when nobody can use it any more.
                self._finalizer = weakref.finalize(self, session.close)
                self._session = session
            return self._session

    def _syncs(self, options: PutOptions) -> bool:
        return self._sync if options.sync is None else options.sync

    def _transaction(self) -> _Transaction | None:
        """The transaction of this log that this context is in."""
        for transaction in _transactions.get():
            if transaction.intake is self and transaction.is_open:
                return transaction
        return None


class _Transaction:
    """The jobs of one block. Threads and tasks that were started inside may add some too."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self.is_open = True
        self._lock = threading.Lock()
        self._puts: list[Put] = []
        self._jobs: list[Job[Any]] = []
        self._sync = False

    def add(self, link: JobLink, put: Put, *, sync: bool) -> Job[Any] | None:
        """The job that it will be; None if the block has just ended."""
        job: Job[Any] = Job(link, 0, put.spec, put.due_us)
        with self._lock:
            if not self.is_open:
                return None
            self._puts.append(put)
            self._jobs.append(job)
            self._sync = self._sync or sync
        return job

    def end(self) -> None:
        """From now on nothing joins."""
        with self._lock:
            self.is_open = False

    def commit(self) -> None:
        """Store everything in one frame."""
        self.end()
        if self._puts:
            ids = self.intake.session.store.put(self._puts, sync=self._sync)
            for job, job_id in zip(self._jobs, ids, strict=True):
                job.enqueued_as(job_id)


_transactions: ContextVar[tuple[_Transaction, ...]] = ContextVar("quplog_transactions", default=())
