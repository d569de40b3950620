"""The states that a job can be in."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is in its life. The last three are final.

    >>> JobState.READY == "ready"
    True
    """

    WAITING = "waiting"
    """For another job to finish."""
    SCHEDULED = "scheduled"
    """Due later."""
    READY = "ready"
    RUNNING = "running"
    RETRYING = "retrying"
    """Failed, and due again later."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """All attempts are used up: the dead letter."""
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True if no run can change it any more."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
