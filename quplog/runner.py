"""One claimed job -> its outcome, as one pipeline: unpack, call, classify, encode.

Whatever a task does, it ends in a `Finish`: a value, an exception of any kind (SystemExit too, so
that a task cannot take its worker along), a Retry, Snooze or Cancel, arguments that cannot be
decoded, a result that cannot be stored. Only Ctrl-C in the main thread, where `drain()` runs jobs,
goes through: it is meant for the program. Each job runs in a context of its own, so that context
variables do not leak from one to the next, and coroutines run on an event loop of their thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Coroutine, Mapping
from contextvars import Context, ContextVar, copy_context
from dataclasses import replace
from types import CoroutineType
from typing import Any, NamedTuple

from quplog.clock import to_us
from quplog.codec import Types, encode_error, encode_result
from quplog.errors import JobCancelled, PayloadError
from quplog.printable import plain
from quplog.retry import Backoff, Cancel, Directive, RetryPolicy, Snooze
from quplog.store import Claim, Outcome, Store
from quplog.task import Handler

logger = logging.getLogger("quplog")


class Finish(NamedTuple):
    """How a run ended, as the store takes it."""

    outcome: Outcome
    data: bytes = b""
    due_us: int = 0


NOTHING = Finish(Outcome.NONE)
_SUCCEEDED = Outcome.SUCCEEDED  # an Enum's member costs more to look up than many a job
_DONE = Finish(_SUCCEEDED)
"""Most jobs return nothing."""


class JobContext:
    """What a job knows about itself while it runs: see `current_job()`."""

    __slots__ = ("_store", "attempt", "id")

    def __init__(self, job_id: int, attempt: int, store: Store) -> None:
        self.id = job_id
        self.attempt = attempt
        self._store = store

    @property
    def cancelled(self) -> bool:
        """True when `job.cancel()` was called: return Cancel(...) or raise JobCancelled."""
        return self._store.cancel_requested(self.id)

    def __repr__(self) -> str:
        return f"<JobContext {self.id}, attempt {self.attempt}>"


_current: ContextVar[JobContext | None] = ContextVar("quplog_current_job", default=None)


def current_job() -> JobContext:
    """The job that is running here. Raises LookupError outside of one.

    >>> @jq.task()                                              # doctest: +SKIP
    ... def copy_all(names: list[str]) -> None | Cancel:
    ...     for name in names:
    ...         if current_job().cancelled:
    ...             return Cancel("asked to stop")
    ...         copy(name)
    """
    context = _current.get()
    if context is None:
        message = "no job is running here: current_job() works only inside of a task"
        raise LookupError(message)
    return context


def runs_job_of(store: object) -> bool:
    """Whether a job of this store is running here."""
    context = _current.get()
    return context is not None and context._store is store  # noqa: SLF001  # the same module


class Runner:
    """Runs jobs in the thread that it belongs to."""

    def __init__(self, handlers: Mapping[str, Handler], store: Store, types: Types) -> None:
        self._handlers = handlers
        self._store = store
        self._types = types
        self._loop: asyncio.Runner | None = None

    def run(self, claim: Claim) -> Finish:
        """Run the job and say how it ended. Raises KeyboardInterrupt in the main thread only."""
        return Context().run(self._run, claim)

    def close(self) -> None:
        """End the event loop, if there was need for one."""
        if self._loop is not None:
            self._loop.close()

    def _run(self, claim: Claim) -> Finish:
        handler = self._handlers[claim.task]
        if claim.unreadable is not None:  # the others must not wait behind it for ever
            return self._give_up(claim, claim.unreadable)
        try:
            args, kwargs = handler.unpack(claim.payload)
        except PayloadError as error:  # it would be the same the next time
            return self._give_up(claim, error)
        _current.set(JobContext(claim.id, claim.attempt, self._store))
        try:
            value = handler.function(*args, **kwargs)
            if type(value) is CoroutineType:
                value = self._await(value)
        except BaseException as error:  # a task must not take its worker along
            if _is_for_the_program(error):
                raise
            return self._raised(claim, handler, error)
        if isinstance(value, Directive):
            return self._raised(claim, handler, value)
        return self._returned(claim, value)

    def _await(self, coroutine: Coroutine[Any, Any, object]) -> object:
        if self._loop is None:
            self._loop = asyncio.Runner()
        return self._loop.run(coroutine, context=copy_context())

    def _returned(self, claim: Claim, value: object) -> Finish:
        if value is None:
            return _DONE
        try:
            return Finish(_SUCCEEDED, encode_result(value, self._types))
        except PayloadError as error:  # it ran: to run it again would not change what it returns
            return self._give_up(claim, error)

    def _raised(self, claim: Claim, handler: Handler, error: BaseException) -> Finish:
        if isinstance(error, Snooze):
            return Finish(Outcome.SNOOZE, b"", self._after(error.delay))
        if isinstance(error, Cancel) or _accepts_cancel(claim, error):
            return Finish(Outcome.CANCELLED, encode_error(_kind(error), _text(error), ""))
        delay = _delay(claim, handler.policy, error)
        if delay is None:
            return self._give_up(claim, error)
        logger.warning(
            "job %d (%s) failed at attempt %d and runs again in %.1f s: %s",
            *(claim.id, claim.task, claim.attempt, delay, _summary(error)),
        )
        return Finish(Outcome.RETRY, _encode(error), self._after(delay))

    def _give_up(self, claim: Claim, error: BaseException) -> Finish:
        logger.error(
            "job %d (%s) failed at attempt %d, the last one: %s",
            *(claim.id, claim.task, claim.attempt, _summary(error)),
        )
        return Finish(Outcome.FAILED, _encode(error))

    def _after(self, delay: float) -> int:
        return self._store.now_us() + to_us(delay, "delay")


def refused(error: Exception) -> Finish:
    """The outcome of a run whose own outcome the store cannot take, because it is too large."""
    return Finish(Outcome.FAILED, _encode(error))


def _is_for_the_program(error: BaseException) -> bool:
    in_main = threading.current_thread() is threading.main_thread()
    return in_main and isinstance(error, KeyboardInterrupt)


def _accepts_cancel(claim: Claim, error: BaseException) -> bool:
    """Not if the task has waited for another job and that one was cancelled."""
    return isinstance(error, JobCancelled) and error.job_id in (None, claim.id)


def _delay(claim: Claim, policy: RetryPolicy, error: BaseException) -> float | None:
    """The seconds until the next attempt; None: there is none."""
    if policy.retries != claim.retries:  # chosen for this job, or changed since it was stored
        policy = replace(policy, retries=claim.retries)
    try:
        return policy.decide(claim.attempt, error)
    except Exception:  # the backoff is the application's own function
        logger.exception("the backoff of %s failed; the default one is used", claim.task)
        return replace(policy, backoff=Backoff()).decide(claim.attempt, error)


def _encode(error: BaseException) -> bytes:
    outside = error.__traceback__.tb_next if error.__traceback__ else None
    lines = traceback.format_exception(type(error), error, outside)
    return encode_error(_kind(error), _text(error), "".join(lines))


def _kind(error: BaseException) -> str:
    return type(error).__qualname__


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # the task's own exception may be broken
        return "(its text cannot be had)"


def _summary(error: BaseException) -> str:
    return plain(f"{_kind(error)}: {_text(error)}")
