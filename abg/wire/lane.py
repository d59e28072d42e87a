"""The fast lane: an HTTP/1.1 server for the plain case, thin enough for every streamed token.

It serves what coding agents send: HTTP/1.1, a path, a body of counted length or chunked. What is
unusual (``Upgrade``, ``Expect``, HTTP/1.0, absolute targets, ``/abg/``) is handed over whole to
the Site's channel on the same connection, and comes back when that has answered.

The lane splits the stream itself: a head up to its blank line, then the body, then nothing more
until the answer has ended; what a client pipelines waits in a bounded buffer. One connection is
in one of these phases:

    HEAD ──► LENGTH / CHUNKED ──► ANSWER ──► HEAD       the round of a kept-alive connection
      │             └──► DRAIN (answered before its body came: read on, so that it can be read)
      ├──► SITE ──► HEAD                                handed over, and back
      └──► CLOSING ──► DEAD                             the last bytes go out; nothing is read

Time is counted in sweeps of the factory, once a second over all connections: a timer for each
request would cost more than reading its head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from twisted.internet import tcp
from twisted.internet.interfaces import IDelayedCall, IProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from abg.exchange import Application
from abg.wire.chunked import ChunkedBody, MalformedBody
from abg.wire.head import BadRequest, guess_request, head_end, read_request, suspicious_start
from abg.wire.lane_exchange import LaneExchange

if TYPE_CHECKING:
    from abg.wire.inbound import FastLaneFactory

__all__ = ["FastLane"]

HEAD, LENGTH, CHUNKED, ANSWER, DRAIN, SITE, CLOSING, DEAD = range(8)


@implementer(IPushProducer)
class FastLane(Protocol):
    """One client connection."""

    factory: FastLaneFactory

    def __init__(self, factory: FastLaneFactory) -> None:
        self.factory = factory
        self.application: Application = factory.application
        self.peer = ""
        self.exchange: LaneExchange | None = None
        self._phase = HEAD
        self._buffer = b""
        self._left = 0
        self._chunks: ChunkedBody | None = None
        self._keep_alive = True
        self._fresh = True
        self._working = False
        self._again: IDelayedCall | None = None
        self._channel: Any = None
        self._direct: Any = None
        # Who stopped the reading, and whether the client's socket is full.
        self._body_paused = False
        self._reading = True
        self._full = False
        self._told_full = False
        self._telling: IDelayedCall | None = None
        # The sweep's memory: when the phase began, what came since, when the socket filled up.
        self._mark = factory.now
        self._came = 0
        self._full_since = 0

    # From the transport

    def connectionMade(self) -> None:
        transport: Any = self.transport
        # Exactly this: a TLS transport hands attributes through to the socket below it, and what
        # is written there goes out in clear.
        if isinstance(transport, tcp.Connection) and not transport.TLS:
            self._direct = transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        address = transport.getPeer()
        self.peer = getattr(address, "host", "") or str(address)
        transport.registerProducer(self, True)
        self.factory.joined(self)

    def dataReceived(self, data: bytes) -> None:
        if self._phase == SITE:
            self._channel.dataReceived(data)
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not self._working:
            self._work()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._phase = DEAD
        self.factory.left(self)
        for call in (self._again, self._telling):
            if call is not None:
                call.cancel()
        self._again = self._telling = None
        self._buffer = b""
        self._direct = None
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
                if phase == HEAD:
                    if self._full:
                        self._bound()
                        break
                    if not self._take_head():
                        break
                elif phase == LENGTH:
                    if self._body_paused:
                        break
                    self._take_length()
                elif phase == CHUNKED:
                    if self._body_paused:
                        break
                    self._take_chunks()
                elif phase == DRAIN:
                    self._drain()
                elif phase == ANSWER:
                    self._bound()
                    break
                elif phase == SITE:
                    data, self._buffer = self._buffer, b""
                    self._channel.dataReceived(data)
                else:
                    self._buffer = b""
        finally:
            self._working = False

    def _bound(self) -> None:
        """Let no more come than may wait."""
        if len(self._buffer) > self.factory.limits.pipelined_bytes:
            self._read(False)

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
                self._mark = factory.now
            self._came = len(data)
            return False
        try:
            request = read_request(data if end == len(data) else data[:end])
        except BadRequest as bad:
            self._refuse(bad)
            return True
        target = request.target
        if not request.plain or (target.startswith(b"/abg") and target[4:5] in (b"", b"/", b"?")):
            self._hand_over()
            return True
        self._buffer = data[end:]
        self._came = 0
        self._fresh = False
        self._keep_alive = request.keep_alive and not factory.draining
        length = request.content_length
        if length:
            self._phase = LENGTH
            self._left = length
            self._mark = factory.now
        elif length is None:
            self._phase = CHUNKED
            self._chunks = ChunkedBody()
            self._mark = factory.now
        else:
            self._phase = ANSWER
        exchange = LaneExchange(self, request.method, target, request.headers, self.peer, length)
        self.exchange = exchange
        handler = self.application.begin(exchange)
        if self.exchange is exchange:
            exchange.handler = handler
            if length == 0:
                handler.body_end()
        return True

    def _take_length(self) -> None:
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
                self._read(False)
        if body:
            exchange.handler.body(body)
        if chunks.done and self.exchange is exchange:
            exchange.handler.body_end()

    def _drain(self) -> None:
        """The request was answered before its body had come: let it come, and close."""
        data, self._buffer = self._buffer, b""
        self._left -= len(data)
        if self._chunks is None and self._left <= 0:
            self._close()

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
        self._mark = self.factory.now
        exchange = LaneExchange(self, method, target, headers, self.peer, 0)
        self.exchange = exchange
        self.application.refuse(exchange, bad.status, bad.message)

    def _hand_over(self) -> None:
        """Give the connection, from this request on, to the Site's channel."""
        transport: Any = self.transport
        data, self._buffer = self._buffer, b""
        self._phase = SITE
        self._came = 0
        transport.unregisterProducer()
        site: Any = self.factory.site
        channel = site.buildProtocol(transport.getPeer())
        self._channel = channel
        if hasattr(channel, "on_idle"):
            channel.on_idle = self._take_back
        cast(IProtocol, channel).makeConnection(transport)
        channel.dataReceived(data)

    def _take_back(self, rest: bytes) -> None:
        """The channel has answered and lies idle: the lane reads on, with ``rest`` first."""
        transport: Any = self.transport
        self._channel = None
        self._phase = HEAD
        self._fresh = False
        self._mark = self.factory.now
        self._full = False
        transport.registerProducer(self, True)
        self._buffer = rest + self._buffer
        if self.factory.draining:
            self._close()
        elif self._buffer and not self._working:
            self._later()

    # From the exchange

    @property
    def keeps(self) -> bool:
        """Another request may follow on this connection."""
        return self._keep_alive and self._phase == ANSWER and not self.factory.draining

    def send(self, data: bytes) -> None:
        """Write at once if nothing is queued, else behind what is."""
        direct = self._direct
        if (
            direct is not None
            and direct.connected
            and not direct.disconnecting
            and not direct.TLS
            and not direct._tempDataLen
            and not direct.dataBuffer
            and not direct._writeDisconnected
        ):
            sent = direct.writeSomeData(data)
            if sent.__class__ is int and sent > 0:
                if sent == len(data):
                    return
                data = data[sent:]
            direct.write(data)
        elif self._phase < CLOSING:
            transport: Any = self.transport
            transport.write(data)

    def pause_body(self) -> None:
        self._body_paused = True
        if self._phase in (LENGTH, CHUNKED):
            self._read(False)

    def resume_body(self) -> None:
        self._body_paused = False
        self._mark = self.factory.now
        self._came = 0
        if self._phase in (LENGTH, CHUNKED):
            self._read(True)
            if self._buffer:
                self._later()

    def answered(self, whole: bool) -> None:
        """The exchange has ended; ``whole``: its answer is complete and framed to the byte."""
        phase = self._phase
        self.exchange = None
        self._told_full = False
        self._body_paused = False
        if phase == ANSWER and whole and self._keep_alive and not self.factory.draining:
            self._phase = HEAD
            self._mark = self.factory.now
            if not self._reading:
                self._read(True)
            if self._buffer and not self._working:
                self._later()
        elif phase in (LENGTH, CHUNKED, DRAIN) and whole:
            # Closing with unread bytes makes the kernel reset the connection, and the client may
            # lose the answer. So read on for a while; the answer said that we close.
            self._left -= len(self._buffer)
            self._buffer = b""
            self._phase = DRAIN
            self._mark = self.factory.now
            if self._chunks is None and self._left <= 0:
                self._close()
                return
            self._read(True)
            if self._direct is not None:
                # The client sees the end at once, and we still take what it sends. (A TLS
                # transport would shut down the socket below it.)
                self._direct.unregisterProducer()
                self._direct.loseWriteConnection()
        else:
            self._close()

    def close_now(self) -> None:
        """Break the connection without the rest."""
        self._phase = CLOSING
        self._mark = self.factory.now
        transport: Any = self.transport
        transport.abortConnection()

    def _close(self) -> None:
        """Close, when all that was written has gone out; the sweep helps if it never does."""
        if self._phase >= CLOSING:
            return
        self._phase = CLOSING
        self._mark = self.factory.now
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()

    def _read(self, on: bool) -> None:
        if on != self._reading:
            self._reading = on
            transport: Any = self.transport
            if on:
                transport.resumeProducing()
            else:
                transport.pauseProducing()

    def _later(self) -> None:
        if self._again is None:
            self._again = self.factory.reactor.callLater(0, self._work_again)

    def _work_again(self) -> None:
        self._again = None
        self._work()

    # The transport's producer: never told to the handler inside one of its own writes

    def pauseProducing(self) -> None:
        if not self._full:
            self._full = True
            self._full_since = self.factory.now
            self._tell_later()

    def resumeProducing(self) -> None:
        if self._full:
            self._full = False
            self._tell_later()
            if self._phase == HEAD and self._buffer:
                self._read(True)
                self._later()

    def stopProducing(self) -> None:
        """The connection is lost; ``connectionLost`` follows."""

    def _tell_later(self) -> None:
        if self._telling is None and self._phase < CLOSING:
            self._telling = self.factory.reactor.callLater(0, self._tell_full)

    def _tell_full(self) -> None:
        self._telling = None
        exchange = self.exchange
        if exchange is None or exchange.handler is None or self._full == self._told_full:
            return
        self._told_full = self._full
        if self._full:
            exchange.handler.pause()
        else:
            exchange.handler.resume()

    # From the factory

    def sweep(self, now: int) -> None:
        """Has anything taken too long? ``now`` in seconds of the factory's count."""
        limits = self.factory.limits
        phase = self._phase
        age = now - self._mark
        if phase == HEAD:
            started = self._buffer or self._fresh
            if age > (limits.header_seconds if started else limits.idle_seconds):
                self._close()
        elif phase in (LENGTH, CHUNKED):
            if age > limits.body_seconds and not self._body_paused:
                if self._came < limits.body_bytes:
                    self.close_now()
                self._mark = now
                self._came = 0
        elif phase in (DRAIN, CLOSING) and age > limits.linger_seconds:
            self.close_now()
        if self._full and phase != CLOSING and now - self._full_since > limits.stall_seconds:
            self.close_now()

    def drain(self) -> None:
        """No further request on this connection; an idle one is closed at once."""
        if self._phase == HEAD:
            self._close()
        elif self._phase == SITE and hasattr(self._channel, "drain"):
            self._channel.drain()
