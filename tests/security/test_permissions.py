"""Whatever quplog creates is its owner's alone, whatever the umask says."""

from __future__ import annotations

import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from quplog import JobQueue
from quplog.log_store import LogReader
from quplog.salvage import salvage

PATIENCE = 120
EVERYTHING = """
    import os, sys
    from quplog import JobQueue
    from quplog.salvage import salvage

    umask, place = int(sys.argv[1], 8), sys.argv[2]
    os.umask(umask)
    jq = JobQueue(f"{place}/jobs", segment_size=65536, workers=1, keep_succeeded=0)

    @jq.task()
    def send(text: str) -> str:
        return text

    for _ in range(3):
        jq.enqueue_many([send.job("x" * 1000) for _ in range(100)])
        jq.drain(timeout=60)
    send.enqueue("one is left")
    jq.compact()
    jq.close()
    # The next opening finds a torn end, and sets it aside.
    newest = max(name for name in os.listdir(f"{place}/jobs") if name.endswith(".log"))
    os.rename(f"{place}/jobs/{newest}", f"{place}/whole")
    with open(f"{place}/whole", "rb") as whole:
        content = bytearray(whole.read())
    fd = os.open(f"{place}/jobs/{newest}", os.O_CREAT | os.O_WRONLY, 0o600)
    content[len(bytes(content).rstrip(bytes(1))) + 8] = 1
    os.write(fd, content)
    os.close(fd)
    os.remove(f"{place}/whole")
    JobQueue(f"{place}/jobs", workers=0).counts()
"""


def modes(place: Path) -> dict[str, int]:
    """The permissions of all that is in there."""
    found = sorted(place.rglob("*"))
    return {str(path.relative_to(place)): stat.S_IMODE(path.lstat().st_mode) for path in found}


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_files_are_their_owners_alone(tmp_path: Path, umask: str) -> None:
    source = textwrap.dedent(EVERYTHING)
    command = [sys.executable, "-c", source, umask, str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=PATIENCE)
    salvage(tmp_path / "jobs", tmp_path / "saved")
    found = modes(tmp_path)
    directories = {"jobs", "jobs/quarantine", "saved"}
    assert {name: mode for name, mode in found.items() if mode == 0o700} == dict.fromkeys(
        directories, 0o700
    )
    files = {name: mode for name, mode in found.items() if name not in directories}
    assert set(files.values()) == {0o600}
    names = {name.removeprefix("jobs/").split(".")[0] for name in files}
    assert names >= {"lock", "control", "poison", "spare"}
    assert any(name.endswith(".torn") for name in files)
    assert sum(name.endswith(".log") for name in files) >= 3


def test_a_directory_that_was_there_keeps_its_permissions(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    place.mkdir(mode=0o750)
    with JobQueue(place, workers=0) as jq:
        jq.counts()
    assert stat.S_IMODE(place.stat().st_mode) == 0o750
    assert set(modes(place).values()) == {0o600}


def test_reading_creates_nothing(tmp_path: Path) -> None:
    place = tmp_path / "jobs"
    with JobQueue(place, workers=0) as jq:
        jq.counts()
    before = modes(place)
    with LogReader(place) as reader:
        assert list(reader)
    assert modes(place) == before
