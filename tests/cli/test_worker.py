"""`quplog worker app:jq` runs the jobs of an application, and says what is wrong if it cannot."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from shop import PATIENCE, QUPLOG, Command, environment

from quplog import JobQueue

APP = """
from quplog import JobQueue

jq = JobQueue("jobs")

@jq.task(queue="loud")
def shout(words: str) -> str:
    print(words.upper(), flush=True)
    return words.upper()

@jq.task(queue="quiet")
def whisper(words: str) -> str:
    print(words, flush=True)
    return words
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def enqueue(directory: Path, queue: str, name: str, words: str) -> int:
    def task(words: str) -> None: ...

    jq = JobQueue(directory / "jobs", workers=0)
    job = jq.task(queue=queue, name=name)(task).enqueue(words)
    jq.close()
    return job.id


def start(directory: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [QUPLOG, "worker", "app:jq", *options],
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_jobs_until_it_is_told_to_stop(app: Path, ending: signal.Signals) -> None:
    enqueue(app, "loud", "shout", "hello")
    worker = start(app, "--threads", "2")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "HELLO\n"
    worker.send_signal(ending)
    _, complaints = worker.communicate(timeout=PATIENCE)
    assert (worker.returncode, "Traceback" in complaints) == (0, False), complaints
    jq = JobQueue(app / "jobs", workers=0)
    assert jq.counts()["succeeded"] == 1
    jq.close()


def test_it_serves_only_the_queues_that_it_is_given(app: Path) -> None:
    loud = enqueue(app, "loud", "shout", "hello")
    enqueue(app, "quiet", "whisper", "psst")
    worker = start(app, "--queues", "quiet")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "psst\n"
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=PATIENCE)
    jq = JobQueue(app / "jobs", workers=0)
    assert jq.job(loud).state == "ready"
    jq.close()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("app", "MODULE:NAME"),
        ("nowhere:jq", "nowhere"),
        ("app:queue", "queue"),
        ("app:shout", "JobQueue"),
        ("app:jq --threads 0", "0"),
        ("broken:jq", "no_such_module"),
    ],
)
def test_a_target_that_is_no_queue_is_exit_code_2(
    quplog: Command, app: Path, target: str, words: str
) -> None:
    (app / "broken.py").write_text("import no_such_module\n")
    done = quplog("worker", *target.split())
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert not (app / "jobs").exists()


def test_a_directory_of_something_else_is_exit_code_2(quplog: Command, app: Path) -> None:
    (app / "jobs").mkdir()
    (app / "jobs" / "thesis.txt").touch()
    done = quplog("worker", "app:jq")
    assert done.returncode == 2
    assert "something else" in done.stderr
    assert "Traceback" not in done.stderr
