"""The command `quplog`.

Its libraries, click and rich, come with the extra `cli`; the library itself does not need them, so
they are imported only here, when the command runs.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and exit.

    The exit code is 0 if it is done; 1 if what was asked about is bad (the log is damaged, the job
    has failed); 2 for wrong usage, for what is not a log, and for a job that does not exist.
    """
    try:
        from quplog.cli.app import run  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.stderr.write("quplog: the command needs click and rich: pip install 'quplog[cli]'\n")
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
