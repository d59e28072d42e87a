"""A channel of our own ``Site``: twisted.web's server under the same rules as the fast lane.

It lets a head through to twisted.web only when ``abg.wire.head`` has read it, so that one table
of verdicts holds at both doors, and keeps the deadlines that ``HTTPChannel`` has not.
"""

# twisted.web has no types of its own.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from abg.wire.fields import head_end
from abg.wire.head import (
    BadRequest,
    RequestHead,
    guess_request,
    read_request,
    suspicious_start,
)
from abg.wire.lane_exchange import LaneExchange
from abg.wire.outlet import plain_tcp
from abg.wire.tcpstate import peer_left

if TYPE_CHECKING:
    from abg.wire.site import GuardRequest, GuardSite

__all__ = ["GuardChannel"]

LOOK_SECONDS = 1.0
"""How often a client whose body is not read is looked at."""


class GuardChannel(HTTPChannel):
    """One connection of a ``GuardSite``, or one that the fast lane has handed over.

    Attributes:
        head: of the request that came last.
        on_idle: called when the channel has answered and lies idle, with the bytes that came
            behind; after it the channel is done with the connection.
    """

    # Our own bounds come first.
    totalHeadersSize = 1 << 20
    MAX_LENGTH = 1 << 20
    maxHeaders = 1 << 16
    abortTimeout = 15

    site: GuardSite
    transport: Any
    _networkProducer: Any
    callLater: Any
    on_idle: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.head: RequestHead | None = None
        self._ahead = b""
        self._scanned = 0
        self._expects_head = True
        self._taking = False
        self._lingering = False
        self._body_paused = False
        self._left: int | None = None
        self._came = 0
        self._deadline: IDelayedCall | None = None
        self._stalled: IDelayedCall | None = None
        self._leaving: IDelayedCall | None = None
        self._given_back = False

    # From the transport

    def connectionMade(self) -> None:
        super().connectionMade()
        self.site.channels.add(self)
        self._wait(self.site.limits.header_seconds, self._late)

    def dataReceived(self, data: bytes) -> None:
        if self._lingering:
            self._drain(len(data))
            return
        self.resetTimeout()
        self._ahead += data
        if self._taking:
            return
        self._taking = True
        try:
            while self._ahead and not self._lingering:
                if self._expects_head:
                    if self._waitingForTransport:
                        # Who does not read his answers is asked nothing more.
                        self._networkProducer.pauseProducing()
                        break
                    if not self._take_head():
                        break
                else:
                    data, self._ahead = self._ahead, b""
                    self._came += len(data)
                    if self._left is not None:
                        self._left -= len(data)
                    LineReceiver.dataReceived(self, data)
        finally:
            self._taking = False
        self._give_back()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._wait(None)
        self._watch_stall(False)
        self._watch_leaving(False)
        self.site.channels.discard(self)
        super().connectionLost(reason)

    def _take_head(self) -> bool:
        """Let the next head through; False: it has not come whole."""
        data = self._ahead
        if data[0] in b"\r\n":
            data = self._ahead = data.lstrip(b"\r\n")
            if not data:
                return False
        limits = self.site.limits
        end = head_end(data, self._scanned)
        if not end or end > limits.head_bytes:
            verdict = (
                "too large"
                if len(data) > limits.head_bytes
                else suspicious_start(data, self._scanned)
            )
            if verdict is not None:
                self.refuse(BadRequest(verdict))
                return True
            if not self._scanned:
                self._wait(limits.header_seconds, self._late)
            self._scanned = len(data)
            return False
        self._scanned = 0
        try:
            head = read_request(data[:end])
        except BadRequest as bad:
            self.refuse(bad)
            return True
        self.head = head
        self._ahead = data[end:]
        self._expects_head = False
        self._came = 0
        self._left = head.content_length
        if head.content_length == 0:
            self._wait(None)
        else:
            # Its own deadline holds, not that of an idle connection.
            self.setTimeout(None)
            self._wait(limits.body_seconds, self._check_body)
        LineReceiver.dataReceived(self, data[:end])
        return True

    # From the request

    def ends_after(self, request: GuardRequest) -> bool:
        """The connection closes behind this request's answer."""
        return not self.persistent or self.site.draining or not request.body_ended

    def read_body(self, on: bool) -> None:
        self._body_paused = not on
        if on:
            if not self._handlingRequest:
                self._wait(self.site.limits.body_seconds, self._check_body)
            if not self._waitingForTransport:
                self._networkProducer.resumeProducing()
            self._watch_leaving(False)
        else:
            self._networkProducer.pauseProducing()
            self._watch_leaving(True)

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self._watch_stall(True)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self._watch_stall(False)
        if self._body_paused:
            self._networkProducer.pauseProducing()
        elif self._ahead and not self._taking:
            self.callLater(0, self.dataReceived, b"")

    def allContentReceived(self) -> None:
        self._wait(None)
        self.setTimeout(self.timeOut)
        super().allContentReceived()

    def requestDone(self, request: GuardRequest) -> None:
        if self._lingering:
            return
        self._body_paused = False
        self._watch_leaving(False)
        if not request.body_ended:
            # Answered before the body came: read on for a while, so that the client can read.
            self.requests.remove(request)
            if self._left is not None:
                self._left -= len(self._ahead)
            self._linger()
            return
        if self.site.draining:
            self.persistent = 0
        self._expects_head = True
        super().requestDone(request)
        if not self._taking:
            self._give_back()

    def _send100Continue(self) -> None:
        if self.requests and not self._lingering:
            exchange = self.requests[-1].exchange
            if exchange is None or not exchange.responded:
                super()._send100Continue()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(BadRequest("chunks"))

    # Refusals, by the exchange of the fast lane straight onto the transport

    def refuse(self, bad: BadRequest) -> None:
        """Answer what is no request to act on, and close."""
        if self._lingering:
            return
        head, self.head = self.head, None
        if self._expects_head or head is None:
            method, target, headers = guess_request(self._ahead)
        else:
            method, target, headers = head.method, head.target, head.headers
        self._lingering = True
        self._ahead = b""
        self._left = None
        self.setTimeout(None)
        for request in self.requests:
            exchange = request.exchange
            if exchange is not None and exchange.responded:
                self.transport.abortConnection()
                return
            if exchange is not None:
                exchange.cut_short()
        self._wait(self.site.limits.linger_seconds, self._break)
        line = LaneExchange(self, method, target, headers, self.getPeer().host, 0)
        self.site.refuse(line, bad.status, bad.message)

    @property
    def keeps(self) -> bool:
        return False

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def answered(self, whole: bool) -> None:
        if whole:
            self._linger()
        else:
            self.transport.abortConnection()

    def pause_body(self) -> None:
        """A refused request has no body."""

    def resume_body(self) -> None:
        """A refused request has no body."""

    # Coming to an end

    def drain(self) -> None:
        """No further request; an idle connection is closed at once."""
        if self.requests or self._lingering:
            self.persistent = 0
        else:
            self.loseConnection()

    def _give_back(self) -> None:
        if (
            self.on_idle is None
            or self._given_back
            or self._lingering
            or self.requests
            or not self._expects_head
            or not self.persistent
            or self._waitingForTransport
            or self.transport.disconnecting
        ):
            return
        self._given_back = True
        self._wait(None)
        self.setTimeout(None)
        self._networkProducer.unregisterProducer()
        self.site.channels.discard(self)
        rest, self._ahead = self._ahead, b""
        self.on_idle(rest)

    def _linger(self) -> None:
        """Everything is said; take what still comes, so that the kernel does not reset."""
        self._lingering = True
        self.setTimeout(None)
        if self._left is not None and self._left <= 0:
            self._wait(None)
            self.loseConnection()
            return
        self._wait(self.site.limits.linger_seconds, self._break)
        self._networkProducer.unregisterProducer()
        self._networkProducer.resumeProducing()
        direct = plain_tcp(self.transport)
        if direct is not None:
            direct.loseWriteConnection()

    def _drain(self, size: int) -> None:
        if self._left is not None:
            self._left -= size
            if self._left <= 0:
                self._wait(None)
                self.loseConnection()

    # Deadlines: one at a time

    def _wait(self, seconds: float | None, then: Any = None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self.callLater(seconds, self._due, then)

    def _due(self, then: Any) -> None:
        self._deadline = None
        then()

    def _late(self) -> None:
        """The head has not come in time."""
        if self._expects_head and (self._ahead or not self.head):
            self.loseConnection()

    def _check_body(self) -> None:
        limits = self.site.limits
        if not self._body_paused and self._came < limits.body_bytes:
            self.transport.abortConnection()
            return
        self._came = 0
        self._wait(limits.body_seconds, self._check_body)

    def _watch_stall(self, on: bool) -> None:
        """The client does not read: how long is that borne?"""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if on:
            self._stalled = self.callLater(self.site.limits.stall_seconds, self._stall)

    def _stall(self) -> None:
        self._stalled = None
        self._break()

    def _watch_leaving(self, on: bool) -> None:
        """Nobody reads the body, so that nobody sees its sender leave: look now and then."""
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        if on:
            self._leaving = self.callLater(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._leaving = None
        if peer_left(self.transport):
            self._break()
        else:
            self._watch_leaving(True)

    def _break(self) -> None:
        self.transport.abortConnection()
