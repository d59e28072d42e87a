"""Twisted's epoll reactor, with an end to each turn and without a log context around each event.

What is sent while it acts on events leaves at the turn's end (``abg.wire.turn``).

Twisted looks twice a turn, through ten functions, for what is planned: here one look tells whether
there is any of it. And it puts the name of a connection into the log's context before it tells the
connection that it may read or write, which costs as much as a tenth of a streamed event (3 of
43 µs). Nobody reads these names: abg's own lines say whose they are.
"""

# Twisted's are untyped in part.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import sys
from select import EPOLLIN
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.python import log

from abg.wire.turn import Turn

__all__ = ["BareEpoll", "install"]

MOST_CANCELLED = 50
"""So many cancelled calls may lie among the planned ones, as Twisted has it."""
LONGEST = 2_147_483
"""Seconds of one wait: milliseconds are an int of 32 bits for epoll."""


class BareEpoll(EPollReactor):
    """See the module's text; all else is Twisted's."""

    def __init__(self) -> None:
        self.turn = Turn()
        super().__init__()

    def mainLoop(self) -> None:
        """Run turns until stopped."""
        while self._started:
            try:
                wait = self._wait()
                self.doPoll(wait if self.running else 0)
            except BaseException:
                log.err(None, "Unexpected error in main loop")

    def _wait(self) -> float | None:
        """Run what is due; seconds until something else is, None if nothing is planned."""
        planned = self._pendingTimedCalls
        if not (
            self._newTimedCalls
            or self.threadCallQueue
            or self._justStopped
            or self._cancellations > MOST_CANCELLED
        ):
            if not planned:
                return None
            wait: float = planned[0].time - self.seconds()
            if wait > 0:
                return wait if wait < LONGEST else LONGEST
        self.runUntilCurrent()
        return self.timeout()

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events, and act on them.

        Args:
            timeout: seconds at most; None: as long as it takes.
        """
        wait = -1 if timeout is None else timeout
        selectables, turn = self._selectables, self.turn
        read, act = self._read, self._doReadOrWrite
        events = self._poller.poll(wait, len(selectables))
        several = turn.gathers = len(events) > 1
        for number, event in events:
            selectable = selectables.get(number)
            if selectable is None:
                # Closed by one of those before it.
                continue
            try:
                if event == EPOLLIN:
                    read(selectable)
                else:
                    act(selectable, number, event)
            except KeyboardInterrupt:
                raise
            except BaseException:
                log.err()
        if several:
            turn.end()

    doIteration = doPoll

    def _read(self, selectable: Any) -> None:
        """``_doReadOrWrite`` where there is only something to read, as nearly always."""
        try:
            why = selectable.doRead()
        except BaseException as fault:
            why = fault
            log.err()
        if why:
            self._disconnectSelectable(selectable, why, True)


def install() -> None:
    """Make it this process's reactor, if there is none yet."""
    if "twisted.internet.reactor" not in sys.modules:
        installReactor(BareEpoll())
