"""Nothing that a log holds can make a terminal misbehave, and colour is for terminals only."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pexpect
import pytest
from shop import PATIENCE, QUPLOG, Command, environment

from quplog.codec import encode_call, encode_error, encode_result
from quplog.known_types import Types
from quplog.log_store import LogStore
from quplog.store import Outcome, Put, PutSpec

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\r\n\u202eevil\u2028[red]\ud800".encode(
    "utf-8", "surrogatepass"
).decode("utf-8", "replace")
"""Sets the title, clears, colours (in 8 bits too), returns, turns the writing, breaks the line,
and speaks the table library's own markup."""
OWN_COLOURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[hl]|\x1b\[2K|\x1b\[1A")
HARMFUL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]")


@pytest.fixture
def evil_log(tmp_path: Path) -> Path:
    """A log in which every text that a person can choose is evil."""
    store = LogStore.open(tmp_path / "evil")
    spec = PutSpec(EVIL, queue=EVIL, retries=1, tags=(EVIL,))
    payload = encode_call("evil", (EVIL,), {"to": EVIL}, Types())
    first, second = (store.put([Put(spec, payload)], sync=True)[0] for _ in range(2))
    store.serve({EVIL: None}, None)
    seat = store.seat()
    store.start()
    claim = seat.work(Outcome.NONE, wait=False)
    assert claim is not None
    assert claim.id == first
    claim = seat.work(Outcome.SUCCEEDED, encode_result(EVIL, Types()), wait=False)
    assert claim is not None
    assert claim.id == second
    error = encode_error(EVIL, EVIL, f"Traceback\n  {EVIL}")
    seat.work(Outcome.FAILED, error, claim=False)
    seat.close()
    store.close()
    return tmp_path / "evil"


COMMANDS = [
    ("status",),
    ("jobs",),
    ("show", 1),
    ("show", 2),
    ("log",),
    ("replay",),
    ("verify",),
    ("jobs", "--queue", EVIL),
]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(map(str, command[:2])))
def test_text_from_the_log_is_escaped(
    quplog: Command, evil_log: Path, command: tuple[object, ...], *, as_json: bool
) -> None:
    name, *rest = command
    done = quplog(name, evil_log, *rest, *(["--json"] if as_json else []))
    assert done.returncode in {0, 1}, done.stderr
    assert HARMFUL.findall(done.stdout) == []
    assert HARMFUL.findall(done.stderr) == []
    if as_json and name != "log":
        json.loads(done.stdout)
    if name == "jobs" and not as_json:
        assert r"\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\r\n\u202eevil\u2028[red]" in done.stdout


@pytest.mark.parametrize("command", [("status",), ("jobs",), ("show", 2), ("log",)])
def test_a_real_terminal_gets_colours_and_nothing_else(
    evil_log: Path, command: tuple[object, ...]
) -> None:
    name, *rest = command
    words = [str(name), str(evil_log), *map(str, rest)]
    terminal = pexpect.spawn(
        QUPLOG,
        words,
        env={**environment(), "TERM": "xterm-256color"},  # type: ignore[arg-type]
        encoding="utf-8",
        timeout=PATIENCE,
        dimensions=(50, 160),
    )
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.before is not None
    shown = terminal.before.replace("\r\n", "\n")
    assert OWN_COLOURS.search(shown) is not None or name == "log"
    assert HARMFUL.findall(OWN_COLOURS.sub("", shown).replace("\r", "")) == []


def test_what_is_no_terminal_gets_no_colour(quplog: Command, evil_log: Path) -> None:
    for name, *rest in COMMANDS:
        assert "\x1b" not in quplog(name, evil_log, *rest).stdout
