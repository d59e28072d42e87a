"""Quickly made frozen values: nothing but the time they take may differ."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest
from attrs import evolve, field, frozen
from attrs.exceptions import FrozenInstanceError

from abg.ledger import Entry
from abg.swift import swift
from abg.test.journals import entry


@frozen(weakref_slot=False)
class Plain:
    x: int
    y: tuple[int, ...] = ()
    z: str | None = None

    @property
    def sum(self) -> int:
        return self.x + sum(self.y)


@swift
@frozen(weakref_slot=False)
class Point:
    x: int
    y: tuple[int, ...] = ()
    z: str | None = None

    @property
    def sum(self) -> int:
        return self.x + sum(self.y)


def test_it_is_the_class_it_was():
    point = Point(1, z="a")
    assert type(point) is Point
    assert repr(point) == repr(Plain(1, z="a")).replace("Plain", "Point")
    assert (point.x, point.y, point.z, point.sum) == (1, (), "a", 1)
    assert point == Point(x=1, y=(), z="a") != Point(2)
    assert hash(point) == hash(Point(1, (), "a"))
    assert evolve(point, y=(4,)) == Point(1, (4,), "a")
    assert copy.deepcopy(point) == copy.copy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point
    assert inspect.signature(Point) == inspect.signature(Plain)


def test_it_is_frozen_once_it_is_made():
    for made in (Point(1), entry()):
        with pytest.raises(FrozenInstanceError):
            made.x = 2
        with pytest.raises(FrozenInstanceError):
            del made.x
        with pytest.raises(AttributeError):
            object.__setattr__(made, "other", 1)
    assert isinstance(entry(), Entry)


def test_arguments_are_those_of_the_class():
    for wrong in ((), (1, (), None, 4)):
        with pytest.raises(TypeError, match="__init__"):
            Point(*wrong)
    with pytest.raises(TypeError, match="unexpected keyword"):
        Point(1, w=2)


class Base: ...


@frozen(weakref_slot=False)
class Derived(Base):
    x: int


@frozen
class Referable:
    x: int


@frozen(weakref_slot=False)
class Converted:
    x: int = field(converter=int)


@frozen(weakref_slot=False)
class Checked:
    x: int = field(validator=lambda *_: None)


@frozen(weakref_slot=False)
class Named:
    x: int = field(kw_only=True)


@frozen(weakref_slot=False)
class Fresh:
    x: list[int] = field(factory=list)


@pytest.mark.parametrize("wrong", [Derived, Referable, Converted, Checked, Named, Fresh])
def test_a_class_with_more_to_it_is_refused(wrong):
    with pytest.raises(TypeError):
        swift(wrong)
