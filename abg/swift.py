"""Frozen values that are made quickly: a call becomes some twenty of them.

attrs sets each field of a frozen class by a call of ``object.__setattr__``, for want of another
way past the class's own. Here an instance is, for as long as its fields are set, of a twin class
that is not frozen. Measured on CPython 3.11: 0.6 instead of 2.5 µs for the 43 fields of an entry,
0.4 instead of 0.8 µs for ten.
"""

from __future__ import annotations

from typing import Any, TypeVar

from attrs import NOTHING, Factory, fields

__all__ = ["swift"]

T = TypeVar("T")
FACTORY: Any = Factory
"""To mypy a function."""


def swift(cls: type[T]) -> type[T]:
    """The same class with a quicker ``__init__``, of the same signature and effect::

        @swift
        @frozen(weakref_slot=False)
        class Point:
            x: int
            y: int = 0

    Raises:
        TypeError: a field has more to it than a name and a default, or instances have a base, a
            dict or weak references: those could not change their class.
    """
    rows = fields(cls)  # type: ignore[arg-type]
    names = [row.name for row in rows]
    if cls.__bases__ != (object,) or cls.__dict__.get("__slots__") != tuple(names):
        raise TypeError(f"{cls.__name__} has other slots than its fields")
    defaults: dict[str, Any] = {}
    for row in rows:
        if row.converter or row.validator or row.kw_only or isinstance(row.default, FACTORY):
            raise TypeError(f"{cls.__name__}.{row.name} is no plain field")
        if row.default is not NOTHING:
            defaults[f"default_{row.name}"] = row.default
    asked = (f"{n}=default_{n}" if f"default_{n}" in defaults else n for n in names)
    lines = [
        f"def __init__(self, {', '.join(asked)}):",
        "    set_attribute(self, '__class__', twin)",
        *(f"    self.{name} = {name}" for name in names),
        "    self.__class__ = cls",
    ]
    twin = type(cls.__name__, (), {"__slots__": tuple(names)})
    known = {"set_attribute": object.__setattr__, "twin": twin, "cls": cls, **defaults}
    exec("\n".join(lines), known)
    init = known["__init__"]
    init.__annotations__ = cls.__init__.__annotations__
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__module__ = cls.__module__
    cls.__init__ = init  # type: ignore[method-assign]
    return cls
