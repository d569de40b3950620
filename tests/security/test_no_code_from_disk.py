"""No bytes from a disk become code: the source cannot do it, and hostile payloads show it.

A payload that somebody forged may name any class. Only one that the program made known is made, of
plain values, without a call of anything that it defines.
"""

from __future__ import annotations

import ast
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, Flag
from pathlib import Path
from typing import NamedTuple

import pytest
from msgpack import ExtType, packb

from quplog import JobQueue, JobState
from quplog.codec import decode_call, decode_error, decode_object, decode_result, decode_to_show
from quplog.errors import PayloadError
from quplog.known_types import Types
from quplog.store import Put, PutSpec
from quplog.values import Code

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "quplog").rglob("*.py"))
FORBIDDEN_MODULES = {
    *("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "copyreg", "shelve", "dbm"),
    *("marshal", "yaml", "jsonpickle", "code", "codeop", "runpy", "pkgutil", "pydoc", "imp"),
}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__", "globals", "breakpoint"}
FORBIDDEN_ATTRIBUTES = {
    *("import_module", "load_module", "exec_module", "find_class", "__reduce__", "__reduce_ex__"),
    *("__setstate__", "__import__", "system", "popen", "spawn"),
}
MAY = {
    "quplog/cli/worker.py": {"import_module"},  # MODULE:NAME, which a person has typed
}
"""What is used all the same, and why that is no name from a disk."""


def suspects(source: str) -> Iterator[tuple[int, str]]:
    """Whatever could make code of data, by line."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
            bad = FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").split(".")[0], *(alias.name for alias in node.names)]
            bad = FORBIDDEN_MODULES | FORBIDDEN_ATTRIBUTES
        elif isinstance(node, ast.Name):
            names, bad = [node.id], FORBIDDEN_NAMES
        elif isinstance(node, ast.Attribute):
            names, bad = [node.attr], FORBIDDEN_ATTRIBUTES | {"loads", "unsafe_load"}
        else:
            continue
        yield from ((node.lineno, name) for name in names if name in bad)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_in_the_source_makes_code_of_data(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    found = [
        f"{name}:{line}: {what}"
        for line, what in suspects(path.read_text("utf-8"))
        if what not in MAY.get(name, ())
    ]
    assert found == []


def test_the_look_at_the_source_finds_what_it_looks_for() -> None:
    evil = (
        "import pickle",
        "from marshal import loads",
        "from importlib import import_module",
        "eval(data)",
        "__import__(name)",
        "builtins.__import__(name)",
        "importlib.import_module(name)",
        "pickle.loads(data)",
        "os.system(data)",
    )
    assert all(list(suspects(line)) for line in evil)
    assert len(SOURCES) > 20


# ---- what comes in bytes ----

calls: list[str] = []
"""What ran although it was only named."""


def tell_tale(name: str) -> Callable[..., object]:
    def tell(*_: object, **__: object) -> object:
        calls.append(name)
        return None

    return tell


@dataclass
class Order:
    """A class that is known. Nothing that it defines may run because bytes say so."""

    number: int = 0

    __init__ = tell_tale("__init__")  # type: ignore[assignment]
    __post_init__ = tell_tale("__post_init__")
    __setattr__ = tell_tale("__setattr__")  # type: ignore[assignment]
    __setstate__ = tell_tale("__setstate__")
    __call__ = tell_tale("__call__")


class Unknown:
    """A class of this program that nobody made known."""

    __init__ = tell_tale("an unknown class")  # type: ignore[assignment]


class Colour(Enum):
    RED = 1


class Access(Flag):
    READ = 1


class Place(NamedTuple):
    x: int


NAMES = [
    *("os.system", "posix.system", "system", "subprocess.Popen", "Popen", "builtins.eval", "eval"),
    *(
        "exec",
        "__import__",
        "builtins.object",
        "object",
        "type",
        "dict",
        "Types",
        "Code",
        "Unknown",
    ),
    *("Order.__init__", "Order.__class__", "Colour.RED", "Colour.__class__", "Order\0", "", "../x"),
    *("quplog.queue.JobQueue", "JobQueue", "antigravity", "this", "test_no_code_from_disk.Unknown"),
]
STATES: list[object] = [
    {},
    {"number": "touch owned"},
    {"__class__": "os.system", "__dict__": {"number": 1}, "__reduce__": ["os.system", ["id"]]},
    {"args": ["touch owned"], "shell": True},
    ["touch owned"],
    "RED",
    "__class__",
    "mro",
    "_member_map_",
    1,
    -1,
    None,
    b"\x80\x04\x95",
]
MARKS = (Code.ENUM, Code.FLAG, Code.OBJECT)


def known_types() -> Types:
    types = Types()
    for cls in (Order, Colour, Access, Place):
        types.add(cls)
    return types


def hostile() -> Iterator[bytes]:
    """Payloads that no quplog writes."""
    known = ["Order", "Colour", "Access", "Place"]
    for mark in MARKS:
        for name in [*NAMES, *known, 5, None, ["os.system"], {"x": 1}]:
            for state in STATES:
                yield packb([{}, [ExtType(mark, b""), name, state]])
                yield packb([ExtType(mark, b""), name, state])
        yield packb([{}, [ExtType(mark, b"")]])
        yield packb([{}, ExtType(mark, b"os.system")])
    chance = random.Random(1)  # noqa: S311  # nobody attacks this test
    for code in range(128):
        for data in (b"", b"os.system", b"cos\nsystem\n(S'id'\ntR.", chance.randbytes(16)):
            yield packb([{}, ExtType(code, data)])
            yield packb([{}, [ExtType(code, data), "os.system", "id"]])
    yield b"cos\nsystem\n(S'touch owned'\ntR."  # a pickle
    yield b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93."
    yield b"!!python/object/apply:os.system ['touch owned']"
    yield b"\xdd\xff\xff\xff\xff"  # an array of four thousand million items
    yield b"\xc6\xff\xff\xff\xff"  # as many bytes
    yield b"\x91" * 100_000  # deeper than any stack


ALLOWED = (type(None), bool, int, float, str, bytes, list, dict, tuple, set, frozenset)
MADE = (Order, Colour, Access, Place)


def strangers(value: object) -> list[object]:
    """The parts of a decoded value that are of a class that nobody allowed."""
    if isinstance(value, type):
        return [value]
    if isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = list(value)
    elif isinstance(value, Order | Unknown) and not isinstance(value, Enum):
        parts = list(vars(value).values())
    else:
        parts = []
    stored = type(value).__module__ in {"datetime", "decimal", "uuid", "zoneinfo"}
    fine = type(value) in ALLOWED or isinstance(value, MADE) or stored
    return [*([] if fine else [value]), *(each for part in parts for each in strangers(part))]


def test_only_known_classes_are_made_and_none_of_their_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    types = known_types()
    decode_call(packb([{}, [ExtType(Code.OBJECT, b""), "Order", {"number": 5}]]), types)
    modules, decoded = set(sys.modules), 0
    for payload in hostile():
        for decode in (
            lambda data: decode_call(data, types),
            lambda data: decode_result(data, types),
            lambda data: decode_object(data, Order, types),
            decode_error,
            decode_to_show,
        ):
            try:
                value = decode(payload)
            except PayloadError:
                continue
            decoded += 1
            assert decode is decode_to_show or not strangers(value), payload
    assert decoded > 100  # of the known classes there are good ones among them
    assert calls == []
    assert set(sys.modules) - modules == set()
    assert list(tmp_path.iterdir()) == []


def test_a_forged_job_fails_and_the_worker_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran: list[object] = []
    with JobQueue(tmp_path / "jobs", workers=0) as jq:
        jq.types(Order, Colour)

        @jq.task(name="work")
        def work(*values: object) -> None:
            ran.extend(values)

        good = work.enqueue("good")
        store = jq._store  # a forger does not come through the front door
        payloads = [packb([{}, [ExtType(mark, b""), name, {}]]) for mark in MARKS for name in NAMES]
        ids = store.put([Put(PutSpec("work"), payload) for payload in payloads], sync=True)
        last = work.enqueue("last")
        jq.drain(timeout=60)
        states = {jq.job(job_id).state for job_id in ids}
        assert states == {JobState.FAILED}
        assert all("PayloadError" in (jq.job(job_id).error or "") for job_id in ids)
        assert (good.refresh().state, last.refresh().state) == (JobState.SUCCEEDED,) * 2
    assert ran == ["good", "last"]
    assert calls == []
    assert os.listdir(tmp_path) == ["jobs"]  # noqa: PTH208  # "owned" is not there
