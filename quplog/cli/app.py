"""The whole command: its subcommands, and how an error becomes a sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from quplog.cli.log import log
from quplog.cli.look import jobs, show, status
from quplog.cli.output import complain
from quplog.cli.replay import replay
from quplog.cli.salvage import salvage
from quplog.cli.verify import verify
from quplog.cli.worker import worker
from quplog.errors import JobNotFound, NotALog, QuplogError, UnsupportedFormat

DONE = 0
BAD = 1
MISUSED = 2
INTERRUPTED = 130
"""What shells report for a command that Ctrl-C ended."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="quplog", message="quplog %(version)s")
def quplog() -> None:
    """Run background jobs from a log on disk, and look into it.

    All commands but `worker` and `salvage` only read, take no lock, and work beside the process
    that owns the log. Exit codes: 0 done; 1 what was asked about is bad; 2 wrong usage, not a log,
    no such job.
    """


for command in (worker, status, jobs, show, log, replay, verify, salvage):
    quplog.add_command(command)


def run(arguments: Sequence[str]) -> int:  # noqa: PLR0911 - each end has its exit code
    """Run the command with these arguments; its exit code."""
    try:
        with quplog.make_context("quplog", list(arguments)) as context:
            code = quplog.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as exit_:  # after --help or --version
        return exit_.exit_code
    except click.ClickException as error:
        error.show()
        return MISUSED
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_has_left()
    except (NotALog, UnsupportedFormat, JobNotFound) as error:
        complain(str(error))
        return MISUSED
    except (QuplogError, OSError) as error:
        complain(str(error))
        return BAD
    return int(code or DONE)


def _reader_has_left() -> int:
    """Whoever read our output (`| head`) wants no more of it, which is no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE
