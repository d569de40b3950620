"""Classes that bytes may name: too few of them, too many, or the wrong ones."""

from __future__ import annotations

import builtins
import io
import threading
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from functools import wraps
from types import SimpleNamespace
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import pytest

from quplog.known_types import Types, is_restorable


class Colour(Enum):
    RED = 1


class Size(IntEnum):
    SMALL = 1


class Shape(Enum):
    ROUND = "round"


@dataclass
class Item:
    colour: Colour
    more: list[Item] = field(default_factory=list)


@dataclass
class Order:
    items: dict[str, tuple[Item, ...]]
    size: Size | None = None


class Point(NamedTuple):
    x: int
    shape: Shape


class Plain:
    pass


Sized = TypeVar("Sized", bound=Size)
OrderAlias = NewType("OrderAlias", Order)


@dataclass
class Page(Generic[Sized]):
    content: Sized


def known(types: Types) -> set[str]:
    return {
        cls.__name__
        for cls in (Colour, Size, Shape, Item, Order, Point, Plain, Page)
        if types.get(cls.__qualname__) is cls
    }


def from_annotation(hint: Any) -> set[str]:
    def task(argument: Any) -> None: ...

    task.__annotations__["argument"] = hint
    types = Types()
    types.add_annotations(task)
    return known(types)


@pytest.mark.parametrize(
    ("hint", "names"),
    [
        (Colour, {"Colour"}),
        (Colour | None, {"Colour"}),
        (list[Colour], {"Colour"}),
        (dict[str, tuple[Colour, ...]], {"Colour"}),
        (Annotated[Colour, "note"], {"Colour"}),
        (Literal[Colour.RED], {"Colour"}),
        (Callable[[Colour], Size], {"Colour", "Size"}),
        (type[Colour], {"Colour"}),
        (Item, {"Item", "Colour"}),
        (Order, {"Order", "Item", "Colour", "Size"}),
        (list[OrderAlias], {"Order", "Item", "Colour", "Size"}),
        (Point, {"Point", "Shape"}),
        (Page[Any], {"Page", "Size"}),
        ("list[Colour]", {"Colour"}),
        (list["Colour"], {"Colour"}),
        (Plain, set()),
        (int | str | None, set()),
        (Any, set()),
        ("Colour | NoSuchName", set()),
        ("1 / 0", set()),
        ("not a hint at all", set()),
        (7, set()),
    ],
)
def test_annotations_are_searched_through_and_through(hint: Any, names: set[str]) -> None:
    assert from_annotation(hint) == names


def test_an_alias_that_mentions_itself_comes_to_an_end() -> None:
    alias = SimpleNamespace()
    alias.__value__ = [alias, Colour]
    assert from_annotation(alias) == {"Colour"}


def test_one_annotation_that_cannot_be_resolved_does_not_hide_the_others() -> None:
    def task(
        first: NoSuchName,  # type: ignore[name-defined]  # noqa: F821
        second: Colour,
    ) -> list[Size]:
        raise NotImplementedError

    types = Types()
    types.add_annotations(task)
    assert known(types) == {"Colour", "Size"}


def test_a_wrapped_function_is_seen_through() -> None:
    def inner(argument: Colour) -> None: ...

    @wraps(inner)
    def outer(*args: object) -> None: ...

    types = Types()
    types.add_annotations(outer)
    assert known(types) == {"Colour"}


def test_a_class_defined_in_a_function_is_found_from_there() -> None:
    @dataclass
    class Local:
        colour: Colour

    @dataclass
    class Outer:
        local: Local

    def task(argument: list[Outer]) -> None: ...

    types = Types()
    types.add_annotations(task)
    assert types.get(Outer.__qualname__) is Outer
    assert types.get(Local.__qualname__) is Local
    assert known(types) == {"Colour"}


def test_what_cannot_be_restored_is_left_out_of_annotations_and_refused_by_name() -> None:
    @dataclass
    class Strange(dict):  # type: ignore[type-arg]
        size: Size

    def task(argument: Strange) -> None: ...

    types = Types()
    types.add_annotations(task)
    assert types.name_of(Strange) is None
    with pytest.raises(TypeError, match=r"Strange cannot be stored by its attributes.*dataclass"):
        types.add(Strange)


def test_fields_of_an_added_class_are_known_too_and_those_of_its_bases() -> None:
    @dataclass
    class Special(Order):
        shape: Shape = Shape.ROUND

    types = Types()
    types.add(Special)
    assert known(types) == {"Item", "Colour", "Size", "Shape"}


def test_a_plain_class_is_known_by_being_added() -> None:
    types = Types()
    assert types.name_of(Plain) is None
    types.add(Plain)
    types.add(Plain)
    assert (types.name_of(Plain), types.get("Plain")) == ("Plain", Plain)


def twin(module: str) -> type:
    return type("Twin", (), {"__module__": module})


def test_two_classes_of_one_name_are_refused() -> None:
    types, first = Types(), twin("shop.orders")
    types.add(first)
    with pytest.raises(ValueError, match=r"named Twin, in shop.orders and in shop.users"):
        types.add(twin("shop.users"))
    assert types.get("Twin") is first


def test_a_class_that_is_defined_again_takes_its_old_place() -> None:
    types, old, new = Types(), twin("shop.orders"), twin("shop.orders")
    types.add(old)
    types.add(new)
    assert types.get("Twin") is new
    assert types.name_of(old) == types.name_of(new) == "Twin"


@pytest.mark.parametrize("thing", [5, "Colour", Plain(), None])
def test_what_is_no_class_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match="a class is needed"):
        Types().add(thing)


@pytest.mark.parametrize(
    "cls",
    [int, str, dict, Exception, threading.local, io.StringIO, type(threading.Lock()), range],
)
def test_built_in_classes_are_refused(cls: type) -> None:
    assert not is_restorable(cls)


@pytest.mark.parametrize("cls", [Plain, Order, Point, Colour, Page, type("Sub", (Plain, ABC), {})])
def test_python_classes_are_not(cls: type) -> None:
    assert is_restorable(cls)


def test_no_name_is_known_by_itself() -> None:
    assert all(Types().get(name) is None for name in (*dir(builtins), "os.system", "Plain", ""))
