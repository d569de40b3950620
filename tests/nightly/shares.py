"""One program of tests/sim (proof.h) on all cores: each run of it tries its share of the cases.

    way = proof.Progress("states", arguments.states)
    answers = Shares(program, "states", way).run(arguments.jobs, "--seed", 1)

How such a program tells how far it is, and answers, is in the header of proof.h.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import proof

JOBS = proof.Size(os.cpu_count() or 1, "how many programs at a time")
"""The size `jobs` of proof.parser()."""


class Shares:
    """All runs of one program, and how far they are together.

    The first violation of one ends the others, unless `to_the_end`.
    """

    def __init__(
        self,
        program: Path,
        unit: str,
        way: proof.Progress,
        *,
        to_the_end: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._program = program
        self._told = re.compile(rf"{unit} (\d+)\n")
        self._way = way
        self._to_the_end = to_the_end
        self._environment = os.environ | dict(environment or {})
        self._done: Counter[int] = Counter()
        self._running: set[subprocess.Popen[str]] = set()
        self._ended = False

    def run(self, jobs: int, *options: object) -> list[dict[str, Any]]:
        """The answers of so many programs; each has its `violations`."""
        with ThreadPoolExecutor(jobs) as pool:
            try:
                return list(pool.map(lambda job: self._run(job, jobs, options), range(jobs)))
            except BaseException:  # the pool waits for all of them
                self._end_all()
                raise

    def _run(self, job: int, jobs: int, options: tuple[object, ...]) -> dict[str, Any]:
        words = [self._program, *options, "--first", job, "--step", jobs]
        command = [str(word) for word in words]
        # A file for its errors: a pipe that nobody empties would stop it.
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=self._environment
            ) as program,
        ):
            self._running.add(program)
            if self._ended:  # by one that was quicker than this one's start
                program.terminate()
            last = self._listen(job, program.stdout)
            code = program.wait()
            self._running.discard(program)
            errors.seek(0)
            said = errors.read()
        if code == -signal.SIGTERM and self._ended:
            return {"violations": []}
        return self._judge(last, code, f"{' '.join(command)} ended with {code}: {said}")

    def _listen(self, job: int, lines: IO[str] | None) -> str:
        """Show its progress until it ends; its last line."""
        last = ""
        assert lines is not None
        for last in lines:
            if told := self._told.fullmatch(last):
                self._done[job] = int(told[1])
                self._way.show(min(self._done.total(), self._way.total))
        return last

    def _judge(self, last: str, code: int, how_it_ended: str) -> dict[str, Any]:
        answered = last.startswith("{")
        answer: dict[str, Any] = json.loads(last) if answered else {"violations": []}
        if not answered or code != (1 if answer["violations"] else 0):
            answer["violations"].append(how_it_ended)
        if answer["violations"] and not self._to_the_end:
            self._end_all()
        return answer

    def _end_all(self) -> None:
        self._ended = True
        for program in list(self._running):
            program.terminate()
