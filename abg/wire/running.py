"""A running request to a vendor, from its wish for a connection to the end of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from abg.exchange import AnswerListener, VendorCall
from abg.wire.connect import Origin, why_not_connected
from abg.wire.late_tls import bring_tls
from abg.wire.valve import Valve
from abg.wire.vendor import VendorConnection

if TYPE_CHECKING:
    from abg.wire.outbound import Pool

__all__ = ["RunningCall"]

_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
"""Methods that change nothing: sent again freely."""
_BUFFERED_BYTES = 65_536
"""How much of a streamed body may wait for its connection."""


class RunningCall:
    """A request to a vendor (``abg.exchange.VendorCall``).

    Attributes:
        paused: the listener wants no more of the answer for now.
    """

    __slots__ = (
        "_body",
        "_buffered",
        "_chunked",
        "_connecting",
        "_connection",
        "_ended",
        "_half_open",
        "_head",
        "_late",
        "_pieces",
        "_place",
        "_pool",
        "_tried",
        "_valve",
        "listener",
        "method",
        "paused",
        "sent",
    )

    def __init__(
        self,
        pool: Pool,
        place: Origin | None,
        method: bytes,
        head: bytes,
        body: bytes | None,
        chunked: bool,
        listener: AnswerListener,
    ) -> None:
        self._pool: Pool | None = pool
        self._place = place
        self.method = method
        self._head = head
        self._body = body
        self._chunked = chunked
        self.listener: Any = listener
        self.sent = False
        self.paused = False
        self._connection: VendorConnection | None = None
        self._connecting: Deferred[Any] | None = None
        self._half_open: VendorConnection | None = None
        self._late: IDelayedCall | None = None
        self._tried = False
        if body is None:
            # A body that is streamed: pieces wait here until there is a connection.
            self._pieces: list[bytes] = []
            self._buffered = 0
            self._ended = False
            self._valve = Valve(pool.reactor, self._tell_full)

    @classmethod
    def stillborn(
        cls, pool: Pool, method: bytes, listener: AnswerListener, why: str
    ) -> RunningCall:
        """A call that fails before it begins."""
        call = cls(pool, None, method, b"", b"", False, listener)
        call._fail_later("malformed", why)
        return call

    # From the listener

    def write(self, data: bytes) -> None:
        if self._pool is None or self._body is not None or self._ended or not data:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._connection is not None:
            self._connection.write(data)
            return
        self._pieces.append(data)
        self._buffered += len(data)
        if self._buffered > _BUFFERED_BYTES:
            self.upstream_full(True)

    def end(self) -> None:
        if self._pool is None or self._body is not None or self._ended:
            return
        if self._chunked:
            last = b"0\r\n\r\n"
            if self._connection is not None:
                self._connection.write(last)
            else:
                self._pieces.append(last)
        self._ended = True
        if self._connection is not None:
            self._connection.uploaded()

    def pause(self) -> None:
        if not self.paused:
            self.paused = True
            if self._connection is not None:
                transport: Any = self._connection.transport
                transport.pauseProducing()

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            if self._connection is not None:
                self._connection.since = self._connection.pool.now
                transport: Any = self._connection.transport
                transport.resumeProducing()

    def abort(self) -> None:
        connecting, connection = self._connecting, self._connection
        self.over()
        if connection is not None:
            connection.drop()
        if connecting is not None:
            connecting.cancel()

    # The way to a connection

    def connect(self) -> None:
        """Open a fresh connection for this call."""
        pool, place = self._pool, self._place
        assert pool is not None and place is not None
        self._late = pool.reactor.callLater(pool.connect_seconds, self._too_late)
        factory = Factory.forProtocol(lambda: VendorConnection(pool, place, self))
        factory.noisy = False
        self._connecting = pool.connector.connect(place.host, place.port, place.tls, factory)
        self._connecting.addCallbacks(self._opened, self._unreachable)

    def _opened(self, connection: VendorConnection) -> None:
        """TCP stands; under TLS the handshake follows."""
        self._connecting = None
        if self._pool is None:
            connection.drop()
        elif self._connection is None:
            self._half_open = connection

    def connected(self, connection: VendorConnection) -> None:
        """The connection can be written to."""
        if self._pool is None:
            connection.drop()
            return
        self._cancel_late()
        self._half_open = None
        self.start(connection, False)

    def start(self, connection: VendorConnection, reused: bool) -> None:
        """Send the request over ``connection``."""
        self._connection = connection
        self.sent = True
        connection.begin(self, self._head, self._body, reused)
        if self._body is None:
            for piece in self._pieces:
                connection.write(piece)
            self._pieces.clear()
            self.upstream_full(False)
            if self._ended:
                connection.uploaded()
        if self.paused:
            transport: Any = connection.transport
            transport.pauseProducing()

    def _too_late(self) -> None:
        self._late = None
        pool = self._pool
        assert pool is not None
        connecting = self._connecting
        self.fail("connect_timeout", f"no connection within {pool.connect_seconds:g} s")
        if connecting is not None:
            connecting.cancel()

    def _unreachable(self, failure: Failure) -> None:
        self._connecting = None
        if self._pool is not None:
            self._cancel_late()
            self._fail_later(*why_not_connected(failure))

    def handshake_failed(self, reason: Failure) -> None:
        """The connection was lost before it could be written to."""
        self._half_open = None
        if self._pool is not None:
            self._cancel_late()
            self._fail_later(*bring_tls().why_not_encrypted(reason))

    # From the connection

    def let_go(self) -> None:
        """The body was sent and received in part at least: it is neither sent again nor kept."""
        if self._body:
            self._body = b""
            self._tried = True
            self.listener.body_left()

    def closed_early(self, untouched: bool) -> None:
        """A used connection was closed before it answered; ``untouched``: no byte was received."""
        if self._pool is None:
            return
        self._connection = None
        if not self._tried and (untouched or self.method in _SAFE):
            self._tried = True
            self.sent = False
            self.connect()
            return
        if untouched:
            self.sent = False
        self.fail("cut", "the connection was lost before an answer came")

    def fail(self, kind: str, message: str) -> None:
        """There is no (whole) answer."""
        if self._pool is not None:
            self.over().answer_failed(kind, message)

    def over(self) -> Any:
        """Nothing more is told; gives the listener back, for its last word."""
        listener, self.listener = self.listener, None
        self._cancel_late()
        if self._body is None:
            self._valve.stop()
        self._pool = self._connection = self._connecting = None
        self._body = b""
        if self._half_open is not None:
            self._half_open.drop()
            self._half_open = None
        return listener

    def _fail_later(self, kind: str, message: str) -> None:
        """Fail, but not before whoever asked has got this call."""
        pool = self._pool
        assert pool is not None
        self._late = pool.reactor.callLater(0, self._failed, kind, message)

    def _failed(self, kind: str, message: str) -> None:
        self._late = None
        self.fail(kind, message)

    def _cancel_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    # The vendor's socket

    def upstream_full(self, full: bool) -> None:
        """The transport takes no more for now, or does again."""
        if self._pool is not None and self._body is None:
            self._valve.set(full)

    def _tell_full(self, full: bool) -> None:
        if full:
            self.listener.upstream_pause()
        else:
            self.listener.upstream_resume()


_check: type[VendorCall] = RunningCall
