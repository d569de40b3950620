"""Nothing that a log holds can make a terminal misbehave, and colour is for terminals only."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path

import pexpect
import pytest
from msgpack import packb
from shop import PATIENCE, QUPLOG, Command, environment

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "security"))
from forge import forge

from quplog.codec import encode_call, encode_error, encode_result
from quplog.known_types import Types
from quplog.log_store import LogStore
from quplog.schedule import Every
from quplog.scheduler import Recurring
from quplog.store import Outcome, Put, PutSpec, ScheduleChange

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\r\n\u202eevil\u2028[red]\ud800".encode(
    "utf-8", "surrogatepass"
).decode("utf-8", "replace")
"""Sets the title, clears, colours (in 8 bits too), returns, turns the writing, breaks the line,
and speaks the table library's own markup."""
EVIL_BYTES = b"\x1b[2J\x9b31m\x07\r\n\xe2\x80\xae\xed\xa0\x80\xff"
"""Not even UTF-8: what a forger puts where quplog writes only what it knows."""
OWN_COLOURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[hl]|\x1b\[2K|\x1b\[1A")
HARMFUL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]")


@pytest.fixture
def evil_log(tmp_path: Path) -> Path:
    """A log in which every text that a person can choose is evil."""
    store = LogStore.open(tmp_path / "evil")
    spec = PutSpec(EVIL, queue=EVIL, retries=1, tags=(EVIL,))
    payload = encode_call("evil", (EVIL, 10**5000), {"to": EVIL, EVIL: {EVIL}}, Types())
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
    for number, rule in enumerate(evil_rules(spec, payload)):
        change = ScheduleChange(f"{EVIL}{number}", rule, 1, 1, paused=False, expected=0)
        store.change_schedule(change, (), sync=True)
    store.pause(EVIL, paused=True)
    store.close()
    host = socket.gethostname().encode()
    evil_host = (EVIL_BYTES * len(host))[: len(host)]
    assert forge(tmp_path / "evil", host, evil_host) > 0
    return tmp_path / "evil"


def evil_rules(spec: PutSpec, payload: bytes) -> list[bytes]:
    """Schedules: a good one, one of a kind that is not known, one of fields, one of nothing."""
    what = [EVIL, EVIL, 0, 0, [EVIL], payload]
    return [
        Recurring(Every(3_600_000_000), spec, payload).to_bytes(),
        packb([{"kind": EVIL}, what], unicode_errors="surrogatepass"),
        packb([{"kind": "every", EVIL: EVIL}, what], unicode_errors="surrogatepass"),
        EVIL_BYTES,
    ]


@pytest.fixture
def torn_log(evil_log: Path) -> Path:
    """The same, damaged in its middle."""
    (segment,) = evil_log.glob("*.log")
    content = bytearray(segment.read_bytes())
    content[len(content.rstrip(b"\0")) // 2 + 2048] ^= 0xFF
    segment.write_bytes(content)
    return evil_log


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
    if name == "show" and as_json and rest == [1]:
        assert json.loads(done.stdout)["arguments"]["args"][1] == hex(10**5000)
    if name == "jobs" and not as_json:
        assert r"\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\r\n\u202eevil\u2028[red]" in done.stdout


@pytest.mark.parametrize("command", [("verify",), ("salvage", "new"), ("replay",), ("log",)])
@pytest.mark.parametrize("as_json", [False, True])
def test_text_from_a_damaged_log_is_escaped(
    quplog: Command, torn_log: Path, command: tuple[object, ...], *, as_json: bool
) -> None:
    name, *rest = command
    done = quplog(name, torn_log, *rest, *(["--json"] if as_json else []))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert HARMFUL.findall(done.stdout) == []
    assert HARMFUL.findall(done.stderr) == []
    if as_json and name in {"verify", "salvage"}:
        json.loads(done.stdout)


@pytest.mark.parametrize(
    "command",
    [*COMMANDS[:-1], ("verify", "--json"), ("show", 1, "--json"), ("status", "--json")],
    ids=lambda command: "-".join(map(str, command)),
)
def test_a_real_terminal_gets_colours_and_nothing_else(
    evil_log: Path, command: tuple[object, ...]
) -> None:
    look_in_a_terminal(command, evil_log)


@pytest.mark.parametrize("command", [("verify",), ("salvage", "new"), ("replay",), ("log",)])
def test_a_damaged_log_does_no_harm_to_a_real_terminal(
    torn_log: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[object, ...]
) -> None:
    monkeypatch.chdir(torn_log.parent)
    look_in_a_terminal(command, torn_log)


def look_in_a_terminal(command: tuple[object, ...], log: Path) -> None:
    name, *rest = command
    words = [str(name), str(log), *map(str, rest)]
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
    assert shown.strip()
    assert "Traceback (most" not in shown
    if name in {"status", "jobs", "show"} and "--json" not in rest:
        assert OWN_COLOURS.search(shown) is not None
    assert HARMFUL.findall(OWN_COLOURS.sub("", shown).replace("\r", "")) == []


def test_what_is_no_terminal_gets_no_colour(quplog: Command, evil_log: Path) -> None:
    for name, *rest in COMMANDS:
        assert "\x1b" not in quplog(name, evil_log, *rest).stdout
