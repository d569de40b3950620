"""The tree holds nothing that belongs to one machine, and nothing that was left for later."""

from __future__ import annotations

import re

from tree import ROOT, files

# Each has a ~ in it that is taken out, so that this file does not find itself.
FORBIDDEN = {
    meaning: pattern.replace("~", "")
    for meaning, pattern in {
        "a path of one machine": r"(?<![\w.$}])/(?:r~oot|h~ome|w~ork|U~sers|t~mp)/",
        "the host of a package registry": (
            r"(?:py~pi|npm~js|python~hosted|crates~)\.(?:org|io|com)|deb\.deb~ian"
        ),
        "work left for later": r"\b(?:TO~DO|FIX~ME|X~XX|HA~CK)\b",
        "talk about how it was written": (
            r"(?i)\b(?:clau~de|anth~ropic|chat~gpt|subag~ent|the le~ad|this ses~sion"
            r"|helper ses~sion|language mo~del)\b"
        ),
    }.items()
}


def findings(text: str) -> list[str]:
    """What of the forbidden stands in `text`, as 'line: meaning: words'."""
    return [
        f"{number}: {meaning}: {match[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        for meaning, pattern in FORBIDDEN.items()
        for match in re.finditer(pattern, line)
    ]


def test_nothing_of_one_machine_and_nothing_left_for_later() -> None:
    found = []
    for path in files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}:{finding}" for finding in findings(text)]
    assert found == []


def test_each_kind_is_found_when_it_is_there() -> None:
    samples = ["cd /ro~ot/x", "see py~pi.org", "TO~DO: later", "the le~ad says"]
    assert [len(findings(sample.replace("~", ""))) for sample in samples] == [1, 1, 1, 1]
    assert findings("a/tmp/b ./work/x $HOME/work/x the leading zero todos") == []
