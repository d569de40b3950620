"""Background jobs without a server: enqueue, run, kill, reopen, and nothing is lost.

    from quplog import JobQueue

    jq = JobQueue("jobs")

    @jq.task()
    def send_order_email(order_id: int, to: str) -> str: ...

    with jq:
        job = send_order_email.enqueue(42, to="a@b.c")
        print(job.result(timeout=5))
"""

from quplog.errors import (
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobTimeout,
    LogClosed,
    LogCorrupt,
    LogFailed,
    LogFull,
    LogLocked,
    NotALog,
    PayloadError,
    QuplogError,
    StaleClaim,
    UnknownTask,
    UnsupportedFormat,
)
from quplog.job import Job, JobSpec
from quplog.queue import JobQueue, QueueControl
from quplog.retry import Backoff, Cancel, Retry, Snooze
from quplog.runner import JobContext, current_job
from quplog.scheduler import Schedule
from quplog.states import JobState
from quplog.task import Task

__all__ = [
    "Backoff",
    "Cancel",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobFailed",
    "JobNotFound",
    "JobQueue",
    "JobSpec",
    "JobState",
    "JobTimeout",
    "LogClosed",
    "LogCorrupt",
    "LogFailed",
    "LogFull",
    "LogLocked",
    "NotALog",
    "PayloadError",
    "QueueControl",
    "QuplogError",
    "Retry",
    "Schedule",
    "Snooze",
    "StaleClaim",
    "Task",
    "UnknownTask",
    "UnsupportedFormat",
    "current_job",
]
