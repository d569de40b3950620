"""Errors that lose what they carry, or stand outside the tree."""

from __future__ import annotations

import pickle

import pytest

from quplog import errors
from quplog.errors import (
    JobCancelled,
    JobFailed,
    JobTimeout,
    LogCorrupt,
    LogFailed,
    PayloadError,
    QuplogError,
)

TREE = {
    cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, Exception)
}


def test_every_error_is_caught_at_the_root() -> None:
    names = {cls.__name__ for cls in TREE}
    assert names == {
        *("QuplogError", "PayloadError", "JobNotFound", "UnknownTask", "StaleClaim", "JobFailed"),
        *("JobCancelled", "JobTimeout", "LogCorrupt", "LogFull", "LogFailed", "LogLocked"),
        *("LogClosed", "NotALog", "UnsupportedFormat"),
    }
    assert all(issubclass(cls, QuplogError) for cls in TREE)


def test_only_a_failed_log_leaves_the_outcome_open() -> None:
    assert {cls for cls in TREE if not getattr(cls, "outcome_known", None)} == {LogFailed}
    assert LogFailed("x").outcome_known is False
    assert PayloadError("x").outcome_known is True


def test_a_failed_job_shows_the_remote_traceback() -> None:
    error = JobFailed("job 7 failed: ValueError: no", 7, 'File "a.py", line 3\nValueError: no')
    assert error.job_id == 7
    assert error.traceback.endswith("ValueError: no")
    assert str(error) == (
        'job 7 failed: ValueError: no\n  | File "a.py", line 3\n  | ValueError: no'
    )


def test_corruption_tells_where() -> None:
    error = LogCorrupt("0001.log is damaged at byte 512", "0001.log", 512, 4608)
    assert (error.file, error.offset, error.lsn) == ("0001.log", 512, 4608)
    assert str(error) == "0001.log is damaged at byte 512"
    assert LogCorrupt("somewhere").lsn is None


@pytest.mark.parametrize("cls", [JobCancelled, JobTimeout])
def test_what_is_raised_in_a_task_needs_no_arguments(cls: type[QuplogError]) -> None:
    with pytest.raises(cls, match="the job"):
        raise cls


def test_a_cancelled_job_has_its_id() -> None:
    assert JobCancelled("the job was cancelled", 7).job_id == 7
    assert str(JobCancelled("withdrawn", 7)) == "withdrawn"
    assert JobCancelled().job_id is None


def test_a_timeout_is_not_swallowed_by_a_handler_of_network_timeouts() -> None:
    assert not issubclass(JobTimeout, TimeoutError)


@pytest.mark.parametrize(
    "error",
    [
        JobFailed("job 7 failed", 7, "Traceback"),
        JobCancelled("cancelled", 7),
        JobTimeout(),
        LogCorrupt("damaged", "0001.log", 512, 4608),
        LogFailed("sync failed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_the_way_to_another_process(error: QuplogError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
