"""One connection to a vendor: it sends one request at a time and reads its answer.

The head is read by ``abg.wire.head``, the chunked coding by ``abg.wire.chunked``; what one read
from the socket brings is told in one piece. Between two requests the connection lies in its pool
and goes on reading, so that the vendor's closing is seen at once.
"""

# Twisted's are untyped in part.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from abg.wire.answer_head import AnswerHead, BadAnswer, no_answer, read_answer
from abg.wire.chunked import ChunkedBody, MalformedBody
from abg.wire.fields import head_end
from abg.wire.outlet import Sender
from abg.wire.tcpstate import acknowledged_bytes, before_loss, look, tcp_below
from abg.wire.upload import Upload

if TYPE_CHECKING:
    from twisted.internet import tcp

    from abg.wire.connect import Origin
    from abg.wire.outbound import Pool
    from abg.wire.running import RunningCall

__all__ = ["VendorConnection"]

_WHOLE = 65_536
"""Bodies up to this size go out with their head."""

IDLE, ANSWER_HEAD, COUNTED, CHUNKED, UNTIL_CLOSE, CLOSED = range(6)


@implementer(IHandshakeListener)
class VendorConnection(Protocol):
    """See the module's text.

    Attributes:
        call: the request under way.
        since: the pool's second in which it became idle, or last heard of the vendor.
    """

    def __init__(self, pool: Pool, origin: Origin, call: RunningCall) -> None:
        self.pool = pool
        self.origin = origin
        self.call: RunningCall | None = None
        self.since = pool.now
        self.closing = False
        self._waiting: RunningCall | None = call
        self._tcp: tcp.Connection | None = None
        self._phase = IDLE
        self._buffer = b""
        self._interim = 0
        self._left = 0
        self._chunks: ChunkedBody | None = None
        self._keep = False
        # The request's way out.
        self._sender: Any = None
        self._send: Any = None
        self._upload: Upload | None = None
        # Whether the request was received at all, as far as the kernel knows: bytes read from its
        # socket, and those that the vendor had acknowledged when the call began.
        self._read = 0
        self._reused = False
        self._heard = False
        self._acked: int | None = None
        self._untouched = False

    # From the transport

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._sender = Sender(transport)
        self._send = self._sender.send
        self._tcp = tcp_below(transport)
        if self._tcp is not None:
            if self._tcp is transport:
                # Past the endpoint's wrapper, which passes each piece on with a call of its own.
                self._tcp.protocol = self
            self._tcp.setTcpNoDelay(True)
            self._tcp.setTcpKeepAlive(True)
            before_loss(self._tcp, self._closed)
        self.pool.joined(self)
        if not self.origin.tls:
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        """TCP, and TLS where it is spoken, are up: the call that waits for it may begin."""
        call, self._waiting = self._waiting, None
        if call is not None:
            call.connected(self)

    def untouched(self) -> bool:
        """A call waits for its answer, and the vendor has acknowledged no byte of it."""
        if self._acked is None or self._heard or self._tcp is None:
            return False
        return acknowledged_bytes(self._tcp) == self._acked

    def closed_untouched(self) -> None:
        """The vendor closed when nothing of the call had reached it."""
        self._untouched = True

    def _closed(self) -> None:
        """The vendor has closed; the socket is still there."""
        if self.untouched():
            self._untouched = True

    def dataReceived(self, data: bytes) -> None:
        call = self.call
        self.since = self.pool.now
        self._read += len(data)
        if call is None:
            # Nobody asked. Whatever it is, it must not become the next call's answer.
            self.drop()
            return
        phase = self._phase
        if phase == ANSWER_HEAD:
            if not self._heard and self.untouched():
                # Said before the vendor had seen a byte of the call (a 408 to an idle
                # connection): it is no answer to it.
                self.call = None
                self.drop()
                call.closed_early(True)
                return
            self._heard = True
            if self._buffer:
                data = self._buffer + data
                self._buffer = b""
            rest = self._read_head(call, data)
            if rest is None or self.call is not call:
                return
            data = rest
            phase = self._phase
        if phase == COUNTED:
            left = self._left - len(data)
            if left < 0:
                data = data[:left]
                self._keep = False
                left = 0
            self._left = left
            if data:
                call.listener.answer_data(data)
                if self.call is not call:
                    return
            if not left:
                self._finish(call)
                return
        elif phase == CHUNKED:
            chunks = self._chunks
            assert chunks is not None
            try:
                data = chunks.feed(data)
            except MalformedBody as error:
                self._fail(call, "malformed", f"the answer's chunks are broken: {error}")
                return
            if data:
                call.listener.answer_data(data)
                if self.call is not call:
                    return
            if chunks.done:
                if chunks.excess:
                    self._keep = False
                self._finish(call)
                return
        elif data:
            call.listener.answer_data(data)
            if self.call is not call:
                return
        call.listener.answer_flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        phase, self._phase = self._phase, CLOSED
        self.pool.left(self)
        if self._upload is not None:
            self._upload.forget()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.handshake_failed(reason)
            return
        call, self.call = self.call, None
        if call is None:
            return
        if phase == UNTIL_CLOSE and reason.check(ConnectionDone) is not None:
            call.over().answer_end()
        elif self._reused and not self._heard:
            call.closed_early(self._untouched)
        else:
            call.fail(
                "cut",
                "the connection was lost "
                + ("inside the answer" if self._heard else "before an answer came"),
            )

    # The request

    def usable(self) -> bool:
        """Idle, open, and nothing has come that has not been read; asked before each reuse."""
        if self._phase != IDLE or self.closing:
            return False
        if self._tcp is None:
            return True
        # Under TLS what is read from the socket is not what comes here.
        quiet, acked = look(self._tcp, self._read if self._tcp is self.transport else None)
        # It has acknowledged a request before: a kernel that says nought does not count.
        self._acked = acked or None
        return quiet

    def begin(self, call: RunningCall, head: bytes, body: bytes | None, reused: bool) -> None:
        """Send a request; ``body`` None: it follows by ``write`` and ``end``."""
        self.call = call
        self.since = self.pool.now
        self._phase = ANSWER_HEAD
        self._interim = 0
        self._keep = True
        self._heard = False
        self._untouched = False
        self._reused = reused
        if not reused:
            self._acked = None
        if body is not None and len(body) < _WHOLE:
            self._send(head + body if body else head)
            return
        call.sent = False
        self._upload = Upload(self, self._sender)
        self._upload.begin(head, body)

    def write(self, data: bytes) -> None:
        """A piece of a streamed body, framed."""
        if self._upload is not None:
            self._send(data)

    def uploaded(self) -> None:
        """The whole body was handed to the transport, or is not wanted any more."""
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.end()
            if self.call is not None:
                self.call.sent = True
            self.let_go()

    def let_go(self) -> None:
        """Have the call keep its body no longer than it may have to be sent again."""
        call = self.call
        if call is not None and self._upload is None and not self.untouched():
            call.let_go()

    # The answer

    def _read_head(self, call: RunningCall, data: bytes) -> bytes | None:
        """Read the head at the front of ``data``; what is behind it, or None: nothing to do."""
        limit = self.pool.head_bytes - self._interim
        while True:
            end = head_end(data)
            if not end or end > limit:
                if len(data) > limit:
                    self._fail(call, "too_large", "the answer's head is too large")
                elif no_answer(data):
                    self._fail(call, "malformed", "the answer is not HTTP")
                else:
                    self._buffer = data
                return None
            try:
                head = read_answer(data if end == len(data) else data[:end], call.method)
            except BadAnswer as error:
                self._fail(call, "malformed", f"the answer is not HTTP: {error}")
                return None
            data = data[end:]
            if head.status >= 200:
                break
            if head.status == 101:
                self._fail(call, "malformed", "the vendor switched protocols unasked")
                return None
            # An interim answer; all of them count into the bound.
            self._interim += end
            limit -= end
            if not data:
                return None
        return self._begin_body(call, head, data)

    def _begin_body(self, call: RunningCall, head: AnswerHead, data: bytes) -> bytes | None:
        call.sent = True
        self._keep = head.keep_alive
        length = head.length
        listener = call.listener
        if length == 0:
            listener.answer_head(head.status, head.reason, head.headers, False)
            if self.call is call:
                if data:
                    self._keep = False
                self._finish(call)
            return None
        if length is not None:
            self._phase = COUNTED
            self._left = length
        elif head.chunked:
            self._phase = CHUNKED
            self._chunks = ChunkedBody()
        else:
            self._phase = UNTIL_CLOSE
        listener.answer_head(head.status, head.reason, head.headers, True)
        return data

    def _finish(self, call: RunningCall) -> None:
        """The answer is complete."""
        self.call = None
        self._chunks = None
        self._phase = IDLE
        if call.paused:
            transport: Any = self.transport
            transport.resumeProducing()
        if self._upload is not None:
            # Answered before the request was sent: the rest would be read as another one.
            self._keep = False
            self.uploaded()
        if self._keep and not self.closing:
            self.pool.keep(self)
        else:
            self.close()
        call.over().answer_end()

    def _fail(self, call: RunningCall, kind: str, message: str) -> None:
        self.call = None
        self.drop()
        call.fail(kind, message)

    # Coming to an end

    def silent(self) -> None:
        """The vendor has said nothing for too long."""
        call = self.call
        if call is not None:
            seconds = self.pool.silence_seconds
            self._fail(call, "silence", f"no byte came for {seconds:g} s")

    def close(self) -> None:
        """Close in peace; the pool breaks it, should that take long."""
        if not self.closing:
            self.closing = True
            self.since = self.pool.now
            transport: Any = self.transport
            self._sender.flush()
            transport.loseConnection()

    def drop(self) -> None:
        """Break the connection now."""
        self.call = self._waiting = None
        self.closing = True
        self._phase = CLOSED
        if self._upload is not None:
            self._upload.forget()
        transport: Any = self.transport
        self._sender.forget()
        transport.abortConnection()
