"""Tasks: what a function or a type becomes when it is registered, and its options.

A `Task` knows how to turn arguments into a stored job; a `Handler` knows how to run one. Both are
made together and are immutable: `using()` returns another Task. Options are checked here, where
they are given, so that a mistake is a TypeError or ValueError at that line and never in a worker.
Tasks hold no store: a `Door` lets their jobs in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, cast, overload

from quplog.clock import datetime_us, to_us
from quplog.codec import Types, decode_call, decode_object, encode_call
from quplog.job import Job, JobSpec, PutOptions
from quplog.retry import BackoffOption, ExceptionTypes, RetryPolicy, check_retries
from quplog.store import PutSpec

P = ParamSpec("P")
R = TypeVar("R")

NAME_BYTES = 255
TAGS_BYTES = 4096
PRIORITY_MAX = 100


class UsingOptions(TypedDict, total=False):
    """What can be chosen for single jobs: the options of `using()` and of `enqueue(object)`."""

    delay: timedelta | float
    """Run it no earlier than this from now; a timedelta or seconds."""
    run_at: datetime
    """Run it no earlier than this; an aware datetime."""
    priority: int
    """From -100 to 100; of the ready jobs the highest goes first. Default 0."""
    queue: str
    """The queue that it waits in. Default "default"."""
    tags: Sequence[str]
    """The application's own labels."""
    retries: int
    """Counted runs after the first one, at most. Default 3."""
    sync: bool
    """Return only when the job is durable. Default: as the JobQueue was made."""


class TaskOptions(TypedDict, total=False):
    """What can be chosen for all jobs of a task: the options of `task()` and `register()`."""

    name: str
    """What its jobs are stored under. Default: the `__name__` of the function or type."""
    priority: int
    queue: str
    tags: Sequence[str]
    retries: int
    sync: bool
    backoff: BackoffOption
    """How long to wait before a retry. Default `Backoff()`."""
    retry_on: ExceptionTypes
    """Retry only these exceptions. Default: all."""
    give_up_on: ExceptionTypes
    """Never retry these. Default: none."""


class Door(Protocol):
    """Where the jobs of tasks go in."""

    def put(self, options: PutOptions, payload: bytes) -> Job[Any]:
        """Store one job, or add it to the transaction that this context is in."""
        ...

    async def aput(self, options: PutOptions, payload: bytes) -> Job[Any]:
        """The same without blocking the event loop."""
        ...


@dataclass(frozen=True, slots=True)
class Handler:
    """How a worker runs the jobs of one task."""

    name: str
    function: Callable[..., Any]
    policy: RetryPolicy
    unpack: Callable[[bytes], tuple[Sequence[Any], Mapping[str, Any]]]
    """The arguments for `function` from a payload."""


