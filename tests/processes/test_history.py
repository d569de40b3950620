"""The judge is judged: every promise, broken in a history that is good otherwise, is noticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from history import Ack, Run, breaches, read_acks, read_runs, replay

from quplog import JobState
from quplog.records import LogRecord

ANN, BOB = "host:10", "host:20"
STOP, CRASH = 1, 2
NOTHING = LogRecord(0, 0, 0, "", 0, 0, 0, 0, 0, None, 0, 0, 0, 0, 0, "", "", "", b"")


class Log:
    """A history in the making; each record stands 100 bytes behind the one before it."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self._add("open")

    def _add(self, kind: str, **fields: object) -> int:
        lsn = 100 * (1 + len(self.records))
        default = {"lsn": lsn, "frame_lsn": lsn, "time_us": lsn, "type": kind}
        self.records.append(NOTHING._replace(**default | fields))
        return lsn

    def worker(self, who: str, *, slot: int = 0, generation: int = 1) -> None:
        host, _, pid = who.partition(":")
        self._add("worker", name=host, number=int(pid), slot=slot, generation=generation)

    def put(self, job: int, text: str, **fields: object) -> None:
        self._add("put", id=job, data=b"\x92\x80" + text.encode(), **fields)

    def claim(self, job: int, *, slot: int = 0, generation: int = 1) -> int:
        return self._add("claim", id=job, slot=slot, generation=generation)

    def finish(self, job: int, token: int, state: JobState = JobState.SUCCEEDED) -> None:
        self._add("finish", id=job, token=token, state=state)

    def release(self, job: int, token: int, reason: int = CRASH) -> None:
        self._add("release", id=job, token=token, reason=reason)

    def copy(self, job: int, text: str, state: JobState, token: int = 0) -> None:
        self._add("copy", id=job, data=b"\x92\x80" + text.encode(), state=state, token=token)

    def open(self) -> None:
        self._add("open")


def good() -> tuple[Log, list[Ack], list[Run], set[str]]:
    """Ann is killed in job 2, which Bob then runs; jobs 3 and 4 were enqueued in one step."""
    log = Log()
    log.worker(ANN)
    log.worker(BOB, slot=1)
    log.put(1, "a.1")
    log.put(2, "a.2")
    log.finish(1, log.claim(1))
    log.release(2, log.claim(2))
    log.finish(2, log.claim(2, slot=1))
    log.put(3, "b.1#1/2", frame_lsn=5)
    log.put(4, "b.1#2/2", frame_lsn=5)
    for job in 3, 4:
        log.finish(job, log.claim(job, slot=1))
    acks = [Ack(1, "a.1"), Ack(2, "a.2"), Ack(3, "b.1#1/2"), Ack(4, "b.1#2/2")]
    order = (ANN, 1, "a.1"), (ANN, 2, "a.2"), (BOB, 2, "a.2"), (BOB, 3, "b.1#1/2")
    runs = [Run(*each) for each in (*order, (BOB, 4, "b.1#2/2"))]
    return log, acks, runs, {ANN}


def judge(log: Log, acks: Sequence[Ack], runs: Sequence[Run], killed: set[str]) -> list[str]:
    return breaches(replay(log.records), acks=acks, runs=runs, killed=killed)


def test_a_good_history_has_no_breach() -> None:
    assert judge(*good()) == []


def test_a_job_may_have_been_killed_before_it_wrote_anything() -> None:
    log, acks, runs, killed = good()
    del runs[1]
    assert judge(log, acks, runs, killed) == []


def test_a_host_may_be_killed_as_a_whole() -> None:
    log, acks, runs, _ = good()
    assert judge(log, acks, runs, {"host"}) == []


def test_compaction_may_say_again_what_is() -> None:
    log, acks, runs, killed = good()
    log.copy(1, "a.1", JobState.SUCCEEDED)
    log._add("copy", id=2, state=JobState.SUCCEEDED)  # it needs no payload any more
    log.put(9, "z")
    log.copy(9, "z", JobState.READY)
    token = log.claim(9, slot=1)
    log.copy(9, "z", JobState.RUNNING, token)
    log.finish(9, token)
    assert judge(log, acks, [*runs, Run(BOB, 9, "z")], killed) == []


