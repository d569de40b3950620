"""`quplog status`, `jobs` and `show`: the jobs of a log as they are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click

from quplog.cli.history import Event, History
from quplog.cli.output import (
    moment,
    progress,
    size,
    write_facts,
    write_heading,
    write_json,
    write_line,
    write_table,
    write_text,
)
from quplog.cli.places import directory_argument, json_option, reading
from quplog.cli.stored import (
    arguments_for_json,
    call_in_words,
    error_in_words,
    for_json,
    in_words,
)
from quplog.errors import JobNotFound
from quplog.log_store import LogReader, LogStore
from quplog.printable import plain
from quplog.scheduler import Schedule
from quplog.states import JobState
from quplog.store import Details, Record
from quplog.task import check_name

JOB_ID = click.IntRange(0, (1 << 63) - 1)
"""What the log can count."""


class Name(click.ParamType[str]):
    """A name that a log can hold."""

    name = "NAME"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Take what was typed as it is, if no name is different from it."""
        try:
            return check_name("a name", value)
        except ValueError as error:
            self.fail(plain(str(error)), param, ctx)


DAY_US = 86_400_000_000
PAGE = 1000
"""Jobs that are asked for at a time."""


@click.command()
@directory_argument
@json_option
def status(directory: Path, *, as_json: bool) -> None:
    """Show how many jobs are in which state, the schedules, and the log itself."""
    with reading(directory) as store:
        lanes = _count_lanes(store)
        schedules = [
            {
                "id": schedule.id,
                "rule": Schedule(store, schedule, sync=False).rule,
                "next_at": moment(schedule.next_us),
                "last_at": moment(schedule.last_us),
                "paused": schedule.paused,
            }
            for schedule in store.schedules()
        ]
        queues = sorted({queue for queue, _ in lanes})
        paused = [queue for queue in queues if store.paused(queue)]
        log = store.stats()._asdict() | {"torn_bytes": store.report.torn_bytes}
        counts = {str(state): number for state, number in store.counts().items()}
    if as_json:
        by_lane = [{"queue": q, "task": t, **lane} for (q, t), lane in sorted(lanes.items())]
        write_json(
            {"counts": counts, "lanes": by_lane, "paused": paused, "schedules": schedules}
            | {"log": log}
        )
        return
    _write_lanes(lanes, paused)
    if schedules:
        write_heading("schedules")
        write_table(list(schedules[0]), [list(schedule.values()) for schedule in schedules])
    write_heading("log")
    write_facts(_log_facts(directory, log))


def _count_lanes(store: LogStore) -> dict[tuple[str, str], Counter[str]]:
    """How many jobs of each queue and task are in which state."""
    lanes: dict[tuple[str, str], Counter[str]] = {}
    done, after = 0, 0
    with progress("counting", store.stats().jobs) as advance:
        while page := store.find(after=after, limit=PAGE):
            for record in page:
                lane = lanes.setdefault((record.queue, record.task), Counter())
                lane[str(record.state)] += 1
            after = page[-1].id
            done += len(page)
            advance(done)
    return lanes


def _write_lanes(lanes: dict[tuple[str, str], Counter[str]], paused: list[str]) -> None:
    if not lanes:
        write_line("no jobs")
        return
    states = [str(s) for s in JobState if any(lane[str(s)] for lane in lanes.values())]
    rows = [
        [f"{queue} (paused)" if queue in paused else queue, task, *(lane[s] for s in states)]
        for (queue, task), lane in sorted(lanes.items())
    ]
    if len(rows) > 1:
        rows.append(["all", "", *(sum(lane[s] for lane in lanes.values()) for s in states)])
    write_table(["queue", "task", *states], rows)


def _log_facts(directory: Path, log: dict[str, int]) -> list[tuple[str, object]]:
    return [
        ("directory", directory),
        ("on disk", f"{size(log['disk_bytes'])} in {log['segments']} segments"),
        ("in memory", size(log["table_bytes"])),
        ("from LSN", log["first_lsn"]),
        ("to LSN", log["tail_lsn"]),
        ("durable to", f"LSN {log['synced_lsn']} at least"),
        ("next job id", log["next_id"]),
        ("times opened", log["epoch"]),
        ("keeps succeeded", _days(log["keep_succeeded_us"])),
        ("keeps failed", _days(log["keep_failed_us"])),
        ("next due", moment(log["next_due_us"])),
    ]


