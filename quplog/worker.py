"""The worker pool: threads that run jobs, and their helper; started, stopped, never in the way.

Each worker thread has a seat in the store and blocks in one call there, which writes the outcome of
its last job and claims the next. All are daemon threads, so that a job that does not end cannot
keep the program from ending: stop() gives such a job back, and what its thread writes later is
refused, since the claim is no longer its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue

from quplog.clock import monotonic_us
from quplog.codec import Types
from quplog.errors import (
    LogClosed,
    LogFailed,
    LogFull,
    LogLocked,
    PayloadError,
    QuplogError,
    StaleClaim,
)
from quplog.runner import NOTHING, Finish, Runner, refused
from quplog.scheduler import Ticker
from quplog.store import Claim, Store
from quplog.task import Handler

logger = logging.getLogger("quplog")

RETRY_SECONDS = 1.0
"""How long to hold a result, or a tick, that the device had no room for before trying again."""


class Worker:
    """One thread's loop: its seat in the store, and the runner of its jobs."""

    def __init__(self, store: Store, handlers: Mapping[str, Handler], types: Types) -> None:
        self._seat = store.seat()
        self._runner = Runner(handlers, store, types)
        self._given_up = threading.Event()

    def work(self, may_claim: Callable[[], bool], *, wait: bool) -> int:
        """Run jobs until there is none (unless it is to `wait`) or none may be claimed.

        Returns how many it ran. Raises LogClosed, LogFailed, and KeyboardInterrupt in the main
        thread; the job that it is at goes back then.
        """
        ran = 0
        finish = NOTHING
        try:
            while (claim := self._exchange(finish, may_claim, wait=wait)) is not None:
                finish = self._runner.run(claim)
                ran += 1
        finally:
            self._seat.close()
            self._runner.close()
        return ran

    def release(self) -> None:
        """From another thread: give its job back, and let it write no outcome."""
        self._given_up.set()
        self._seat.release()

    def _exchange(
        self, finish: Finish, may_claim: Callable[[], bool], *, wait: bool
    ) -> Claim | None:
        """Write the outcome and claim the next job, however often that takes."""
        while True:
            try:
                return self._seat.work(*finish, claim=may_claim(), wait=wait)
            except StaleClaim:
                logger.warning("an outcome was not written: the job had been given back")
                finish = NOTHING
            except PayloadError as error:
                finish = refused(error)
            except (LogFull, LogLocked, MemoryError, OSError) as error:
                logger.warning("an outcome cannot be written, trying again in 1 s: %s", error)
                if self._given_up.wait(RETRY_SECONDS):
                    return None


class WorkerPool:
    """Threads that run the jobs of these handlers. It is started once and stopped once."""

    def __init__(
        self,
        store: Store,
        handlers: Mapping[str, Handler],
        types: Types,
        *,
        workers: int,
        alarm: Callable[[Exception], None],
    ) -> None:
        self._store = store
        self._alarm = alarm
        """Called when nothing can be written any more, so that nothing will run."""
        self._stopping = threading.Event()
        # What stop() listens to: a thread that has ended, or None: somebody is in a hurry. A
        # SimpleQueue, because a signal handler may put to it.
        self._news: SimpleQueue[threading.Thread | None] = SimpleQueue()
        self._helper = threading.Thread(target=self._help, name="quplog-helper", daemon=True)
        self._ended: set[threading.Thread] = set()
        self._workers: dict[threading.Thread, Worker] = {}
        for number in range(workers):
            worker = Worker(store, handlers, types)
            name = f"quplog-worker-{number + 1}"
            thread = threading.Thread(target=self._work, args=(worker,), name=name, daemon=True)
            self._workers[thread] = worker

    def start(self) -> None:
        """Begin to run jobs."""
        self._store.start()
        self._helper.start()
        for thread in self._workers:
            thread.start()

    def stop(self, grace: float) -> None:
        """Claim nothing more, wait up to `grace` seconds for the jobs that run, release the rest.

        A job that is released is ready again and has used no attempt.
        """
        self._stopping.set()
        self._store.stop()
        self._wait(time.monotonic() + grace)
        for thread, worker in self._workers.items():
            if thread in self._ended:
                thread.join()
            else:
                logger.warning("%s did not end in time: its job goes back", thread.name)
                _release(worker)
        self._helper.join()

    def hurry(self) -> None:
        """Let a stop() that is waiting wait no longer. May be called in a signal handler."""
        self._news.put(None)

    def _wait(self, deadline: float) -> None:
        while len(self._ended) < len(self._workers):
            left = max(0.0, deadline - time.monotonic())
            try:
                thread = self._news.get(timeout=left) if left else self._news.get_nowait()
            except Empty:
                return
            if thread is None:
                return
            self._ended.add(thread)

    def _work(self, worker: Worker) -> None:
        try:
            worker.work(lambda: not self._stopping.is_set(), wait=True)
        except LogClosed:
            pass  # the queue was closed while a job ran, and the job has gone back
        except LogFailed as error:
            logger.error("a worker ends: %s", error)  # noqa: TRY400  # the text says it all
            self._alarm(error)
        except Exception as error:
            logger.exception("a worker ends, and its job goes back")
            self._alarm(error)
        finally:
            self._news.put(threading.current_thread())

    def _help(self) -> None:
        ticker = Ticker(self._store)
        while True:
            try:
                if not self._store.keep():
                    return
                ticker.tick_due()
            except (LogFull, LogLocked, MemoryError, OSError) as error:
                logger.warning("what is due cannot be done, trying again in 1 s: %s", error)
                if self._stopping.wait(RETRY_SECONDS):
                    return
            except LogClosed:
                return
            except LogFailed as error:  # the workers may all be busy: they would not notice
                logger.error("the helper of the workers ends: %s", error)  # noqa: TRY400
                self._alarm(error)
                return
            except Exception as error:
                logger.exception("the helper of the workers ends")
                self._alarm(error)
                return


def _release(worker: Worker) -> None:
    try:
        worker.release()
    except (QuplogError, OSError, MemoryError) as error:
        # Whoever finds that this process has gone, or opens the log again, gives it back.
        logger.warning("its job could not be given back: %s", error)


def run_ready(store: Store, handlers: Mapping[str, Handler], types: Types, deadline_us: int) -> int:
    """Run, in this thread, what is due and ready, until there is no more or the deadline passes.

    0: no deadline. What a stop() had forbidden is allowed again. Returns how many jobs it ran.
    """
    store.start()
    Ticker(store).tick_due()
    worker = Worker(store, handlers, types)
    return worker.work(lambda: not deadline_us or monotonic_us() < deadline_us, wait=False)
