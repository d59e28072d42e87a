"""Room for request bodies in memory, shared by all connections.

A model call's body is read whole before it is admitted. Its declared length is taken out of one
common allowance before the first byte is read; where that does not fit, reading waits in order
of arrival. A whole body fits or waits, so that two half-read ones can never block each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["BodyRoom"]


class BodyRoom:
    """``limit`` bytes for all bodies together; one body may never be larger."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._queue: deque[tuple[int, Callable[[], None]]] = deque()

    def take(self, size: int, ready: Callable[[], None]) -> bool:
        """Take room for a body; False: not yet, ``ready`` is called once it has been taken."""
        size = min(size, self.limit)
        if not self._queue and self.taken + size <= self.limit:
            self.taken += size
            return True
        self._queue.append((size, ready))
        return False

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