def test_compaction_may_say_again_who_had_a_slot_before_a_recovery() -> None:
    log, acks, runs, killed = good()
    log.open()
    log.worker("host:40", generation=2)
    log.worker(BOB, slot=1)
    log.open()
    log.worker(BOB, slot=1)
    log.worker("host:40", generation=2)
    assert judge(log, acks, runs, killed) == []
    log.worker("host:50", slot=1, generation=2)
    log.worker(BOB, slot=1)
    assert len(judge(log, acks, runs, killed)) == 1


def copy_revives(log: Log) -> None:
    log.copy(1, "a.1", JobState.READY)


def copy_forgets_the_claim(log: Log) -> None:
    unsaid_end(log)
    log.copy(9, "z", JobState.READY)


def copy_names_another_claim(log: Log) -> None:
    unsaid_end(log)
    log.copy(9, "z", JobState.RUNNING, 17)


def copy_finishes(log: Log) -> None:
    log.put(9, "z")
    log.copy(9, "z", JobState.SUCCEEDED)


def copy_changes_the_payload(log: Log) -> None:
    log.copy(1, "z", JobState.SUCCEEDED)


def copy_of_nothing(log: Log) -> None:
    log.copy(99, "z", JobState.READY)


def unsaid_end(log: Log) -> None:
    log.put(9, "z")
    log.claim(9, slot=1)


def stands(log: Log) -> None:
    unsaid_end(log)
    log.finish(9, log.claim(9, slot=1))


def again(log: Log) -> None:
    log.finish(1, log.claim(1, slot=1))


def finished_twice(log: Log) -> None:
    log.put(9, "z")
    token = log.claim(9, slot=1)
    log.finish(9, token)
    log.finish(9, token)


def stale(log: Log) -> None:
    log.put(9, "z")
    first = log.claim(9, slot=1)
    log.release(9, first)
    log.finish(9, log.claim(9, slot=1))
    log.release(9, first)


def wrong_token(log: Log) -> None:
    log.put(9, "z")
    log.claim(9, slot=1)
    log.finish(9, 17)


def early(log: Log) -> None:
    log.put(9, "z", due_us=10**9)
    log.finish(9, log.claim(9, slot=1))


def same_id(log: Log) -> None:
    log.put(4, "z")
    log.finish(4, log.claim(4, slot=1))


def older_id(log: Log) -> None:
    log.put(9, "z")
    log.put(8, "y")


def no_slot(log: Log) -> None:
    log.put(9, "z")
    log.finish(9, log.claim(9, slot=7))


def dead_generation(log: Log) -> None:
    log.worker("host:30", slot=1, generation=2)
    log.put(9, "z")
    log.finish(9, log.claim(9, slot=1, generation=1))


def slot_taken_over(log: Log) -> None:
    unsaid_end(log)
    log.worker("host:30", slot=1, generation=2)


def generation_again(log: Log) -> None:
    log.worker("host:30", slot=1, generation=1)


def claimed_over_a_recovery(log: Log) -> None:
    log.put(9, "z")
    token = log.claim(9, slot=1)
    log.open()
    log.finish(9, token)


def alive_and_given_up(log: Log) -> None:
    log.put(9, "z")
    log.release(9, log.claim(9, slot=1))
    log.finish(9, log.claim(9, slot=1))


def alive_and_given_back(log: Log) -> None:
    log.put(9, "z")
    log.release(9, log.claim(9, slot=1), STOP)
    log.finish(9, log.claim(9, slot=1))


def alive_and_recovered_over(log: Log) -> None:
    unsaid_end(log)
    log.open()


def failed(log: Log) -> None:
    log.put(9, "z")
    log.finish(9, log.claim(9, slot=1), JobState.FAILED)


def unknown(log: Log) -> None:
    log.claim(99, slot=1)


def enqueued_twice(log: Log) -> None:
    log.put(9, "a.1")


def half_a_batch(log: Log) -> None:
    log.put(9, "c.1#1/2")


