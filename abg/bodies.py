"""Room for request bodies in memory, shared by all connections.

A model call's body is read whole before it is admitted. Its declared length is taken out of a
common allowance before the first byte is read; where that does not fit, reading waits in order
of arrival. A whole body fits or waits, so that two half-read ones can never block each other.

Who has room must use it: while others wait for it, a body that comes too slowly loses its own.
Sixty-four clients that declared a megabyte and sent a kilobyte a minute kept everybody out.

Small bodies have an allowance of their own: a few clients that declare much and send it slowly
keep nobody else waiting. A body of undeclared length is small until it has grown, and then waits
for as much as the largest may have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["BodyRoom", "BodyRooms", "Place"]

SMALL = 1_000_000
"""Bytes up to which a body is small."""
SMALL_AT_ONCE = 64
LARGE_AT_ONCE = 8
LOOK_SECONDS, LEAST_BYTES = 5.0, 320_000
"""While others wait: how often is looked, and how much of a body must have come in between."""


def _never(seconds: float, function: Any) -> None:
    """Without a clock nobody is hurried."""


class BodyRoom:
    """``limit`` bytes for all bodies together; one body may never be larger."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._queue: deque[tuple[int, Callable[[], None]]] = deque()

    def take(self, size: int, ready: Callable[[], None]) -> bool:
        """Take room for a body; False: not yet, ``ready`` is called once it has been taken."""
        if self.take_now(size):
            return True
        self._queue.append((min(size, self.limit), ready))
        return False

    def take_now(self, size: int) -> bool:
        """Take room if there is some and nobody waits for it."""
        size = min(size, self.limit)
        if self._queue or self.taken + size > self.limit:
            return False
        self.taken += size
        return True

    @property
    def waited_for(self) -> bool:
        """Somebody waits for room."""
        return bool(self._queue)

    def give_back(self, size: int) -> None:
        """The body has left memory."""
        self.taken -= min(size, self.limit)
        self._serve()

    def forget(self, ready: Callable[[], None]) -> None:
        """A waiting client has gone."""
        self._queue = deque(item for item in self._queue if item[1] != ready)
        self._serve()

    def _serve(self) -> None:
        while self._queue and self.taken + self._queue[0][0] <= self.limit:
            size, ready = self._queue.popleft()
            self.taken += size
            ready()


class BodyRooms:
    """The allowances for small and for large bodies.

    Args:
        largest: bytes that one body may have.
        later: calls a function after so many seconds.

    Attributes:
        reading: the bodies that have not come whole.
    """

    def __init__(self, largest: int, later: Callable[[float, Any], Any] = _never) -> None:
        self.reading: dict[Place, None] = {}
        self._later = later
        self._looking = False
        self.largest = largest
        self.small = BodyRoom(SMALL * SMALL_AT_ONCE)
        self.large = BodyRoom(largest * LARGE_AT_ONCE)

    @property
    def taken(self) -> int:
        """Bytes, of both."""
        return self.small.taken + self.large.taken

    def hurry(self) -> None:
        """Somebody has to wait: from now on, look how fast those come who have room."""
        if not self._looking:
            self._looking = True
            for place in self.reading:
                place.has_come_slowly()
            self._later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._looking = False
        for place in [place for place in self.reading if place.has_come_slowly()]:
            place.too_slow()
        if self.small.waited_for or self.large.waited_for:
            self.hurry()


class Place:
    """What one body has taken of the rooms.

    Args:
        length: as declared; None: nobody knows.
        pause, resume: stop and start reading the body.
        too_slow: give the body up, others wait for its room.
    """

    __slots__ = (
        "_came",
        "_held",
        "_pause",
        "_resume",
        "_rooms",
        "_seen",
        "_size",
        "_wanted",
        "too_slow",
    )

    def __init__(
        self,
        rooms: BodyRooms,
        length: int | None,
        pause: Callable[[], None],
        resume: Callable[[], None],
        too_slow: Callable[[], None],
    ) -> None:
        self.too_slow = too_slow
        self._came = self._seen = 0
        self._rooms = rooms
        rooms.reading[self] = None
        self._pause = pause
        self._resume = resume
        self._held: list[tuple[BodyRoom, int]] = []
        self._wanted: tuple[BodyRoom, int] | None = None
        self._size = SMALL if length is None else length
        """What it may grow to without asking again."""
        self._take(rooms.small if self._size <= SMALL else rooms.large, self._size)

    def grew(self, size: int) -> None:
        """So many bytes of the body have come."""
        self._came = size
        if size > self._size:
            self._size = self._rooms.largest
            self._take(self._rooms.large, self._size)

    def whole(self, size: int) -> None:
        """All of the body is here: nothing beyond its own size is kept."""
        self._rooms.reading.pop(self, None)
        held = self._held
        if len(held) == 1 and held[0][1] == size:
            return  # as it was declared
        self._held = []
        for room, taken in held:
            kept = min(taken, size)
            size -= kept
            self._held.append((room, kept))
        for (room, taken), (_, kept) in zip(held, self._held, strict=True):
            if taken > kept:
                room.give_back(taken - kept)

    def has_come_slowly(self) -> bool:
        """Whether it takes room that others wait for, and has not come on since the last look."""
        came, self._seen = self._came - self._seen, self._came
        waited_for = any(room.waited_for for room, _ in self._held)
        return came < LEAST_BYTES and waited_for and self._wanted is None

    def more(self, size: int) -> bool:
        """Room for something else that is made of the body, until that leaves; False: none."""
        room = self._rooms.small if size <= SMALL else self._rooms.large
        if not room.take_now(size):
            return False
        self._held.append((room, size))
        return True

    def leave(self) -> None:
        """The body has left memory, or will never come."""
        self._rooms.reading.pop(self, None)
        if self._wanted is not None:
            self._wanted[0].forget(self._ready)
            self._wanted = None
        held, self._held = self._held, []
        for room, taken in held:
            room.give_back(taken)

    def _take(self, room: BodyRoom, size: int) -> None:
        if room.take(size, self._ready):
            self._held.append((room, size))
        else:
            self._wanted = (room, size)
            self._pause()
            self._rooms.hurry()

    def _ready(self) -> None:
        wanted, self._wanted = self._wanted, None
        assert wanted is not None
        self._held.append(wanted)
        self._resume()
