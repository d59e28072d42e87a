"""Room for request bodies in memory, shared by all connections.

A model call's body is read whole before it is admitted. Its declared length is taken out of a
common allowance before the first byte is read; where that does not fit, reading waits in order
of arrival. A whole body fits or waits, so that two half-read ones can never block each other.

Small bodies have an allowance of their own: a few clients that declare much and send it slowly
keep nobody else waiting. A body of undeclared length is small until it has grown, and then waits
for as much as the largest may have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["BodyRoom", "BodyRooms", "Place"]

SMALL = 1_000_000
"""Bytes up to which a body is small."""
SMALL_AT_ONCE = 64
LARGE_AT_ONCE = 8


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
    """

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.small = BodyRoom(SMALL * SMALL_AT_ONCE)
        self.large = BodyRoom(largest * LARGE_AT_ONCE)

    @property
    def taken(self) -> int:
        """Bytes, of both."""
        return self.small.taken + self.large.taken


class Place:
    """What one body has taken of the rooms.

    Args:
        length: as declared; None: nobody knows.
        pause, resume: stop and start reading the body.
    """

    __slots__ = ("_held", "_pause", "_resume", "_rooms", "_size", "_wanted")

    def __init__(
        self,
        rooms: BodyRooms,
        length: int | None,
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self._rooms = rooms
        self._pause = pause
        self._resume = resume
        self._held: list[tuple[BodyRoom, int]] = []
        self._wanted: tuple[BodyRoom, int] | None = None
        self._size = SMALL if length is None else length
        """What it may grow to without asking again."""
        self._take(rooms.small if self._size <= SMALL else rooms.large, self._size)

    def grew(self, size: int) -> None:
        """So many bytes of the body have come."""
        if size > self._size:
            self._size = self._rooms.largest
            self._take(self._rooms.large, self._size)

    def whole(self, size: int) -> None:
        """All of the body is here: nothing beyond its own size is kept."""
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

    def more(self, size: int) -> bool:
        """Room for something else that is made of the body, until that leaves; False: none."""
        room = self._rooms.small if size <= SMALL else self._rooms.large
        if not room.take_now(size):
            return False
        self._held.append((room, size))
        return True

    def leave(self) -> None:
        """The body has left memory, or will never come."""
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

    def _ready(self) -> None:
        wanted, self._wanted = self._wanted, None
        assert wanted is not None
        self._held.append(wanted)
        self._resume()
