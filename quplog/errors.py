"""Every error that quplog raises by a name of its own: one tree under `QuplogError`.

Wrong options are the built-in TypeError and ValueError, a wait that ran out of time is the built-in
TimeoutError, and trouble with files that is nobody's mistake is OSError; all else is here. Each
error says in a sentence what is wrong and what to do, can be pickled (results cross process
borders), and tells by `outcome_known` whether the write it belongs to may have happened.
"""

from __future__ import annotations


class QuplogError(Exception):
    """The root of the tree: `except QuplogError` catches whatever is quplog's own."""

    outcome_known: bool = True
    """False only if the write that failed may have happened all the same.

    True means: nothing was written, and doing it again cannot do it twice.
    """


class PayloadError(QuplogError):
    """Arguments, a result or an error cannot be stored, or what is stored cannot be read.

    Raised before anything is written, for a value of a kind that is not stored or that is too
    large, with the name of the argument; and when a job is about to run, or its result is read, if
    the bytes name a class that this program does not know. Pass plain data (and large data by its
    place), or make the class known with `jq.types(...)`.
    """


class JobNotFound(QuplogError):  # noqa: N818 - the public name says what happened
    """There is no such job: the id is wrong, or the job was finished and has been forgotten.

    Inside `transaction()` it also means that the job is not enqueued yet: look at it after the
    block. Finished jobs are kept for `keep_succeeded` and `keep_failed`; make these longer if they
    are forgotten too early.
    """


class UnknownTask(QuplogError):  # noqa: N818
    """What was to be enqueued or run is not registered with this JobQueue.

    Decorate the function with `@jq.task()`, or call `jq.register(Type, executor)`, before it is
    used. A stored job of a task that is not registered here is no error: it waits as `ready`.
    """


class StaleClaim(QuplogError):  # noqa: N818
    """Another run has taken the job over, so the outcome of this run was not written.

    It happens to a run that was given up for dead and finishes all the same. There is nothing to
    do: the newer run decides.
    """


class JobFailed(QuplogError):  # noqa: N818
    r"""`result()` was asked for a job that failed and has no attempts left.

    `job_id` is the job, `traceback` the text of the last attempt's traceback as it was in the
    process that ran it, with escapes for what cannot be printed; both are part of the message.

    >>> error = JobFailed("job 7 failed: ValueError: no", 7, "Traceback ...\nValueError: no")
    >>> error.job_id
    7
    """

    def __init__(self, summary: str, job_id: int, traceback: str) -> None:
        super().__init__(summary, job_id, traceback)
        self.job_id = job_id
        self.traceback = traceback

    def __str__(self) -> str:
        """Give the summary, and below it the traceback, set off by a bar."""
        summary, lines = str(self.args[0]), self.traceback.splitlines()
        return "\n".join([summary, *(f"  | {line}" for line in lines)])


class JobCancelled(QuplogError):  # noqa: N818
    """The job was cancelled: raised by `result()`, with `job_id`.

    A task raises it too, to accept that it was asked to stop:

        if current_job().cancelled:
            raise JobCancelled
    """

    def __init__(self, message: str = "the job was cancelled", job_id: int | None = None) -> None:
        super().__init__(message, job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        """Give the message alone."""
        return str(self.args[0])


class JobTimeout(QuplogError):  # noqa: N818
    """A run took longer than the task's `timeout`: raised inside the job.

    The run counts as a failed attempt. It is no TimeoutError, so that an `except TimeoutError`
    around a network call in the task does not swallow it. Catch it only to clean up, and raise it
    again; a task that needs longer needs a larger `timeout=`.
    """

    def __init__(self, message: str = "the job ran longer than its timeout") -> None:
        super().__init__(message)


class LogCorrupt(QuplogError):  # noqa: N818
    """Bytes of the log that were acknowledged as durable are damaged, so it is not opened.

    `file`, `offset` in it and `lsn` tell where (None: not known). Leave the directory as it is.
    `quplog verify DIR` shows the extent; restore a backup, or write a new log with all jobs that
    are left: `quplog salvage DIR NEWDIR`.
    """

    def __init__(
        self,
        message: str,
        file: str | None = None,
        offset: int | None = None,
        lsn: int | None = None,
    ) -> None:
        super().__init__(message, file, offset, lsn)
        self.file = file
        self.offset = offset
        self.lsn = lsn

    def __str__(self) -> str:
        """Give the message alone, which names the place for a person."""
        return str(self.args[0])


class LogFull(QuplogError):  # noqa: N818
    """No space is left on the device; nothing was written and nothing has changed.

    Free some space, then do it again. Jobs that are running are not lost meanwhile.
    """


class LogFailed(QuplogError):  # noqa: N818
    """The device reported that it could not make written bytes durable.

    Whether the write took place is not known (`outcome_known` is False), and this log handle
    writes nothing more. Look at the device, then close and open the JobQueue: opening finds out
    what is there.
    """

    outcome_known = False


class LogLocked(QuplogError):  # noqa: N818
    """Another process did not let go of the log within `lock_timeout`; nothing was written.

    It was stopped while it wrote, is recovering the log, or has it open although a sync failed. Let
    it go on, or end it; then do it again.
    """


class LogClosed(QuplogError):  # noqa: N818
    """The JobQueue was closed, or came through a fork; nothing was written.

    Open a new JobQueue on the directory.
    """


class NotALog(QuplogError):  # noqa: N818
    """The directory holds something else, and quplog does not touch it.

    Give the path of an empty or new directory, or of one that quplog made.
    """


class UnsupportedFormat(QuplogError):  # noqa: N818
    """The log, or a part of it, was written by a newer version of quplog.

    Nothing is damaged. Update quplog in this program.
    """
