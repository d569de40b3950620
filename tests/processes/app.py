"""A program that does what its input says, line by line, and answers each with a line.

    app.py LOG FILES [OPTION=NUMBER ...]     options of JobQueue

    start              start the workers             stop, close, leave (without either)
    put TASK TEXT      enqueue; the id               put_unsynced TASK TEXT
    put_later TASK TEXT     the same, due in 0.1 s
    counts             how many jobs have succeeded  drain
    flood, flood_synced     enqueue jobs as fast as it can until FILES/enough is there; how many
    also LOG           open another log, and start workers there
    put_also TASK TEXT                           enqueue there
    fork               a copy of this program that does nothing; its pid
    fork_to_work       one that starts workers of its own

Its jobs say in FILES/runs that they run, and in FILES/starts since when. The task `hold` goes on
until FILES/go-TEXT is there. What was acknowledged is in FILES/PID.acks. A KeyboardInterrupt is
answered by "interrupted".
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from member import Lines, make_tasks

from quplog import JobQueue, JobState, LogLocked

POLL = 0.005


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(POLL)


class App:
    def __init__(self, log: str, files: Path, options: dict[str, float]) -> None:
        self._files = files
        self._jq = JobQueue(log, **{"workers": 1} | options)  # type: ignore[arg-type]
        runs, starts = Lines(files / "runs"), Lines(files / "starts")
        self._acks = Lines(files / f"{os.getpid()}.acks")
        (self._work, *_) = make_tasks(self._jq, runs)

        @self._jq.task()
        def hold(text: str) -> None:
            starts.add(f"{time.monotonic()} {os.getpid()} {text}")
            self._work(text)
            wait_for(files / f"go-{text}")

        self._hold = hold

    def start(self) -> str:
        self._jq.start()
        return "started"

    def stop(self) -> str:
        self._jq.stop()
        return "stopped"

    def close(self) -> str:
        self._jq.close()
        return "closed"

    def put(self, task: str, text: str, *, sync: bool = True, delay: float = 0) -> str:
        kind = self._hold if task == "hold" else self._work
        try:
            job = kind.using(sync=sync, delay=delay).enqueue(text)
        except LogLocked as error:
            return f"LogLocked {error.outcome_known}"
        self._acks.add(f"{job.id} {text}")
        return str(job.id)

    def put_unsynced(self, task: str, text: str) -> str:
        return self.put(task, text, sync=False)

    def put_later(self, task: str, text: str) -> str:
        return self.put(task, text, delay=0.1)

    def counts(self) -> str:
        return str(self._jq.counts()[JobState.SUCCEEDED])

    def also(self, log: str) -> str:
        self._other = App(log, self._files, {})
        return self._other.start()

    def put_also(self, task: str, text: str) -> str:
        return self._other.put(task, text)

    def drain(self) -> str:
        self._jq.drain()
        return "drained"

    def flood(self, *, sync: bool = False) -> str:
        self._say("flooding")
        work, tell, pid, steps = self._work.using(sync=sync), self._acks.add, os.getpid(), 0
        while not (steps % 100 == 0 and (self._files / "enough").exists()):
            steps += 1
            text = f"flood-{pid}-{steps}"
            tell(f"{work.enqueue(text).id} {text}")
        return str(steps)

    def flood_synced(self) -> str:
        return self.flood(sync=True)

    def fork(self) -> str:
        child = os.fork()
        if child == 0:
            wait_for(self._files / "never")
        return str(child)

    def fork_to_work(self) -> str:
        child = os.fork()
        if child == 0:
            self._jq.start()
            wait_for(self._files / "never")
        return str(child)

    def _say(self, answer: str) -> None:
        print(answer, flush=True)

    def obey(self) -> None:
        verbs: dict[str, Callable[..., str]] = {
            name: getattr(self, name) for name in dir(self) if not name.startswith("_")
        }
        while line := sys.stdin.readline():
            verb, *words = line.split()
            if verb == "leave":
                return
            try:
                self._say(verbs[verb](*words))
            except KeyboardInterrupt:
                self._say("interrupted")


def main(log: str, folder: str, *options: str) -> None:
    pairs = (option.split("=") for option in options)
    numbers = {name: float(number) for name, number in pairs}
    if "workers" in numbers:
        numbers["workers"] = int(numbers["workers"])
    App(log, Path(folder), numbers).obey()


if __name__ == "__main__":
    main(*sys.argv[1:])
