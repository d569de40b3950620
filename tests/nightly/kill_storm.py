"""The storm of tests/processes at its full size: 100,000 jobs, and 500 kills in between.

    python tests/nightly/kill_storm.py --kills 500 --jobs 100000 --seed 1

If a promise was broken, the log and what the programs wrote stay where the answer says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import proof

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "processes"))
from storm import Plan, Storm


def parse() -> argparse.Namespace:
    parser = proof.parser(
        "Kill 4 producers and 4 workers of one log, again and again, and look whether an "
        "acknowledged job is lost or a finished one runs again.",
        kills=proof.Size(500, "how often", least=0),
        jobs=proof.Size(100_000, "how many jobs"),
    )
    parser.add_argument(
        "--compact",
        action="store_true",
        help="forget finished jobs at once, and compact the log all the time",
    )
    return parser.parse_args()


def prove(arguments: argparse.Namespace, place: Path, answer: proof.Answer) -> None:
    shape = {"segments": 100, "keep": 0, "late": 1000} if arguments.compact else {}
    plan = Plan(jobs=arguments.jobs, kills=arguments.kills, seed=arguments.seed, **shape)
    way = proof.Progress("kills", plan.kills)

    def show(storm: Storm) -> None:
        way.show(storm.kills.total(), f", {storm.acked} jobs enqueued, {storm.ran} run")

    answer.tried = Storm(place, plan, tell=show).run()
    violations = answer.tried.pop("violations")
    assert isinstance(violations, list)
    answer.violations += violations


def main() -> int:
    arguments = parse()
    with proof.Answer("kill_storm", arguments.seed) as answer, answer.place("storm") as place:
        prove(arguments, place, answer)
    return answer.code


if __name__ == "__main__":
    sys.exit(main())
