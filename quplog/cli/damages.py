"""Damaged parts of a log, in words and in JSON: for `verify` and `salvage`."""

from __future__ import annotations

from collections.abc import Iterable

from quplog.cli.output import write_table
from quplog.records import Damage

SHOWN_MOST = 100
"""Parts that a person is shown; JSON has them all."""
KINDS = {
    "frame": "a changed frame",
    "bytes": "changed bytes",
    "zeros": "zeros where records stood",
    "missing": "in no file",
    "unchecked": "header gone: what follows it cannot be checked",
    "header": "header gone: its records are there",
    "foreign": "a file of another log: not read",
    "duplicate": "a second copy of a segment: not read",
    "misnamed": "a segment under a wrong name: read",
}
LOSSES = {
    "nothing": "nothing",
    "torn": "what nobody was told is durable",
    "durable": "acknowledged records",
}


def damage_for_json(damage: Damage, loss: str) -> dict[str, object]:
    """All that is known of it."""
    return {**damage._asdict(), "lost": loss}


def write_damages(damages: Iterable[tuple[Damage, str]]) -> None:
    """A table of them."""
    found = list(damages)
    write_table(
        ["file", "offset", "bytes", "LSN", "what", "lost"],
        [_row(damage, loss) for damage, loss in found[:SHOWN_MOST]],
    )
    if len(found) > SHOWN_MOST:
        write_table(["..."], [[f"{len(found) - SHOWN_MOST} more: --json shows them all"]])


def _row(damage: Damage, loss: str) -> list[object]:
    place = damage.offset if damage.file else None
    lsns = f"{damage.lsn}..{damage.end_lsn}" if damage.end_lsn else None
    what = KINDS[damage.kind]
    if damage.kind == "frame":
        what += f" of {damage.op_count} record" + ("s" if damage.op_count != 1 else "")
    return [damage.file or None, place, damage.length, lsns, what, LOSSES[loss]]
