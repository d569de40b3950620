"""The storm of tests/processes at its full size: 100,000 jobs, and 500 kills in between.

    python tests/nightly/kill_storm.py --kills 500 --jobs 100000 --seed 1

It shows how far it is, ends with one line of JSON (what was tried, and what was violated), and its
exit code is 1 if a promise was broken; then the log and what the programs wrote stay where it says.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "processes"))
from storm import Plan, Storm

SHOWN = 20
"""So many violations stand in the line of JSON; the log has the others."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Kill 4 producers and 4 workers of one log, again and again, and look whether "
        "an acknowledged job is lost or a finished one runs again."
    )
    parser.add_argument("--kills", type=int, default=500, help="how often (500)")
    parser.add_argument("--jobs", type=int, default=100_000, help="how many jobs (100000)")
    parser.add_argument("--seed", type=int, default=1, help="whom to kill, and when (1)")
    parser.add_argument(
        "--compact",
        action="store_true",
        help="forget finished jobs at once, and compact the log all the time",
    )
    return parser.parse_args()


def show(storm: Storm) -> None:
    kills, plan = storm.kills.total(), storm.plan
    end = "\r" if sys.stderr.isatty() else "\n"
    if end == "\r" or kills % max(1, plan.kills // 20) == 0:
        progress = f"{kills:5} of {plan.kills} kills, {storm.acked:7} of {plan.jobs} jobs enqueued"
        print(f"{progress}, {storm.ran:7} run", end=end, file=sys.stderr, flush=True)


def main() -> int:
    arguments = parse()
    shape = {"segments": 100, "keep": 0, "late": 1000} if arguments.compact else {}
    plan = Plan(jobs=arguments.jobs, kills=arguments.kills, seed=arguments.seed, **shape)
    place = Path(tempfile.mkdtemp(prefix="quplog-storm-"))
    try:
        result = Storm(place, plan, tell=show).run()
    except (OSError, TimeoutError) as error:
        result = {"seed": plan.seed, "violations": [f"{type(error).__name__}: {error}"]}
    violations = result["violations"]
    assert isinstance(violations, list)
    if violations:
        result["kept in"] = str(place)
        result["number of violations"] = len(violations)
        result["violations"] = violations[:SHOWN]
    else:
        shutil.rmtree(place)
    print(json.dumps(result))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
