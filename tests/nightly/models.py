"""The models of tests/models at larger sizes than CI has time for: every state of each.

    python tests/nightly/models.py --searches 100

A search takes up to some gigabytes of memory and some minutes. There is no chance in it: the seed
changes nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import proof

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from checked import UnfinishedError, check, missing
from sizes import LARGE


def prove(searches: list[tuple[str, str]], answer: proof.Answer) -> None:
    way = proof.Progress("searches", len(searches))
    states: dict[str, int] = {}
    answer.tried["states"] = states
    for done, (model, size) in enumerate(searches):
        way.show(done, f", {model} {size} is next")
        try:
            found = check(model, *size.split(), long=True)
        except UnfinishedError as error:
            answer.violations.append(f"not all was seen: {error}")
            continue
        states[f"{model} {size}"] = found.states
        if found.error:
            answer.violations.append(f"{model} {size}: {found.error}")


def main() -> int:
    arguments = proof.parser(
        "Search every state of the models of appending, syncing and compacting.",
        searches=proof.Size(100, "so many of the searches at most, those of each model by turns"),
    ).parse_args()
    if missing():
        sys.exit(f"Please install {' and '.join(missing())}.")
    rows = max(len(sizes) for sizes in LARGE.values())
    searches = [
        (model, sizes[row])
        for row in range(rows)
        for model, sizes in LARGE.items()
        if row < len(sizes)
    ][: arguments.searches]
    with proof.Answer("models", arguments.seed) as answer:
        prove(searches, answer)
    return answer.code


if __name__ == "__main__":
    sys.exit(main())