def _days(time_us: int) -> str:
    days = time_us / DAY_US
    return f"{days:g} days" if days > 1 else f"{days * 24:g} h"


@click.command()
@directory_argument
@click.option("--state", type=click.Choice([str(state) for state in JobState]))
@click.option("--queue", type=Name(), help="Only the jobs of this queue.")
@click.option("--task", type=Name(), help="Only the jobs of this task.")
@click.option("--after", metavar="ID", type=JOB_ID, default=0, help="Begin behind this job.")
@click.option("--limit", type=JOB_ID, default=100, show_default=True, help="At most so many.")
@json_option
def jobs(
    directory: Path,
    *,
    state: str | None,
    queue: str | None,
    task: str | None,
    after: int,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, oldest first."""
    wanted = JobState(state) if state else None
    with reading(directory) as store:
        found = store.find(state=wanted, queue=queue, task=task, after=after, limit=limit)
    rows = [_job_fields(record) for record in found]
    if as_json:
        write_json(rows)
    elif rows:
        write_table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        write_line("no such jobs")
    if len(rows) == limit and rows and not as_json:
        write_line(f"There may be more: --after {found[-1].id}", style="dim")


def _job_fields(record: Record) -> dict[str, object]:
    """A job by the attribute names of Job."""
    return {
        "id": record.id,
        "task": record.task,
        "queue": record.queue,
        "state": str(record.state),
        "attempt": record.attempt,
        "priority": record.priority,
        "created_at": moment(record.created_us),
        "due_at": moment(record.due_us),
        "started_at": moment(record.started_us),
        "finished_at": moment(record.finished_us),
    }


@click.command()
@directory_argument
@click.argument("job_id", metavar="ID", type=JOB_ID)
@json_option
def show(directory: Path, job_id: int, *, as_json: bool) -> int:
    """Show one job with its whole history. The exit code is 1 if it has failed."""
    with reading(directory) as store:
        details = _load(store, job_id)
    events = _history(directory, details.record)
    if as_json:
        write_json(_details_fields(details) | {"history": [_event_fields(e) for e in events]})
    else:
        _write_job(details, events)
    return 1 if details.record.state is JobState.FAILED else 0


def _load(store: LogStore, job_id: int) -> Details:
    try:
        return store.load(job_id)
    except JobNotFound:
        message = (
            f"there is no job {job_id}: the id is wrong, or it was finished and has been forgotten"
        )
        raise JobNotFound(message) from None


def _history(directory: Path, record: Record) -> list[Event]:
    history = History(record.id)
    with LogReader(directory, job_id=record.id) as reader:
        for step in reader:
            history.read(step)
    return history.events_up_to(record.state)


def _details_fields(details: Details) -> dict[str, object]:
    errors = [error_in_words(error) for error in details.errors]
    return {
        **_job_fields(details.record),
        "retries": details.record.retries,
        "tags": list(details.tags),
        "arguments": arguments_for_json(details.payload),
        "result": None if details.result is None else for_json(details.result),
        "error": errors[-1] if errors else None,
        "errors": errors,
    }


def _event_fields(event: Event) -> dict[str, object]:
    return {
        "time": moment(event.time_us),
        "kind": event.kind,
        "attempt": event.attempt,
        "worker": event.worker,
        "lsn": event.lsn,
    }


def _write_job(details: Details, events: Iterable[Event]) -> None:
    fields = _job_fields(details.record)
    facts = [(name.replace("_", " "), value) for name, value in fields.items()]
    attempts = f"{details.record.attempt} of at most {details.record.retries + 1}"
    facts = [(name, attempts if name == "attempt" else value) for name, value in facts]
    facts.append(("tags", ", ".join(details.tags) or None))
    facts.append(("called as", call_in_words(details.record.task, details.payload)))
    if details.result is not None:
        facts.append(("result", in_words(details.result)))
    write_facts(facts)
    write_heading("history")
    write_table(
        ["time", "what", "attempt", "worker", "LSN"],
        [[moment(e.time_us), _what(e), e.attempt, e.worker, e.lsn] for e in events],
    )
    for number, error in enumerate(details.errors, 1):
        write_heading(f"error {number} of {len(details.errors)}")
        write_text(error_in_words(error))


def _what(event: Event) -> str:
    return f"{event.kind}, due {moment(event.due_us)}" if event.due_us else event.kind
