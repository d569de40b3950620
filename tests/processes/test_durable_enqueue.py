"""What a durable enqueue asks of the kernel, as strace tells it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from watched import PATIENCE, PRELUDE, need_strace, skip_if_forbidden

JOBS = 20

PROGRAM = f"""
with JobQueue("jobs", workers=0) as jq:
    work = jq.task(name="work")(print)
    work.enqueue()
    os.path.exists("begin")
    for n in range({JOBS}):
        work.enqueue()
    os.path.exists("end")
"""


def test_no_look_at_a_file_s_times_makes_its_next_sync_write_them(tmp_path: Path) -> None:
    """Times that were seen change with the next write, and the sync then writes the inode too."""
    need_strace()
    trace = tmp_path / "strace"
    calls = "trace=?stat,?fstat,?newfstatat,?statx,fdatasync"
    command = ["strace", "-f", "-e", calls, "-o", str(trace), sys.executable, "-P", "-c"]
    program = PRELUDE + PROGRAM
    ran = subprocess.run(
        [*command, program],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    skip_if_forbidden(ran.stderr)
    assert ran.returncode == 0, ran.stderr
    _, _, after = trace.read_text().partition('"begin"')
    between, _, _ = after.partition('"end"')
    lines = between.splitlines()[1:-1]  # without the ends of the lines that "begin" and "end" mark
    syncs = [line for line in lines if "fdatasync(" in line]
    looks = [line.partition("{")[0] for line in lines if re.search(r"\w*stat\w*\(", line)]
    assert len(syncs) >= JOBS
    assert len(looks) >= JOBS, "it no longer looks whether its files are still there"
    assert [look for look in looks if "statx(" not in look or "TIME" in look] == []