def two_frames(log: Log) -> None:
    log.put(9, "c.1#1/2")
    log.put(10, "c.1#2/2")


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (unsaid_end, "job 9 has not succeeded"),
        (stands, f"the claim of {BOB} at"),
        (again, "it had succeeded"),
        (finished_twice, "nobody has claimed it"),
        (stale, "nobody has claimed it"),
        (wrong_token, "it names 17, but"),
        (early, "it is not due yet"),
        (same_id, "the id was given before"),
        (older_id, "9 was given before it"),
        (no_slot, "of generation 0, nobody"),
        (dead_generation, "of generation 2, host:30"),
        (slot_taken_over, "host:30 takes the slot in which job 9 still runs"),
        (generation_again, "slot 1 had generation 1 before"),
        (claimed_over_a_recovery, "nobody has claimed it"),
        (alive_and_given_up, f"job 9 was taken from {BOB}, which was not killed: crash"),
        (alive_and_given_back, f"job 9 was taken from {BOB}, which was not killed: stop"),
        (alive_and_recovered_over, f"job 9 was taken from {BOB}, which was not killed: open"),
        (failed, "job 9 has not succeeded: failed"),
        (unknown, "the log knows no such job"),
        (enqueued_twice, "stands 2 times in the log"),
        (copy_revives, "it had succeeded, and is copied as ready"),
        (copy_forgets_the_claim, "stands, but 0 is copied"),
        (copy_names_another_claim, "stands, but 17 is copied"),
        (copy_finishes, "it had None, and is copied as succeeded"),
        (copy_changes_the_payload, "is copied as b'\\x92\\x80z'"),
        (copy_of_nothing, "the log knows no such job"),
        (half_a_batch, "of 'c.1' there are [1] of 2, in 1 frames"),
        (two_frames, "of 'c.1' there are [1, 2] of 2, in 2 frames"),
    ],
)
def test_a_record_that_may_not_be_there_is_noticed(add: Callable[[Log], None], words: str) -> None:
    log, *beside = good()
    add(log)
    assert any(words in breach for breach in judge(log, *beside))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (Run(BOB, 1, "a.1"), f"job 1 was run by ['{ANN}', '{BOB}']"),  # after its finish
        (Run(BOB, 2, "a.2"), "job 2 was run by"),  # once too often
        (Run(BOB, 99, "a.2"), "ran job 99, which the log does not know"),
        (Run(BOB, 3, "x"), "ran job 3 as 'x'"),
    ],
)
def test_a_run_that_may_not_be_there_is_noticed(run: Run, words: str) -> None:
    log, acks, runs, killed = good()
    assert any(words in breach for breach in judge(log, acks, [*runs, run], killed))


def test_a_finish_without_a_run_is_noticed() -> None:
    log, acks, runs, killed = good()
    without = [run for run in runs if run.id != 1]
    assert judge(log, acks, without, killed) == [
        f"job 1 was run by [], but the log says [('{ANN}', 'finish')]"
    ]


def test_runs_in_the_wrong_order_are_noticed() -> None:
    log, acks, runs, killed = good()
    runs[1], runs[2] = runs[2], runs[1]
    assert any("job 2 was run by" in breach for breach in judge(log, acks, runs, killed))


@pytest.mark.parametrize(
    ("ack", "words"),
    [
        (Ack(99, "gone"), "job 99 ('gone') was acknowledged and is lost"),
        (Ack(1, "other"), "job 1 was acknowledged for 'a.1' and 'other'"),
    ],
)
def test_a_broken_acknowledgement_is_noticed(ack: Ack, words: str) -> None:
    log, acks, runs, killed = good()
    assert words in judge(log, [*acks, ack], runs, killed)


def test_an_acknowledgement_of_another_job_is_noticed() -> None:
    log, acks, runs, killed = good()
    acks[0] = Ack(1, "other")
    assert any("for 'other': it is" in breach for breach in judge(log, acks, runs, killed))


def test_nobody_is_excused_whose_death_was_not_seen() -> None:
    log, acks, runs, _ = good()
    assert judge(log, acks, runs, set()) == [
        f"job 2 was taken from {ANN}, which was not killed: crash"
    ]


def test_a_line_that_was_cut_off_by_a_kill_is_no_line(tmp_path: Path) -> None:
    (tmp_path / "acks").write_text("1 a.1\n2 a.")
    (tmp_path / "runs").write_text("host:10 1 a.1\nhost:10 2")
    assert read_acks([tmp_path / "acks", tmp_path / "none"]) == [Ack(1, "a.1")]
    assert read_runs(tmp_path / "runs") == [Run(ANN, 1, "a.1")]
