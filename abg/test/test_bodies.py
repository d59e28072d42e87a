"""Room for request bodies: whole or waiting, in order, and never lost."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from abg.bodies import LEAST_BYTES, LOOK_SECONDS, SMALL, BodyRoom, BodyRooms, Place


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


class Reading:
    """A body that is read, and whether reading goes on."""

    def __init__(self, rooms: BodyRooms, length: int | None) -> None:
        self.log: list[str] = []
        self.place = Place(
            rooms,
            length,
            lambda: self.log.append("pause"),
            lambda: self.log.append("resume"),
            self.too_slow,
        )

    def too_slow(self) -> None:
        self.log.append("too slow")
        self.place.leave()


LARGEST = 5 * SMALL


def test_who_declares_much_and_sends_nothing_keeps_no_small_body_waiting():
    rooms = BodyRooms(LARGEST)
    slow = [Reading(rooms, LARGEST) for _ in range(9)]
    assert [r.log for r in slow] == [[]] * 8 + [["pause"]]
    assert Reading(rooms, SMALL).log == []
    assert Reading(rooms, None).log == []
    slow[0].place.leave()
    assert slow[8].log == ["pause", "resume"]


def test_an_undeclared_body_is_small_until_it_has_grown():
    rooms = BodyRooms(LARGEST)
    large = [Reading(rooms, LARGEST) for _ in range(8)]
    grown = Reading(rooms, None)
    grown.place.grew(SMALL)
    assert grown.log == []
    grown.place.grew(SMALL + 1)
    grown.place.grew(SMALL + 2)
    assert grown.log == ["pause"]
    large[3].place.leave()
    assert grown.log == ["pause", "resume"]
    grown.place.whole(SMALL + 5)
    for reading in large:
        reading.place.leave()
    assert rooms.taken == SMALL + 5
    grown.place.leave()
    assert rooms.taken == 0


def test_what_is_whole_keeps_only_its_size_and_lets_others_go_on():
    rooms = BodyRooms(LARGEST)
    bodies = [Reading(rooms, None) for _ in range(65)]
    assert bodies[64].log == ["pause"]
    bodies[0].place.whole(SMALL)
    assert bodies[64].log == ["pause"]
    bodies[1].place.whole(10)
    bodies[2].place.whole(10)
    assert bodies[64].log == ["pause", "resume"]


def test_what_is_made_of_a_body_takes_room_as_well_or_is_not_made():
    rooms = BodyRooms(64_000_000)
    body = Reading(rooms, 5000)
    assert body.place.more(60_000_000)
    assert body.place.more(1000)
    assert (rooms.small.taken, rooms.large.taken) == (6000, 60_000_000)
    others = [Reading(rooms, 64_000_000) for _ in range(8)]
    assert not body.place.more(1_000_001)
    body.place.leave()
    assert (rooms.small.taken, rooms.large.taken) == (0, 8 * 64_000_000)
    for other in others:
        other.place.leave()
    assert rooms.taken == 0


class Clock:
    """Times that ``BodyRooms`` wants to look at."""

    def __init__(self) -> None:
        self.due: list[Any] = []

    def later(self, seconds: float, function: Any) -> None:
        assert seconds == LOOK_SECONDS
        self.due.append(function)

    def tick(self) -> None:
        due, self.due = self.due, []
        for function in due:
            function()


def test_who_sends_slowly_loses_his_room_while_others_wait():
    clock = Clock()
    rooms = BodyRooms(LARGEST, clock.later)
    slow = [Reading(rooms, SMALL) for _ in range(64)]
    large = Reading(rooms, LARGEST)
    whole = slow.pop()
    whole.place.whole(SMALL)
    for one in slow:
        one.place.grew(900_000)
    assert clock.due == [], "nobody waits"
    late = [Reading(rooms, SMALL) for _ in range(2)]
    fast = slow.pop()
    fast.place.grew(900_000 + LEAST_BYTES)
    assert late[0].log == ["pause"]
    clock.tick()
    assert {tuple(one.log) for one in slow} == {("too slow",)}
    assert fast.log == large.log == whole.log == []
    assert [one.log for one in late] == [["pause", "resume"]] * 2
    clock.tick()
    assert clock.due == []
    for one in (fast, large, whole, *late):
        one.place.leave()
    assert (rooms.taken, rooms.reading) == (0, {})


def test_who_waits_himself_is_not_slow_and_those_who_wait_go_on_being_waited_for():
    clock = Clock()
    rooms = BodyRooms(LARGEST, clock.later)
    holding = [Reading(rooms, LARGEST) for _ in range(8)]
    for one in holding:
        one.place.whole(LARGEST)
    waiting = Reading(rooms, None)
    waiting.place.grew(SMALL + 1)
    clock.tick()
    clock.tick()
    assert waiting.log == ["pause"]
    assert len(clock.due) == 1
    waiting.place.leave()
    clock.tick()
    assert clock.due == []


def test_who_leaves_while_waiting_is_forgotten():
    rooms = BodyRooms(LARGEST)
    large = [Reading(rooms, LARGEST) for _ in range(10)]
    large[8].place.leave()
    large[0].place.leave()
    assert (large[8].log, large[9].log) == (["pause"], ["pause", "resume"])
    for reading in large:
        reading.place.leave()
    assert rooms.taken == 0


@given(st.lists(st.tuples(st.none() | st.integers(0, LARGEST), st.integers(0, LARGEST))))
def test_all_bodies_end_and_all_room_is_given_back(bodies):
    rooms = BodyRooms(LARGEST)
    readings = [(Reading(rooms, length), length, size) for length, size in bodies]
    left = 0
    while readings:
        # Whoever is not paused goes on to its end.
        free = next(i for i, (r, _, _) in enumerate(readings) if r.log[-1:] != ["pause"])
        reading, length, size = readings.pop(free)
        reading.place.grew(size if length is None else min(size, length))
        if reading.log[-1:] == ["pause"]:
            readings.append((reading, length, size))
            left += 1
            assert left <= len(bodies)
            continue
        reading.place.whole(size if length is None else length)
        reading.place.leave()
    assert rooms.taken == 0
