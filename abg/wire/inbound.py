"""Where the fast lane's connections come from, are watched over, and come to an end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import ServerFactory

from abg.exchange import Application
from abg.wire.client import ClientConnection
from abg.wire.lane import FastLane
from abg.wire.limits import DEFAULT_LIMITS, Limits
from abg.wire.memory import give_back

__all__ = ["FastLaneFactory"]

_LARGE_BODY_SECONDS = 5
"""How long after the last large body its memory is given back: not between two of a series."""


class FastLaneFactory(ServerFactory):
    """Serves ``application`` on the fast lane, and on ``site`` what is not plain.

    Attributes:
        now: the factory's count of seconds, for the connections' deadlines; moves only while
            there are any.
        draining: no connection is kept alive any more.
        large_body_at: second in which the last large body came; 0 when its memory was given back.
    """

    noisy = False

    def __init__(
        self,
        application: Application,
        site: Any,
        limits: Limits = DEFAULT_LIMITS,
        reactor: Any = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.application = application
        self.site = site
        self.limits = limits
        self.reactor: Any = reactor
        self.now = 0
        self.draining = False
        self.large_body_at = 0
        self.lanes: set[ClientConnection] = set()
        self._sweeping: IDelayedCall | None = None
        self._drained: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return FastLane(self)

    def startFactory(self) -> None:
        if self.site is not None:
            self.site.doStart()

    def stopFactory(self) -> None:
        if self.site is not None:
            self.site.doStop()

    def joined(self, lane: ClientConnection) -> None:
        """A connection was made."""
        self.lanes.add(lane)
        if self._sweeping is None:
            self._sweeping = self.reactor.callLater(1.0, self._sweep)

    def left(self, lane: ClientConnection) -> None:
        """A connection was lost."""
        self.lanes.discard(lane)
        if not self.lanes:
            self._rest()
            drained, self._drained = self._drained, []
            for deferred in drained:
                deferred.callback(None)

    def drain(self) -> Deferred[None]:
        """Keep no connection alive; fires when the last one has been closed.

        Idle ones are closed now, the others when the answers under way have gone out.
        """
        self.draining = True
        for lane in list(self.lanes):
            lane.drain()
        if not self.lanes:
            self._rest()
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._drained.append(deferred)
        return deferred

    def abort(self) -> None:
        """Break what is left."""
        for lane in list(self.lanes):
            lane.close_now()

    def _rest(self) -> None:
        """Nobody is there: sweep no more, unless there is memory to give back."""
        if self._sweeping is not None and (self.draining or not self.large_body_at):
            self._sweeping.cancel()
            self._sweeping = None

    def _sweep(self) -> None:
        self._sweeping = self.reactor.callLater(1.0, self._sweep)
        self.now += 1
        if self.large_body_at and self.now - self.large_body_at > _LARGE_BODY_SECONDS:
            self.large_body_at = 0
            give_back()
        for lane in list(self.lanes):
            lane.sweep(self.now)
        if not self.lanes:
            self._rest()
