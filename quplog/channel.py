"""The channel between an event loop and the store: nothing here ever blocks the loop.

The enqueues of one loop turn become one frame (without being one transaction): they are appended
together when the turn ends, and one thread waits in the store until they are durable and then
resolves the whole batch at once. If another writer is in the way at that moment, that thread
appends them too. Waiting for results works likewise: one thread waits in the store until any job
has finished, and resolves those that somebody here waits for.
"""

from __future__ import annotations

import threading
import time
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

from quplog.errors import JobNotFound, LogClosed, LogLocked, PayloadError
from quplog.store import Put, Store

FRAME_BYTES = 16 * 1024 * 1024
"""The payload bytes of one turn that go into one frame; more than that become several."""

QUIET_SHARE = 4
"""A look at all waiting results that took t is followed by a pause of this many t, so that the
looks of ten thousand waiters cannot eat the processor."""

Settlement = tuple["Future[int]", int | BaseException]


class _Ask(NamedTuple):
    """One enqueue that waits for the end of its turn."""

    put: Put
    sync: bool
    future: Future[int]


class _Batch(NamedTuple):
    """What the thread behind the loops has to do for one of them."""

    loop: AbstractEventLoop
    settlements: list[Settlement]
    """Futures to be resolved when all is durable."""
    asks: Sequence[_Ask]
    """Jobs to be stored first."""


class Channel:
    """Enqueues and results for event loops; any number of loops may share one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns: dict[AbstractEventLoop, list[_Ask]] = {}
        self._behind = _Behind(store)
        self._results = _Results(store)

    async def put(self, put: Put, *, sync: bool) -> int:
        """Store one job, together with the others of this turn; its id."""
        loop = get_running_loop()
        future: Future[int] = loop.create_future()
        turn = self._turns.get(loop)
        if turn is None:
            turn = self._turns[loop] = []
            loop.call_soon(self._end_turn, loop)
        turn.append(_Ask(put, sync, future))
        return await future

    async def finished(self, job_id: int) -> None:
        """Return when the job is finished (or forgotten)."""
        await self._results.wait(job_id)

    def stop(self) -> None:
        """End the threads: before the store is closed, which ends what they wait for."""
        self._behind.stop()
        self._results.stop()

    def join(self) -> None:
        """Wait until the threads have ended: after the store was closed."""
        self._results.join()

    def _end_turn(self, loop: AbstractEventLoop) -> None:
        for asks in _frames(self._turns.pop(loop)):
            self._append(loop, asks)

    def _append(self, loop: AbstractEventLoop, asks: Sequence[_Ask]) -> None:
        if self._behind.appends:  # what came before is still on its way
            self._behind.append(loop, asks)
            return
        try:
            ids = self._store.put([ask.put for ask in asks], sync=False, wait=False)
        except LogLocked:
            self._behind.append(loop, asks)
        except PayloadError as error:
            if len(asks) == 1:
                _settle([(asks[0].future, error)])
            else:  # one of them is too large: the others must not suffer for it
                for ask in asks:
                    self._append(loop, [ask])
        except Exception as error:  # noqa: BLE001  # whatever it is, it belongs to the enqueuers
            _settle([(ask.future, error) for ask in asks])
        else:
            appended = list(zip(asks, ids, strict=True))
            _settle([(ask.future, job_id) for ask, job_id in appended if not ask.sync])
            self._behind.sync(loop, [(ask.future, job_id) for ask, job_id in appended if ask.sync])


class _Behind:
    """The thread behind the event loops: it waits where they must not, for the disk or the lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._stopped = False
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread = _LazyThread("quplog-durability", self._run)
        self.appends = 0
        """How many batches wait to be appended; those that come later must stay behind them."""

    def sync(self, loop: AbstractEventLoop, settlements: list[Settlement]) -> None:
        """Resolve these futures when all that was appended before is durable."""
        if settlements:
            self._take(_Batch(loop, settlements, ()))

    def append(self, loop: AbstractEventLoop, asks: Sequence[_Ask]) -> None:
        """Store these jobs, however long that takes."""
        self._take(_Batch(loop, [], asks))

    def stop(self) -> None:
        """Do what is there, then end."""
        with self._lock:
            self._stopped = True
        self._batches.put(None)
        self._thread.join()

    def _take(self, batch: _Batch) -> None:
        with self._lock:
            if not self._stopped:
                self.appends += bool(batch.asks)
                self._batches.put(batch)
                self._thread.start()
                return
        for loop, settlements in self._settled([batch]):  # the queue is just being closed
            _settle_from_thread(loop, settlements)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            batches = [batch]
            with suppress(Empty):
                while (batch := self._batches.get_nowait()) is not None:
                    batches.append(batch)
            for loop, settlements in self._settled(batches):
                _settle_from_thread(loop, settlements)
            with self._lock:
                self.appends -= sum(bool(each.asks) for each in batches)
            if batch is None:
                return

    def _settled(
        self, batches: Sequence[_Batch]
    ) -> Iterator[tuple[AbstractEventLoop, list[Settlement]]]:
        """Append what has to be, make all of it durable, and say how each ended."""
        outcomes = [batch.settlements + self._put(batch.asks) for batch in batches]
        failure = self._error_of(self._store.sync)
        for batch, settlements in zip(batches, outcomes, strict=True):
            yield batch.loop, _outcome(settlements, failure)

    def _put(self, asks: Sequence[_Ask]) -> list[Settlement]:
        ids: Sequence[int] = ()

        def put() -> None:
            nonlocal ids
            ids = self._store.put([ask.put for ask in asks], sync=False)

        error = self._error_of(put) if asks else None
        if isinstance(error, PayloadError) and len(asks) > 1:
            return [settlement for ask in asks for settlement in self._put([ask])]
        if error is not None:
            return [(ask.future, error) for ask in asks]
        return [(ask.future, job_id) for ask, job_id in zip(asks, ids, strict=True)]

    @staticmethod
    def _error_of(call: Callable[[], None]) -> Exception | None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # whatever it is, it belongs to the enqueuers
            return error
        return None


