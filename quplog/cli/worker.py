"""`quplog worker`: run the jobs of an application until it is told to stop."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback

import click

from quplog.printable import plain
from quplog.queue import JobQueue


@click.command()
@click.argument("target", metavar="MODULE:NAME")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="How many jobs run at once.  [default: as the JobQueue was made]",
)
@click.option("--queues", metavar="A,B", help="Only the jobs of these queues.")
def worker(*, target: str, threads: int | None, queues: str | None) -> None:
    """Run the jobs of the JobQueue called NAME in MODULE, until SIGTERM or Ctrl-C.

    The module is looked for in the current directory first. Jobs that are running at the end may
    finish; a second signal gives them back at once, and they run again later.
    """
    jq = _find(target)
    names = [name.strip() for name in queues.split(",")] if queues is not None else None
    if names is not None and not all(names):
        message = "--queues takes names with commas between them, like mail,reports"
        raise click.UsageError(message)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        jq.run(workers=threads, queues=names)
    finally:
        jq.close()


def _find(target: str) -> JobQueue:
    """The JobQueue that MODULE:NAME means."""
    module_name, colon, name = target.partition(":")
    named = all(part.isidentifier() for part in module_name.split("."))
    if not (named and colon and name):
        message = f"{plain(target)}: write MODULE:NAME, like app:jq for the jq in app.py"
        raise click.UsageError(message)
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - sys.path holds text
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        if not (isinstance(error, ModuleNotFoundError) and error.name == module_name):
            traceback.print_exc()
        message = f"the module {plain(module_name)} cannot be imported: {plain(str(error))}"
        raise click.UsageError(message) from error
    if not hasattr(module, name):
        message = f"the module {plain(module_name)} has no {plain(name)}"
        raise click.UsageError(message)
    jq = getattr(module, name)
    if not isinstance(jq, JobQueue):
        message = f"{plain(target)} is a {type(jq).__name__}, not a JobQueue"
        raise click.UsageError(message)
    return jq
