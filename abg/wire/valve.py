"""Tells one side that the other's socket is full, but never inside one of its own writes.

A transport says so from within ``write``, while the one to be told is still in its call (see the
contract in ``abg.exchange``). So it is told in the next turn of the reactor, before anything more
is read, and not at all if the socket has emptied meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

__all__ = ["Valve"]


class Valve:
    """Full or not, and what was told of it last.

    Args:
        reactor: for the next turn.
        tell: called with True when feeding must stop, with False when it may go on.
    """

    __slots__ = ("_reactor", "_tell", "_telling", "_told", "full")

    def __init__(self, reactor: Any, tell: Callable[[bool], None]) -> None:
        self._reactor: Any = reactor
        self._tell = tell
        self._telling: IDelayedCall | None = None
        self._told = False
        self.full = False

    def set(self, full: bool) -> None:
        """The transport has filled up, or emptied."""
        self.full = full
        if full != self._told and self._telling is None:
            self._telling = self._reactor.callLater(0, self._turn)

    def forget(self) -> None:
        """There is somebody else to tell from now on, who knows of nothing yet."""
        self._told = False
        if self.full:
            self.set(True)

    def stop(self) -> None:
        """Tell nothing more."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def _turn(self) -> None:
        self._telling = None
        if self.full != self._told:
            self._told = self.full
            self._tell(self.full)
