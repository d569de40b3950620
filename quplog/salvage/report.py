"""What a salvage tells: what was read, what was lost, and what the new log holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quplog.records import Damage
from quplog.states import JobState

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it was, and how much there is."""


@dataclass(frozen=True, slots=True)
class SalvageReport:
    """What was read, what was lost, and what the new log holds."""

    frames: int
    ops: int
    bytes: int
    end_lsn: int
    durable_lsn: int
    damages: list[tuple[Damage, str]]
    """Each with what it cost: nothing, torn or durable."""
    jobs: dict[JobState, int]
    """In the new log, by state."""
    uncertain: list[int]
    """Jobs that may have finished, or been started, in a part that is damaged."""
    held_queues: list[str]
    """The paused queues of the new log in which they wait; none if they run."""
    unreadable: list[int]
    """Jobs that were read once and could not be read again."""
    senseless: list[int]
    """The LSNs of records that no quplog writes, although their sums hold: they were left out."""
    lost: list[range]
    """Ids of jobs that were stored and are not known to have finished."""
    lost_finished: list[int]
    """Ids of jobs that are known to have finished, and of which nothing else is left."""
    traceless: int
    """At most so many jobs more are lost, of which nothing else tells: a damaged part at the end of
    the log may have held new jobs, and one of a log that was compacted the copies of old ones."""
    lost_schedules: list[str]
    """Schedules whose rule is gone."""
    stale: list[str]
    """Schedules and queues that may have been changed in a damaged part."""
    next_id: int

    @property
    def lost_something(self) -> bool:
        """Whether anything was lost that had been acknowledged as durable, or was left out."""
        left_out = self.unreadable or self.senseless
        return bool(left_out) or any(loss == "durable" for _, loss in self.damages)
