"""What retrying promises: so many attempts, at these times, for these exceptions, and no more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from programs import PATIENCE

from quplog import Backoff, Job, JobFailed, JobQueue, JobState, Retry, Snooze, current_job


def wait_of(job: Job[object]) -> timedelta:
    """How long the job that has just failed waits for its next run."""
    now = job.refresh()
    assert now.due_at is not None
    assert now.started_at is not None
    return now.due_at - now.started_at


def close_to(expected: float, wait: timedelta) -> bool:
    """The wait is counted from the end of the run, and a busy machine may take its time."""
    return expected - 0.001 <= wait.total_seconds() <= expected + PATIENCE


def test_a_failed_task_is_retried_until_it_succeeds(jq: JobQueue) -> None:
    attempts = []

    @jq.task(retries=5, backoff=0)
    def work() -> str:
        attempts.append(current_job().attempt)
        if len(attempts) < 3:
            raise OSError(f"number {len(attempts)}")
        return "at last"

    job = work.enqueue()
    jq.drain(PATIENCE)
    assert (job.result(timeout=0), attempts) == ("at last", [1, 2, 3])
    done = job.refresh()
    assert [error.splitlines()[-1] for error in done.errors] == [
        "OSError: number 1",
        "OSError: number 2",
    ]
    assert done.error == done.errors[-1]


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_there_are_as_many_attempts_as_retries_and_one(jq: JobQueue, retries: int) -> None:
    attempts = []

    @jq.task(retries=9, backoff=0)
    def work() -> None:
        attempts.append(current_job().attempt)
        raise ValueError

    job = work.using(retries=retries).enqueue()
    jq.drain(PATIENCE)
    assert attempts == list(range(1, retries + 2))
    assert job.refresh().state == "failed"


def test_three_retries_with_backoff_are_the_default(jq: JobQueue) -> None:
    @jq.task()
    def work() -> None:
        raise ValueError

    job = work.enqueue()
    jq.drain(PATIENCE)
    assert job.refresh().state == "retrying"
    assert close_to(0.9, wait_of(job))

    @jq.task(backoff=0)
    def hurry() -> None:
        raise ValueError

    job = hurry.enqueue()
    jq.drain(PATIENCE)
    assert job.refresh().attempt == 4


def test_a_retrying_job_waits_for_its_time(jq: JobQueue) -> None:
    @jq.task(backoff=3600)
    def work() -> None:
        raise ValueError

    job = work.enqueue()
    jq.drain(PATIENCE)
    jq.drain(PATIENCE)
    now = job.refresh()
    assert (now.state, now.attempt, len(now.errors)) == ("retrying", 1, 1)
    assert close_to(3600, wait_of(job))


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        (Backoff(initial=100, jitter=0), 100),
        (timedelta(seconds=70), 70),
        (80, 80),
        ([90, 1000], 90),
        (lambda attempt: attempt * 50, 50),
    ],
)
def test_every_kind_of_backoff(jq: JobQueue, backoff: object, expected: float) -> None:
    @jq.task(backoff=backoff)  # type: ignore[arg-type]
    def work() -> None:
        raise ValueError

    job = work.enqueue()
    jq.drain(PATIENCE)
    assert close_to(expected, wait_of(job))


def test_a_backoff_that_fails_is_replaced_by_the_default(jq: JobQueue) -> None:
    def broken(attempt: int) -> float:
        return 1 / (attempt - 1)

    @jq.task(backoff=broken)
    def work() -> None:
        raise ValueError

    job = work.enqueue()
    jq.drain(PATIENCE)
    assert job.refresh().state == "retrying"
    assert close_to(0.9, wait_of(job))


def test_only_these_exceptions_are_retried(jq: JobQueue) -> None:
    @jq.task(retries=1, backoff=0, retry_on=(OSError, KeyError), give_up_on=FileNotFoundError)
    def work(kind: str) -> None:
        raise {"os": OSError, "key": KeyError, "file": FileNotFoundError, "value": ValueError}[kind]

    jobs = [work.enqueue(kind) for kind in ("os", "key", "file", "value")]
    jq.drain(PATIENCE)
    assert [job.refresh().attempt for job in jobs] == [2, 2, 1, 1]
    assert {job.refresh().state for job in jobs} == {JobState.FAILED}


@pytest.mark.parametrize("returned", [False, True])
def test_retry_chooses_its_delay_and_uses_an_attempt(jq: JobQueue, *, returned: bool) -> None:
    @jq.task(retries=1, give_up_on=Exception)
    def work(delay: float) -> Retry:
        retry = Retry(delay, reason="the bank is closed")
        if returned:
            return retry
        raise retry

    job = work.enqueue(500)
    jq.drain(PATIENCE)
    assert (job.refresh().state, job.refresh().attempt) == ("retrying", 1)
    assert close_to(500, wait_of(job))
    hurried = work.enqueue(0)
    jq.drain(PATIENCE)
    assert (hurried.refresh().state, hurried.refresh().attempt) == ("failed", 2)
    with pytest.raises(JobFailed, match="the bank is closed"):
        hurried.result(timeout=0)


@pytest.mark.parametrize("returned", [False, True])
def test_snooze_uses_no_attempt(jq: JobQueue, *, returned: bool) -> None:
    attempts = []

    @jq.task(retries=0)
    def work() -> Snooze | str:
        attempts.append(current_job().attempt)
        if len(attempts) == 5:
            return "awake"
        if returned:
            return Snooze(0)
        raise Snooze(timedelta(0))

    job = work.enqueue()
    jq.drain(PATIENCE)
    assert (job.result(timeout=0), attempts) == ("awake", [1] * 5)
    assert job.refresh().errors == ()


def test_a_snoozed_job_is_scheduled(jq: JobQueue) -> None:
    @jq.task()
    def work() -> Snooze:
        return Snooze(3600)

    job = work.enqueue()
    jq.drain(PATIENCE)
    assert job.refresh().state == "scheduled"
    assert close_to(3600, wait_of(job))


def test_the_last_20_errors_are_kept(jq: JobQueue) -> None:
    @jq.task(retries=24, backoff=0)
    def work() -> None:
        raise ValueError(f"number {current_job().attempt}")

    job = work.enqueue()
    jq.drain(PATIENCE)
    last_lines = [error.splitlines()[-1] for error in job.refresh().errors]
    assert last_lines == [f"ValueError: number {n}" for n in range(6, 26)]


def test_attempts_are_kept_over_a_restart(make: Callable[..., JobQueue]) -> None:
    attempts = []

    def open_queue() -> tuple[JobQueue, Callable[[], Job[None]]]:
        jq = make()

        @jq.task(retries=2)
        def work() -> None:
            attempts.append(current_job().attempt)
            raise Retry(3600 if len(attempts) == 1 else 0)

        return jq, work.enqueue

    jq, enqueue = open_queue()
    job_id = enqueue().id
    jq.drain(PATIENCE)
    jq.close()
    jq, _ = open_queue()
    job = jq.job(job_id)
    assert (job.state, job.attempt, len(job.errors), attempts) == ("retrying", 1, 1, [1])
