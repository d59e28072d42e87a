"""The fast lane: an HTTP/1.1 server for the plain case, thin enough for every streamed token.

It serves what coding agents send: HTTP/1.1, a path, a body of counted length or chunked. What is
unusual (``Upgrade``, ``Expect``, HTTP/1.0, absolute targets, ``/abg/``) is handed over whole to
the Site's channel on the same connection, and comes back when that has answered.

The lane splits the stream itself: a head up to its blank line, then the body, then nothing more
until the answer has ended; what a client pipelines waits in a bounded buffer. One connection is
in one of these phases:

    HEAD ──► COUNTED / CHUNKED ──► ANSWER ──► HEAD      the round of a kept-alive connection
      │              └──► DRAIN                         answered before its body had come
      └──► SITE ──► HEAD                                handed over, and back

Time is counted in sweeps of the factory, once a second over all connections: a timer for each
request would cost more than reading its head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from abg.wire.chunked import ChunkedBody, MalformedBody
from abg.wire.client import ClientConnection
from abg.wire.fields import head_end
from abg.wire.head import BadRequest, HeadReader, guess_request, suspicious_start
from abg.wire.lane_exchange import LaneExchange

if TYPE_CHECKING:
    from abg.wire.inbound import FastLaneFactory

__all__ = ["FastLane"]

LARGE_BODY = 1_000_000

HEAD, COUNTED, CHUNKED, ANSWER, DRAIN, SITE = range(6)


class FastLane(ClientConnection):
    """One client connection that speaks HTTP/1.1."""

    def __init__(self, factory: FastLaneFactory) -> None:
        super().__init__(factory)
        self.exchange: LaneExchange | None = None
        self._phase = HEAD
        self._heads = HeadReader()
        self._buffer = b""
        self._left = 0
        self._chunks: ChunkedBody | None = None
        self._keep_alive = True
        self._fresh = True
        self._working = False
        self._again: IDelayedCall | None = None
        self._channel: Any = None
        self._body_paused = False
        # How much has come in this phase (for the sweep), or of a head (already searched).
        self._came = 0

    # From the transport

    def connectionMade(self) -> None:
        super().connectionMade()
        self.send = self._outlet.send

    def dataReceived(self, data: bytes) -> None:
        if self._phase == SITE:
            self._channel.dataReceived(data)
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not self._working:
            self._work()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._buffer = b""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.connectionLost(reason)
            return
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.lost()

    # The work on what came

    def _work(self) -> None:
        """Take apart what is buffered, until more must come or somebody must act first."""
        self._working = True
        try:
            while self._buffer:
                phase = self._phase
                if self.closing:
                    self._buffer = b""
                elif phase == HEAD:
                    if self._outlet.full:
                        self._bound()
                        break
                    if not self._take_head():
                        break
                elif phase == COUNTED:
                    if self._body_paused:
                        break
                    self._take_counted()
                elif phase == CHUNKED:
                    if self._body_paused:
                        break
                    self._take_chunks()
                elif phase == ANSWER:
                    self._bound()
                    break
                elif phase == DRAIN:
                    self._drain()
                else:
                    data, self._buffer = self._buffer, b""
                    self._channel.dataReceived(data)
        finally:
            self._working = False

    def _bound(self) -> None:
        """Let no more come than may wait."""
        if len(self._buffer) > self.factory.limits.pipelined_bytes:
            self.read(False)

    def _take_head(self) -> bool:
        """Begin the next request; False: its head has not come whole."""
        data = self._buffer
        factory = self.factory
        if data[0] in b"\r\n":
            # An empty line before a request is to be ignored (RFC 9112, 2.2).
            data = self._buffer = data.lstrip(b"\r\n")
            if not data:
                return False
        end = head_end(data, self._came)
        limit = factory.limits.head_bytes
        if not end or end > limit:
            if len(data) > limit:
                self._refuse(BadRequest("too large"))
                return True
            verdict = suspicious_start(data, self._came)
            if verdict is not None:
                self._refuse(BadRequest(verdict))
                return True
            if not self._came:
                self.mark = factory.now
            self._came = len(data)
            return False
        self._came = 0
        try:
            request = self._heads.read(data if end == len(data) else data[:end])
        except BadRequest as bad:
            self._refuse(bad)
            return True
        target = request.target
        if not request.plain or (target.startswith(b"/abg") and target[4:5] in (b"", b"/", b"?")):
            self._hand_over()
            return True
        self._buffer = data[end:]
        self._fresh = False
        self._keep_alive = request.keep_alive
        length = request.content_length
        if length == 0:
            self._phase = ANSWER
        else:
            self.mark = factory.now
            if length is None:
                self._phase = CHUNKED
                self._chunks = ChunkedBody()
            else:
                self._phase = COUNTED
                self._left = length
                if length > LARGE_BODY:
                    factory.large_body_at = factory.now + 1
        exchange = LaneExchange(
            self, request.method, target, request.headers, self.peer, length, request.kin
        )
        self.exchange = exchange
        handler = factory.application.begin(exchange)
        if self.exchange is exchange:
            exchange.handler = handler
            self._outlet.valve.forget()
            if length == 0:
                handler.body_end()
        return True

    def _take_counted(self) -> None:
        data = self._buffer
        left = self._left
        exchange = self.exchange
        assert exchange is not None and exchange.handler is not None
        if len(data) < left:
            self._buffer = b""
            self._left = left - len(data)
            self._came += len(data)
            exchange.handler.body(data)
            return
        if len(data) > left:
            self._buffer = data[left:]
            data = data[:left]
        else:
            self._buffer = b""
        self._phase = ANSWER
        self._came = 0
        exchange.handler.body(data)
        if self.exchange is exchange:
            exchange.handler.body_end()

    def _take_chunks(self) -> None:
        data, self._buffer = self._buffer, b""
        exchange, chunks = self.exchange, self._chunks
        assert exchange is not None and exchange.handler is not None and chunks is not None
        try:
            body = chunks.feed(data)
        except MalformedBody:
            self._spoilt(exchange)
            return
        self._came += len(body)
        if chunks.done:
            self._chunks = None
            self._phase = ANSWER
            self._came = 0
            if chunks.excess:
                # Where the next request would begin, nobody can tell any more.
                self._keep_alive = False
        if body:
            exchange.handler.body(body)
        if chunks.done and self.exchange is exchange:
            exchange.handler.body_end()

    def _spoilt(self, exchange: LaneExchange) -> None:
        """The body broke off in the middle of its coding: the request will never be whole."""
        if exchange.responded:
            self.close_now()
            return
        self.exchange = None
        exchange.lost()
        self._refuse(BadRequest("chunks"), exchange)

    def _refuse(self, bad: BadRequest, begun: LaneExchange | None = None) -> None:
        """Answer what is no request to act on, and close."""
        if begun is not None:
            method, target, headers = begun.method, begun.target, begun.headers
        else:
            method, target, headers = guess_request(self._buffer)
        self._buffer = b""
        self._phase = DRAIN
        # Nobody can tell how much would follow; the sweep ends it.
        self._left = 1 << 62
        self._chunks = None
        self.mark = self.factory.now
        exchange = LaneExchange(self, method, target, headers, self.peer, 0)
        self.exchange = exchange
        self.factory.application.refuse(exchange, bad.status, bad.message)

    # To the Site and back

    def _hand_over(self) -> None:
        """Give the connection, from this request on, to the Site's channel."""
        transport: Any = self.transport
        data, self._buffer = self._buffer, b""
        self._phase = SITE
        self._outlet.shut()
        site: Any = self.factory.site
        channel = self._channel = site.buildProtocol(transport.getPeer())
        if hasattr(channel, "on_idle"):
            channel.on_idle = self._take_back
        channel.makeConnection(transport)
        channel.dataReceived(data)

    def _take_back(self, rest: bytes) -> None:
        """The channel has answered and lies idle: the lane reads on, with ``rest`` first."""
        self._channel = None
        self._phase = HEAD
        self._fresh = False
        self._reading = True
        self.mark = self.factory.now
        self._outlet.open()
        self._buffer = rest + self._buffer
        if self.factory.draining:
            self.close()
        elif self._buffer and not self._working:
            self._later()

    # From the exchange (``abg.wire.lane_exchange.Line``)

    send: Any
    """Straight to the outlet."""

    @property
    def keeps(self) -> bool:
        return self._keep_alive and self._phase == ANSWER and not self.factory.draining

    def pause_body(self) -> None:
        self._body_paused = True
        if self._phase in (COUNTED, CHUNKED):
            self.read(False)

    def resume_body(self) -> None:
        self._body_paused = False
        if self._phase in (COUNTED, CHUNKED):
            self.mark = self.factory.now
            self._came = 0
            self.read(True)
            if self._buffer:
                self._later()

    def answered(self, whole: bool) -> None:
        phase = self._phase
        self.exchange = None
        self._body_paused = False
        if not whole:
            self.close()
        elif phase == ANSWER and self._keep_alive and not self.factory.draining:
            self._phase = HEAD
            self.mark = self.factory.now
            if not self._reading:
                self.read(True)
            if self._buffer and not self._working:
                self._later()
        elif phase in (COUNTED, CHUNKED, DRAIN):
            self._phase = DRAIN
            self.mark = self.factory.now
            self._drain()
            if not self.closing:
                self.end_writing()
        else:
            self.close()

    # Coming to an end

    def drain(self) -> None:
        """No further request on this connection; an idle one is closed at once."""
        if self._phase == HEAD and not self._buffer:
            self.close()
        elif self._phase == SITE and hasattr(self._channel, "drain"):
            self._channel.drain()

    def _drain(self) -> None:
        """The answer was given before the request's body had come: let it come, and close.

        Closing with unread bytes makes the kernel reset the connection, and the client may lose
        the answer that it has not read yet.
        """
        data, self._buffer = self._buffer, b""
        self._left -= len(data)
        if self._chunks is None and self._left <= 0:
            self.close()

    def _later(self) -> None:
        if self._again is None:
            self._again = self.factory.reactor.callLater(0, self._work_again)

    def _work_again(self) -> None:
        self._again = None
        if not self._working:
            self._work()

    def full(self, full: bool) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.handler is not None:
            if full:
                exchange.handler.pause()
            else:
                exchange.handler.resume()

    def emptied(self) -> None:
        if self._phase == HEAD and self._buffer:
            self.read(True)
            self._later()

    def sweep(self, now: int) -> None:
        limits = self.factory.limits
        phase = self._phase
        age = now - self.mark
        if self.closing or phase == ANSWER or self._outlet.full:
            pass
        elif phase == HEAD:
            started = self._buffer or self._fresh
            if age > (limits.header_seconds if started else limits.idle_seconds):
                self.close()
        elif phase in (COUNTED, CHUNKED):
            if age > limits.body_seconds and not self._body_paused:
                if self._came < limits.body_bytes:
                    self.close_now()
                self.mark = now
                self._came = 0
        elif phase == DRAIN and age > limits.linger_seconds:
            self.close_now()
        super().sweep(now)
