"""A program that forks while its threads open and close logs, take worker slots and leave them.

    churn.py FOLDER FORKS

Each child looks at what it has open, and tells it through a pipe of the parent's. It says "done",
or what was wrong.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from member import open_below

from quplog import JobQueue

THREADS = 3

folder = Path(sys.argv[1])
enough = threading.Event()


def open_and_close(number: int) -> None:
    while not enough.is_set():
        jq = JobQueue(folder / f"log-{number}", workers=1)

        @jq.task()
        def work() -> None: ...

        work.using(sync=False).enqueue()
        jq.drain()
        jq.close()


def look_in_child(into: int) -> None:
    """Exit code 0: no lock file came along, and the pipe did."""
    code = 1
    try:
        locks = [path for path in open_below(folder) if path.endswith("/lock")]
        os.write(into, "\n".join(locks).encode())
        code = 0
    finally:
        os._exit(code)


def fork_once() -> str:
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        look_in_child(into)
    os.close(into)
    locks = os.read(out, 1 << 16).decode()
    os.close(out)
    _, status = os.waitpid(child, 0)
    if status:
        return "a pipe that is not the log's was closed in the child"
    return f"the child had {locks}" if locks else ""


def main(forks: int) -> None:
    threads = [threading.Thread(target=open_and_close, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    wrong = [said for _ in range(forks) if (said := fork_once())]
    enough.set()
    for thread in threads:
        thread.join()
    print(f"{len(wrong)} of {forks} times: {wrong[0]}" if wrong else "done", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[2]))