class _Results:
    """The thread that waits until jobs have finished."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[int, list[tuple[AbstractEventLoop, Future[int]]]] = {}
        self._arrived = threading.Event()
        self._stopping = threading.Event()
        self._thread = _LazyThread("quplog-results", self._run)

    async def wait(self, job_id: int) -> None:
        loop = get_running_loop()
        future: Future[int] = loop.create_future()
        entry = (loop, future)
        with self._lock:
            self._waiting.setdefault(job_id, []).append(entry)
        try:
            # Only now, so that a job that finishes in between is seen here or by the thread.
            if not self._is_finished(job_id):
                self._thread.start()
                self._arrived.set()
                await future
        finally:
            self._leave(job_id, entry)

    def stop(self) -> None:
        self._stopping.set()
        self._arrived.set()

    def join(self) -> None:
        self._thread.join()
        self._settle_all(LogClosed("the log was closed while a result was waited for"))

    def _run(self) -> None:
        seen = 0
        while True:
            self._arrived.wait()
            if self._stopping.is_set():
                return
            try:
                seen = self._store.wait_finished(seen)
                began = time.monotonic()
                self._look()
            except LogClosed:
                return  # join() tells those who still wait
            except Exception as error:  # noqa: BLE001  # it belongs to those who wait
                self._settle_all(error)
            else:
                self._stopping.wait(QUIET_SHARE * (time.monotonic() - began))

    def _look(self) -> None:
        with self._lock:
            job_ids = list(self._waiting)
            if not job_ids:
                if not self._stopping.is_set():
                    self._arrived.clear()
                return
        self._settle(job_id for job_id in job_ids if self._is_finished(job_id))

    def _settle(self, job_ids: Iterable[int]) -> None:
        by_loop: defaultdict[AbstractEventLoop, list[Settlement]] = defaultdict(list)
        for job_id in job_ids:
            with self._lock:
                entries = self._waiting.pop(job_id, [])
            for loop, future in entries:
                by_loop[loop].append((future, job_id))
        for loop, settlements in by_loop.items():
            _settle_from_thread(loop, settlements)

    def _settle_all(self, error: Exception) -> None:
        with self._lock:
            entries = [entry for each in self._waiting.values() for entry in each]
            self._waiting.clear()
        for loop, future in entries:
            _settle_from_thread(loop, [(future, error)])

    def _leave(self, job_id: int, entry: tuple[AbstractEventLoop, Future[int]]) -> None:
        with self._lock:
            entries = self._waiting.get(job_id, [])
            if entry in entries:
                entries.remove(entry)
                if not entries:
                    del self._waiting[job_id]

    def _is_finished(self, job_id: int) -> bool:
        try:
            return self._store.wait_job(job_id, 1)  # a deadline long past: only look
        except JobNotFound:
            return True  # loading it will say so


class _LazyThread:
    """A daemon thread that starts when it is first needed."""

    def __init__(self, name: str, target: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._name = name
        self._target = target

    def start(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    thread = threading.Thread(target=self._target, name=self._name, daemon=True)
                    thread.start()
                    self._thread = thread

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()


def _frames(asks: list[_Ask]) -> Iterator[list[_Ask]]:
    frame: list[_Ask] = []
    size = 0
    for ask in asks:
        size += len(ask.put.payload)
        if frame and size > FRAME_BYTES:
            yield frame
            frame, size = [], len(ask.put.payload)
        frame.append(ask)
    yield frame


def _outcome(settlements: list[Settlement], failure: Exception | None) -> list[Settlement]:
    if failure is None:
        return settlements
    return [
        (future, outcome if isinstance(outcome, BaseException) else failure)
        for future, outcome in settlements
    ]


def _settle(settlements: Sequence[Settlement]) -> None:
    for future, outcome in settlements:
        if future.done():
            continue  # its awaiter was cancelled
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _settle_from_thread(loop: AbstractEventLoop, settlements: Sequence[Settlement]) -> None:
    with suppress(RuntimeError):  # the loop was closed: nobody waits any more
        loop.call_soon_threadsafe(_settle, settlements)
