"""Values made at once are the values that attrs makes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from attrs import Factory, evolve, field, fields, frozen
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from abg.call import Call, Scope, Session
from abg.making import made_at_once
from abg.usage import Reading, Usage


@made_at_once
@frozen
class Fast:
    a: int
    b: str = "b"
    c: list[int] = Factory(list)
    d: int | None = field(default=None, kw_only=True)


@frozen
class Slow:
    a: int
    b: str = "b"
    c: list[int] = Factory(list)
    d: int | None = field(default=None, kw_only=True)


VALUES = (Call("anthropic", "messages", "m"), Scope("s"), Session("s", "path"), Usage(1, 2))


@given(st.integers(), st.text(), st.lists(st.integers()), st.none() | st.integers())
def test_the_fields_are_those_that_attrs_would_set(
    a: int, b: str, c: list[int], d: int | None
) -> None:
    made, slow = Fast(a, b, c, d=d), Slow(a, b, c, d=d)
    assert [getattr(made, f.name) for f in fields(Fast)] == [a, b, c, d]
    assert repr(made) == repr(slow).replace("Slow", "Fast")
    assert made == Fast(a, b, c, d=d) and made != Fast(a + 1, b, c, d=d)


def test_defaults() -> None:
    made = Fast(1)
    assert (made.b, made.c, made.d) == ("b", [], None)
    assert made.c is not Fast(1).c


@pytest.mark.parametrize("value", [Fast(1), Reading(), *VALUES], ids=lambda v: type(v).__name__)
def test_it_is_of_its_own_class_and_frozen(value: Any) -> None:
    assert type(value).__mro__ == (type(value), object)
    name = fields(type(value))[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, 2)
    with pytest.raises(FrozenInstanceError):
        delattr(value, name)
    with pytest.raises((AttributeError, FrozenInstanceError)):
        value.nothing = 2


@pytest.mark.parametrize("value", [Reading(), *VALUES], ids=lambda v: type(v).__name__)
def test_copies(value: Any) -> None:
    first = fields(type(value))[0].name
    for same in (evolve(value), copy.copy(value), pickle.loads(pickle.dumps(value))):
        assert same == value and type(same) is type(value) and hash(same) == hash(value)
    assert evolve(value, **{first: 9}) != value


def test_what_is_missing_or_strange_is_said() -> None:
    with pytest.raises(TypeError, match="missing"):
        Fast()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected"):
        Fast(1, e=2)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "odd", [field(converter=int), field(init=False, default=1), field(validator=lambda *_: None)]
)
def test_only_plain_fields(odd: Any) -> None:
    with pytest.raises(TypeError, match="x: only plain fields"):
        made_at_once(frozen(type("Odd", (), {"__annotations__": {"x": int}, "x": odd})))
