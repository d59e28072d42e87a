"""One turn of the reactor, at whose end leaves what was sent in it.

A send wakes the program at the other end, and costs as much again when that has gone to sleep
since the last one: in a swarm, sends that leave one after another cost less than half. Whoever
waits, waits for the events of one turn at most.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["MOST_POSTED", "Turn"]

MOST_POSTED = 16
"""So many senders wait at most, and nobody for longer than they take."""


class Turn:
    """Who has something to send before the turn is over.

    Attributes:
        gathers: it is worth waiting for its end: more than one event came.
    """

    __slots__ = ("_posted", "gathers")

    def __init__(self) -> None:
        self.gathers = False
        self._posted: list[Callable[[], None]] = []

    def post(self, leave: Callable[[], None]) -> None:
        """Have a function called before the turn is over."""
        self._posted.append(leave)
        if len(self._posted) >= MOST_POSTED:
            self._leave()

    def end(self) -> None:
        """Call all that were posted, also those that are posted meanwhile."""
        self.gathers = False
        self._leave()

    def _leave(self) -> None:
        while self._posted:
            posted, self._posted = self._posted, []
            for leave in posted:
                leave()