class Task(Generic[P, R]):
    """A function whose calls can be stored and run later: what `@jq.task()` makes of it.

    Calling it still calls the function. Its arguments keep their types everywhere.

    >>> @jq.task(queue="mail")                                  # doctest: +SKIP
    ... def send_order_email(order_id: int, to: str) -> str: ...
    >>> job = send_order_email.enqueue(42, to="a@b.c")          # doctest: +SKIP
    """

    def __init__(
        self,
        function: Callable[P, Any],
        options: PutOptions,
        door: Door,
        types: Types,
    ) -> None:
        self._name = options.spec.task
        self._parameters = _parameters(function)
        self._options = options
        self._door = door
        self._types = types
        self.__wrapped__ = function
        self.__name__ = getattr(function, "__name__", self._name)
        self.__qualname__ = getattr(function, "__qualname__", self._name)
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__

    @property
    def name(self) -> str:
        """What its jobs are stored under."""
        return self._name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, here and now."""
        return cast("R", self.__wrapped__(*args, **kwargs))

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Store a job that will call the function with these arguments; it is durable if `sync`.

        Raises PayloadError if an argument cannot be stored, LogFull, LogFailed, LogLocked or
        LogClosed.
        """
        payload = encode_call(self._name, args, kwargs, self._types, self._parameters)
        return self._door.put(self._options, payload)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Do the same without blocking the event loop. If it is cancelled, the job may exist."""
        payload = encode_call(self._name, args, kwargs, self._types, self._parameters)
        return await self._door.aput(self._options, payload)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> JobSpec[R]:
        """A job that is not stored yet: for `enqueue_many`, `enqueue` and `schedule`."""
        payload = encode_call(self._name, args, kwargs, self._types, self._parameters)
        return JobSpec(self._options, payload)

    def using(self, **options: Unpack[UsingOptions]) -> Task[P, R]:
        """The same task with other options: see `UsingOptions`.

        >>> send_order_email.using(delay=60, priority=10).enqueue(42, to="x")  # doctest: +SKIP
        """
        chosen = put_options(self._options, options)
        return type(self)(self.__wrapped__, chosen, self._door, self._types)

    def __repr__(self) -> str:
        return f"<Task {self._name}>"


class AsyncTask(Task[P, R]):
    """A Task of an `async def` function: calling it gives the coroutine, its jobs give R."""

    def __call__(  # type: ignore[override]  # the call gives a coroutine, the job what it returns
        self, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]:
        """Call the function, here and now."""
        return cast("Coroutine[Any, Any, R]", self.__wrapped__(*args, **kwargs))


class TaskDecorator(Protocol):
    """What `jq.task(...)` returns."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class Registry:
    """The tasks of one JobQueue: by name for workers, by type for object tasks."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.objects: dict[type, PutOptions] = {}

    def add(self, handler: Handler) -> None:
        """Register a handler. The same one again is no change; another one is a ValueError."""
        known = self.handlers.get(handler.name)
        if known is not None and known.function != handler.function:
            message = (
                f"there is a task {handler.name!r} already, {_place(known.function)}: "
                f"give {_place(handler.function)} another name with name=..."
            )
            raise ValueError(message)
        self.handlers[handler.name] = handler


def make_task(
    function: Callable[..., Any], options: TaskOptions, door: Door, types: Types
) -> tuple[Task[..., Any], Handler]:
    """The Task and the Handler of a function."""
    if isinstance(function, Task) or not callable(function):
        message = f"a task is made of a function, not of {function!r}"
        raise TypeError(message)
    types.add_annotations(function)
    name = options.get("name", getattr(function, "__name__", ""))
    put, policy = _read_options(name, options)
    handler = Handler(name, function, policy, lambda payload: decode_call(payload, types))
    kind = AsyncTask if inspect.iscoroutinefunction(function) else Task
    return kind(function, put, door, types), handler


def make_object_task(
    cls: type, executor: object, options: TaskOptions, types: Types
) -> tuple[PutOptions, Handler]:
    """What is needed to enqueue the objects of a class, and the Handler that runs them.

    `executor` has a method `execute(task)`, or is a callable that takes the task.
    """
    if not isinstance(cls, type):
        message = f"register() takes a class and its executor, and {cls!r} is no class"
        raise TypeError(message)
    function = getattr(executor, "execute", executor)
    if not callable(function):
        message = f"the executor of {cls.__name__} has no execute(task) and cannot be called"
        raise TypeError(message)
    types.add(cls)
    put, policy = _read_options(options.get("name", cls.__name__), options)

    def unpack(payload: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        return (decode_object(payload, cls, types),), {}

    return put, Handler(put.spec.task, function, policy, unpack)


def put_options(base: PutOptions, options: UsingOptions) -> PutOptions:
    """`base` with what was chosen for single jobs. Raises TypeError or ValueError."""
    _refuse_unknown(options, UsingOptions)
    if "delay" in options and "run_at" in options:
        message = "delay and run_at exclude each other: give one of them"
        raise ValueError(message)
    delay_us, run_at_us = base.delay_us, base.run_at_us
    if "delay" in options:
        delay_us, run_at_us = to_us(options["delay"], "delay"), 0
    if "run_at" in options:
        delay_us, run_at_us = 0, datetime_us(options["run_at"], "run_at")
    return PutOptions(
        _with_common(base.spec, options), delay_us, run_at_us, _sync(options, default=base.sync)
    )


def check_name(option: str, value: object) -> str:
    """A name that the log can hold. Raises TypeError or ValueError."""
    if not isinstance(value, str):
        message = f"{option} must be a string, not {type(value).__name__}"
        raise TypeError(message)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        message = f"{option} must be text that UTF-8 can encode, not {value!r}"
        raise ValueError(message) from None
    if not 0 < size <= NAME_BYTES:
        message = f"{option} must have 1 to {NAME_BYTES} bytes in UTF-8, and has {size}"
        raise ValueError(message)
    return value


def _read_options(name: object, options: TaskOptions) -> tuple[PutOptions, RetryPolicy]:
    _refuse_unknown(options, TaskOptions)
    spec = PutSpec(task=check_name("name", name))
    given = {"backoff", "retry_on", "give_up_on", "retries"} & options.keys()
    policy = RetryPolicy(**{option: cast("Any", options)[option] for option in given})
    return PutOptions(_with_common(spec, options), sync=_sync(options, default=None)), policy


def _with_common(spec: PutSpec, options: UsingOptions | TaskOptions) -> PutSpec:
    """`spec` with the options that tasks and single jobs both have."""
    changes: dict[str, Any] = {}
    if "queue" in options:
        changes["queue"] = check_name("queue", options["queue"])
    if "priority" in options:
        changes["priority"] = _priority(options["priority"])
    if "tags" in options:
        changes["tags"] = _tags(options["tags"])
    if "retries" in options:
        check_retries(options["retries"])
        changes["retries"] = options["retries"]
    return replace(spec, **changes) if changes else spec


def _refuse_unknown(options: UsingOptions | TaskOptions, known: type) -> None:
    unknown = options.keys() - known.__annotations__.keys()
    if unknown:
        names = ", ".join(sorted(unknown))
        message = f"unknown option {names}; there are {', '.join(sorted(known.__annotations__))}"
        raise TypeError(message)


def _priority(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"priority must be a whole number, not {type(value).__name__}"
        raise TypeError(message)
    if not -PRIORITY_MAX <= value <= PRIORITY_MAX:
        message = f"priority must be from -{PRIORITY_MAX} to {PRIORITY_MAX}, not {value}"
        raise ValueError(message)
    return value


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence | set | frozenset):
        message = f"tags must be a list of strings, not {value!r}"
        raise TypeError(message)
    tags = tuple(check_name("each of tags", tag) for tag in value)
    size = sum(1 + len(tag.encode()) for tag in tags)
    if size > TAGS_BYTES:
        message = f"tags must have at most {TAGS_BYTES} bytes together, and have {size}"
        raise ValueError(message)
    return tags


def _sync(options: UsingOptions | TaskOptions, *, default: bool | None) -> bool | None:
    value = options.get("sync", default)
    if value is not None and not isinstance(value, bool):
        message = f"sync must be True or False, not {value!r}"
        raise TypeError(message)
    return value


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the positional parameters: so that an error can name an argument."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in function without a signature
        return ()
    return tuple(each.name for each in parameters if each.kind in positional)


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', repr(function))}"
