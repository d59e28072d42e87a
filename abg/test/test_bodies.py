"""Room for request bodies: whole or waiting, in order, and never lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from abg.bodies import BodyRoom


def test_what_does_not_fit_waits_in_order():
    room = BodyRoom(100)
    ready: list[str] = []
    assert room.take(60, lambda: ready.append("a"))
    assert not room.take(50, lambda: ready.append("b"))
    assert not room.take(10, lambda: ready.append("c")), "nobody overtakes"
    room.give_back(60)
    assert ready == ["b", "c"]
    assert room.taken == 60


def test_a_client_that_left_is_forgotten():
    room = BodyRoom(100)
    ready: list[str] = []

    def second() -> None:
        ready.append("b")

    room.take(100, lambda: None)
    room.take(100, second)
    room.take(1, lambda: ready.append("c"))
    room.forget(second)
    room.give_back(100)
    assert ready == ["c"]


def test_a_body_larger_than_the_room_takes_all_of_it():
    room = BodyRoom(10)
    assert room.take(1000, lambda: None)
    room.give_back(1000)
    assert room.taken == 0


@given(st.lists(st.integers(1, 100), max_size=50))
def test_all_are_served_and_all_is_given_back(sizes):
    room = BodyRoom(100)
    served: list[int] = []
    running: list[int] = []
    for number, size in enumerate(sizes):

        def ready(number: int = number, size: int = size) -> None:
            served.append(number)
            running.append(size)

        if room.take(size, ready):
            ready()
        assert room.taken == sum(running) <= 100
    while running:
        room.give_back(running.pop(0))
    assert served == list(range(len(sizes)))
    assert room.taken == 0
