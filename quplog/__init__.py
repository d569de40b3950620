"""Background jobs without a server: enqueue, run, kill, reopen, and nothing is lost.

Everything that an application needs is here: make a `JobQueue`, decorate functions with its `task`,
enqueue them, and start it.
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
