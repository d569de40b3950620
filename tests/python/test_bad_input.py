"""What is wrong is refused where it is given, in a sentence, and nothing is lost or changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from programs import APPEND_BYTE, OPEN_BYTE, PATIENCE, Program, hold

from quplog import (
    JobQueue,
    LogCorrupt,
    LogLocked,
    NotALog,
    PayloadError,
    UnsupportedFormat,
)
from quplog.log_store import LogReader, LogStore


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"workers": -1}, ValueError, "workers"),
        ({"workers": 1.5}, TypeError, "workers"),
        ({"workers": True}, TypeError, "workers"),
        ({"sync": 1}, TypeError, "sync"),
        ({"sync_finish": "no"}, TypeError, "sync_finish"),
        ({"flush_interval": -1}, ValueError, "flush_interval"),
        ({"flush_interval": "1"}, TypeError, "flush_interval"),
        ({"segment_size": 1}, ValueError, "segment_size"),
        ({"segment_size": 1e9}, TypeError, "segment_size"),
        ({"keep_succeeded": -1}, ValueError, "keep_succeeded"),
        ({"keep_failed": "x"}, TypeError, "keep_failed"),
        ({"lock_timeout": float("nan")}, ValueError, "lock_timeout"),
        ({"colour": "red"}, TypeError, "colour"),
        ({"archive": "x"}, TypeError, "archive"),
    ],
)
def test_wrong_options_of_a_queue(
    path: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        JobQueue(path, **options)
    assert not path.exists()


@pytest.mark.parametrize("path", [None, 5, b"jobs", "", "a\0b"])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="path"):
        JobQueue(path)


NAIVE = datetime(2999, 1, 1)  # noqa: DTZ001  # that is the point

WRONG_FOR_BOTH = [
    ({"priority": 101}, ValueError, "priority"),
    ({"priority": -101}, ValueError, "priority"),
    ({"priority": "high"}, TypeError, "priority"),
    ({"priority": True}, TypeError, "priority"),
    ({"queue": ""}, ValueError, "queue"),
    ({"queue": "q" * 256}, ValueError, "queue"),
    ({"queue": 5}, TypeError, "queue"),
    ({"queue": "\udc80"}, ValueError, "queue"),
    ({"tags": "red"}, TypeError, "tags"),
    ({"tags": [1]}, TypeError, "tags"),
    ({"tags": [""]}, ValueError, "tags"),
    ({"tags": ["t" * 200] * 30}, ValueError, "tags"),
    ({"retries": -1}, ValueError, "retries"),
    ({"retries": 1.0}, TypeError, "retries"),
    ({"retries": 10**6}, ValueError, "retries"),
    ({"sync": 1}, TypeError, "sync"),
    *[
        ({later: "x"}, TypeError, later)
        for later in ("unique", "key", "timeout", "idempotency_key", "debounce", "run_in", "cron")
    ],
]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        *WRONG_FOR_BOTH,
        ({"delay": -1}, ValueError, "delay"),
        ({"delay": timedelta(seconds=-1)}, ValueError, "delay"),
        ({"delay": "soon"}, TypeError, "delay"),
        ({"delay": float("inf")}, ValueError, "delay"),
        ({"run_at": NAIVE}, ValueError, "aware"),
        ({"run_at": 5}, TypeError, "run_at"),
        ({"run_at": datetime(2999, 1, 1, tzinfo=UTC), "delay": 1}, ValueError, "exclude"),
        ({"backoff": 1}, TypeError, "backoff"),
    ],
)
def test_wrong_options_of_a_job(
    jq: JobQueue, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    @jq.task()
    def work() -> None: ...

    class Order:
        pass

    jq.register(Order, print)
    with pytest.raises(error, match=words):
        work.using(**options)
    with pytest.raises(error, match=words):
        jq.enqueue(Order(), **options)
    assert sum(jq.counts().values()) == 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        *WRONG_FOR_BOTH,
        ({"name": ""}, ValueError, "name"),
        ({"name": None}, TypeError, "name"),
        ({"backoff": "long"}, TypeError, "backoff"),
        ({"backoff": -1}, ValueError, "backoff"),
        ({"backoff": []}, ValueError, "backoff"),
        ({"retry_on": "OSError"}, TypeError, "retry_on"),
        ({"give_up_on": [OSError]}, TypeError, "give_up_on"),
        ({"delay": 1}, TypeError, "delay"),
    ],
)
def test_wrong_options_of_a_task(
    jq: JobQueue, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    def work() -> None: ...

    with pytest.raises(error, match=words):
        jq.task(**options)(work)
    with pytest.raises(error, match=words):
        jq.register(Path, print, **options)
    jq.task()(work)  # the name is still free


def test_what_is_no_task(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    with pytest.raises(TypeError, match="function"):
        jq.task()(5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="function"):
        jq.task(name="again")(work)
    with pytest.raises(TypeError, match="no class"):
        jq.register(5, print)  # type: ignore[arg-type]

    class Order:
        pass

    with pytest.raises(TypeError, match="execute"):
        jq.register(Order, 5)


def test_two_tasks_of_one_name(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    jq.task()(work.__wrapped__)  # the same function again is no other one

    with pytest.raises(ValueError, match="'work' already"):

        @jq.task(name="work")
        def other() -> None: ...

    class work:  # type: ignore[no-redef]  # noqa: N801
        pass

    with pytest.raises(ValueError, match="'work' already"):
        jq.register(work, print)  # type: ignore[arg-type]


def test_what_cannot_be_stored_is_named(jq: JobQueue) -> None:
    @jq.task()
    def send(order: object, *, to: object = None) -> None: ...

    with pytest.raises(PayloadError, match="order"):
        send.enqueue(object())
    with pytest.raises(PayloadError, match="to"):
        send.enqueue(1, to={"a": [lambda: None]})
    with pytest.raises(PayloadError, match="order"):
        send.job(object())
    with pytest.raises(PayloadError, match="4 MiB"):
        send.enqueue(bytes((4 << 20) + 1))
    assert sum(jq.counts().values()) == 0


def test_wrong_arguments_of_verbs(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None: ...

    job = work.enqueue()
    wrong: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: job.result(timeout=-1), ValueError, "timeout"),
        (lambda: job.result(timeout="1"), TypeError, "timeout"),  # type: ignore[arg-type]
        (lambda: jq.drain(timeout=-1), ValueError, "timeout"),
        (lambda: jq.stop(grace=-1), ValueError, "grace"),
        (lambda: jq.run(grace=-1), ValueError, "grace"),
        (lambda: jq.start(workers=-1), ValueError, "workers"),
        (lambda: jq.start(queues="mail"), TypeError, "queues"),
        (lambda: jq.start(queues=[""]), ValueError, "queues"),
        (lambda: jq.jobs(state="done"), ValueError, "state"),
        (lambda: jq.jobs(limit=0), ValueError, "limit"),
        (lambda: jq.jobs(after=-1), ValueError, "after"),
        (lambda: jq.jobs(since=NAIVE), ValueError, "since"),
        (lambda: jq.jobs(queue=""), ValueError, "queue"),
        (lambda: jq.jobs(task=5), TypeError, "task"),  # type: ignore[arg-type]
        (lambda: jq.counts(5), TypeError, "queue"),  # type: ignore[arg-type]
        (lambda: jq.queue(""), ValueError, "queue"),
        (lambda: jq.job("1"), TypeError, "job id"),  # type: ignore[arg-type]
        (lambda: jq.unschedule(5), TypeError, "id"),  # type: ignore[arg-type]
        (lambda: jq.types(5), TypeError, "class"),  # type: ignore[arg-type]
    ]
    for verb, error, words in wrong:
        with pytest.raises(error, match=words):
            verb()
    assert jq.counts()["ready"] == 1  # type: ignore[index]


# ---- wrong places -------------------------------------------------------------------------------


def test_a_path_that_is_a_file(make: Callable[..., JobQueue], path: Path) -> None:
    path.write_text("something else")
    with pytest.raises(NotADirectoryError, match="jobs"):
        make().counts()
    assert path.read_text() == "something else"


def test_a_path_below_nothing(tmp_path: Path) -> None:
    jq = JobQueue(tmp_path / "no" / "such" / "place")
    with pytest.raises(FileNotFoundError, match="place"):
        jq.counts()


def test_a_directory_that_cannot_be_written(path: Path) -> None:
    path.mkdir(mode=0o500)
    program = f"""if True:
        from quplog import JobQueue
        try:
            JobQueue({str(path)!r}).counts()
        except PermissionError as error:
            print(error)
        """
    # Root may write everywhere, unless it gives up the right to.
    capabilities = "-dac_override,-dac_read_search"
    drop = ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}"]
    done = subprocess.run(
        [*(drop if os.geteuid() == 0 else []), sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert "jobs" in done.stdout
    assert list(path.iterdir()) == []


def test_a_directory_of_something_else(make: Callable[..., JobQueue], path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("three years of work")
    with pytest.raises(NotALog, match="something else"):
        make().counts()
    assert [each.name for each in path.iterdir()] == ["thesis.txt"]


def test_an_empty_directory_will_do(make: Callable[..., JobQueue], path: Path) -> None:
    path.mkdir()
    assert sum(make().counts().values()) == 0


def _segment(path: Path) -> Path:
    """The file that the first segment is."""
    return min(path.glob("*.log"))


def test_a_damaged_log_is_refused_and_told_where(make: Callable[..., JobQueue], path: Path) -> None:
    jq = make()

    @jq.task()
    def work(data: bytes) -> None: ...

    work.enqueue(b"a needle in a haystack")
    work.enqueue(b"acknowledged later")
    jq.close()
    segment = _segment(path)
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b"needle", b"NEEDLE"))
    with pytest.raises(LogCorrupt, match=segment.name) as corrupt:
        make().counts()
    assert corrupt.value.file == segment.name
    assert corrupt.value.offset is not None
    assert 0 < corrupt.value.offset < data.index(b"needle")
    segment.write_bytes(data)
    assert make().counts()["ready"] == 2  # type: ignore[index]


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("field", [8, 12])
def test_a_log_of_a_newer_version_is_refused_unharmed(
    make: Callable[..., JobQueue], path: Path, field: int
) -> None:
    """As docs/FORMAT.md has it: a version at 8, features at 12, a checksum at 124; twice."""
    jq = make()
    jq.counts()
    jq.close()
    segment = _segment(path)
    data = segment.read_bytes()
    header = bytearray(data[:124])
    header[field : field + 4] = (200).to_bytes(4, "little")
    header += _crc32c(header).to_bytes(4, "little")
    newer = header + data[128:2048] + header + data[2048 + 128 :]
    segment.write_bytes(newer)
    with pytest.raises(UnsupportedFormat, match=r"jobs: .*newer"):
        make().counts()
    with pytest.raises(UnsupportedFormat):
        list(LogReader(path))
    assert segment.read_bytes() == newer
    segment.write_bytes(data)
    assert sum(make().counts().values()) == 0


HOLDER = """
    import sys
    from quplog import JobQueue
    jq = JobQueue("jobs", workers=0)

    @jq.task()
    def work() -> None: ...

    print(work.enqueue().id, flush=True)
    sys.stdin.read()
    import threading; threading.Event().wait()
    """


def test_a_reader_beside_the_owner_can_change_nothing(
    run: Callable[[str], Program], make: Callable[..., JobQueue], path: Path
) -> None:
    program = run(HOLDER)
    assert program.line() == "1"
    reader = LogStore.open(path, read_only=True)  # looking is always allowed
    assert reader.load(1).record.task == "work"
    with pytest.raises(PermissionError, match="only to be read"):
        reader.cancel(1, sync=True)
    reader.close()
    assert make().counts()["ready"] == 1  # type: ignore[index]


def test_a_log_that_somebody_is_opening_says_who(make: Callable[..., JobQueue], path: Path) -> None:
    jq = make()
    jq.counts()
    jq.close()
    holder = hold(path, OPEN_BYTE)
    with pytest.raises(LogLocked, match=f"process {os.getpid()} .*opening") as locked:
        make(lock_timeout=0.05).counts()
    assert locked.value.outcome_known
    os.close(holder)
    assert sum(make().counts().values()) == 0


def test_who_holds_the_log_too_long_is_waited_for_and_then_nothing_was_written(
    make: Callable[..., JobQueue], path: Path
) -> None:
    jq = make(lock_timeout=0.05)

    @jq.task()
    def work() -> None: ...

    work.enqueue()
    holder = hold(path, APPEND_BYTE)
    with pytest.raises(LogLocked, match="nothing was written") as locked:
        work.enqueue()
    assert locked.value.outcome_known
    assert jq.counts()["ready"] == 1  # type: ignore[index]
    os.close(holder)
    assert work.enqueue().id == 2
