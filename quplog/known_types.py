"""The classes that stored bytes may name: `Types`, a table of names and classes.

Bytes say "an Order"; only a class that this program has put here under that name is ever made from
them. Classes come in by `add` (for `jq.register` and `jq.types`), and by themselves from the
annotations of tasks: dataclasses, Enums and named tuples, also inside of `list[...]`, `X | None`
and the fields of one another. A class is stored by its qualified name without the module, so that
it can move to another module while jobs wait.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from enum import Enum
from types import NoneType, SimpleNamespace
from typing import Any, get_args, get_origin, get_type_hints


class Types:
    """Which class a name in stored bytes stands for.

    >>> types = Types()
    >>> class Colour(Enum):
    ...     RED = 1
    >>> types.add(Colour)
    >>> types.name_of(Colour), types.get("Colour") is Colour, types.get("os.system")
    ('Colour', True, None)
    """

    def __init__(self) -> None:
        self._classes: dict[str, type] = {}
        self._names: dict[type, str] = {}

    def add(self, cls: type) -> None:
        """Make a class known, and those that its fields are annotated with.

        A class that is defined again (a reloaded module, a notebook's cell) takes its old place.
        Raises TypeError if it is no class, or if its objects hold more than attributes (it derives
        from dict, say, or is written in C); ValueError if another class has the same name.
        """
        if not isinstance(cls, type):
            message = f"a class is needed, not {cls!r}"
            raise TypeError(message)
        if cls in self._names:
            return
        if not is_restorable(cls):
            message = (
                f"{cls.__qualname__} cannot be stored by its attributes, since it derives from a "
                "built-in type: use a dataclass"
            )
            raise TypeError(message)
        name = cls.__qualname__
        other = self._classes.get(name)
        if other is not None and other.__module__ != cls.__module__:
            message = (
                f"there are two classes named {name}, in {other.__module__} and in "
                f"{cls.__module__}: jobs are stored with the name alone, so rename one of them"
            )
            raise ValueError(message)
        self._classes[name] = cls
        self._names[cls] = name
        self.add_annotations(cls)

    def add_annotations(self, owner: Callable[..., object] | type) -> None:
        """Make known what the annotations of a function, or of a class's fields, mention.

        Annotations that cannot be resolved are left out: what they mean has to be added.
        """
        for hint in _hints(owner):
            for cls in _mentioned(hint):
                if _is_data(cls) and is_restorable(cls):
                    self.add(cls)

    def get(self, name: str) -> type | None:
        """Return the class of that name, if it is known."""
        return self._classes.get(name)

    def name_of(self, cls: type) -> str | None:
        """Return the name that a known class is stored by."""
        return self._names.get(cls)


def is_named_tuple(cls: type) -> bool:
    """Tell whether it is a tuple whose items have names."""
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def is_restorable(cls: type) -> bool:
    """Tell whether objects of a class are no more than their fields.

    They are not if a base keeps things in memory of its own: then it has a __new__ that is not
    written in Python, or is larger than a bare object and has neither __dict__ nor __slots__.
    """
    if issubclass(cls, Enum) or is_named_tuple(cls):
        return True
    bare = object.__basicsize__
    return all(
        isinstance(vars(base).get("__new__"), staticmethod | NoneType)
        and ("__slots__" in vars(base) or base.__dictoffset__ != 0 or base.__basicsize__ == bare)
        for base in cls.__mro__
        if base is not object
    )


def _is_data(cls: type) -> bool:
    return is_dataclass(cls) or issubclass(cls, Enum) or is_named_tuple(cls)


def _hints(owner: Callable[..., object] | type) -> Iterator[object]:
    """Give the resolved annotations, one by one, so that one bad name does not hide the others."""
    if isinstance(owner, type):
        sources = [(base, vars(sys.modules.get(base.__module__, sys))) for base in owner.__mro__]
    else:
        function = inspect.unwrap(owner)
        sources = [(function, getattr(function, "__globals__", {}))]
    for source, names in sources:
        for annotation in inspect.get_annotations(source).values():
            holder: Any = SimpleNamespace(__annotations__={"it": annotation})
            for scope in ({}, _names_at_call(names)):
                try:
                    yield get_type_hints(holder, names, scope)["it"]
                except Exception:  # noqa: BLE001, S112 - a user's text can raise anything
                    continue
                break


def _names_at_call(names: Mapping[str, object]) -> dict[str, object]:
    """Give the local names where a module with these global names has called us, if it has.

    It is for classes and tasks that are defined inside of a function.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals is not names:
        frame = frame.f_back
    return dict(frame.f_locals) if frame is not None else {}


def _mentioned(hint: object) -> Iterator[type]:
    """Give all classes in a hint, through generics, unions, aliases and literals."""
    todo, seen = [hint], list[object]()
    while todo:
        hint = todo.pop()
        if any(hint is other for other in seen):  # an alias can mention itself
            continue
        seen.append(hint)
        if isinstance(hint, type):
            yield hint
        elif isinstance(hint, Enum):  # Literal[Colour.RED]
            yield type(hint)
        elif isinstance(hint, list):  # Callable[[Order], None]
            todo.extend(hint)
        todo.extend(get_args(hint))
        origins = (get_origin(hint), *(getattr(hint, name, None) for name in _ALIASES))
        todo.extend(origin for origin in origins if origin is not None)


# What stands for another hint keeps it here: NewType, `type X = ...`, TypeVar.
_ALIASES = ("__supertype__", "__value__", "__bound__")
