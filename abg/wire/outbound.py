"""Calls to the vendors, over a pool of kept-alive connections (``abg.exchange.Upstreams``).

A connection is used again only after a look at its socket, lies idle for half a minute at most,
and a call is sent a second time only if the first can have had no effect: it was safe by its
method, or no byte of it was acknowledged (``abg.wire.tcpstate``).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from abg.call import Headers
from abg.exchange import AnswerListener, Upstreams, VendorCall
from abg.wire.connect import Connector, why_not_connected, why_not_encrypted
from abg.wire.framing import declared_length
from abg.wire.tunnel import NO_PROXIES, Proxies
from abg.wire.vendor import VendorConnection

__all__ = ["Origin", "Pool", "RunningCall"]

_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_BODY_EXPECTED = frozenset((b"POST", b"PUT", b"PATCH"))
_BUFFERED_BYTES = 65_536
_CLOSE_SECONDS = 5
_IDLE_CONNECTIONS = 128
"""At most as many idle connections are kept to one origin."""


@frozen
class Origin:
    """Where an origin is."""

    name: str
    tls: bool
    host: str
    port: int
    authority: bytes
    """The value of ``Host``."""

    @classmethod
    def parse(cls, origin: str) -> Origin:
        """Read ``https://host[:port]``.

        Raises:
            ValueError: it is no http or https origin.
        """
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{origin} is no http or https origin")
        tls = parts.scheme == "https"
        usual = 443 if tls else 80
        port = parts.port or usual
        shown = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        authority = shown if port == usual else f"{shown}:{port}"
        return cls(
            origin,
            tls,
            parts.hostname,
            port,
            authority.encode("idna" if not shown.isascii() else "ascii"),
        )


class Pool:
    """See the module's text.

    Args:
        ca_file: a PEM file with further trusted roots (``SSL_CERT_FILE`` is honoured anyway).
        trust_root: what to trust instead (for tests).
        silence_seconds: how long a vendor may send nothing while a call is under way.
        connect_seconds: for name, TCP, tunnel and TLS together.
        idle_seconds: how long a connection is kept without use.
        proxies: through which proxy which host is reached.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        ca_file: str | None = None,
        trust_root: Any = None,
        silence_seconds: float = 900.0,
        connect_seconds: float = 30.0,
        idle_seconds: float = 30.0,
        head_bytes: int = 65_536,
        proxies: Proxies = NO_PROXIES,
    ) -> None:
        self.reactor: Any = reactor
        self.silence_seconds = silence_seconds
        self.connect_seconds = connect_seconds
        self.idle_seconds = idle_seconds
        self.head_bytes = head_bytes
        self.now = 0
        self.connector = Connector(reactor, ca_file, trust_root, proxies)
        self._places: dict[str, tuple[Origin, list[VendorConnection]]] = {}
        self._connections: set[VendorConnection] = set()
        self._sweeping: IDelayedCall | None = None
        self._closed = False

    def request(
        self,
        origin: str,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: bytes | None,
        listener: AnswerListener,
    ) -> VendorCall:
        """See ``abg.exchange.Upstreams``."""
        known = self._places.get(origin)
        if known is None:
            try:
                known = self._places[origin] = (Origin.parse(origin), [])
            except ValueError as error:
                return RunningCall.stillborn(self, method, listener, str(error))
        place, idle = known
        if body is None:
            chunked = declared_length(headers) is None
            framing = b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n"
        else:
            chunked = False
            if declared_length(headers) is not None:
                headers = [(n, v) for n, v in headers if n.lower() != b"content-length"]
            if body or method in _BODY_EXPECTED:
                framing = b"Content-Length: %d\r\n\r\n" % len(body)
            else:
                framing = b"\r\n"
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers):
            return RunningCall.stillborn(
                self, method, listener, "a header of the request holds a line end"
            )
        head = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b" % (
            method,
            target,
            place.authority,
            lines,
            framing,
        )
        call = RunningCall(self, place, method, head, body, chunked, listener)
        # A streamed body cannot be sent again: it gets a connection that is surely alive.
        while idle and body is not None:
            connection = idle.pop()
            if connection.usable():
                call.start(connection, True)
                return call
            connection.drop()
        call.connect()
        return call

    def close(self) -> None:
        """Close the idle connections and keep none from now on."""
        self._closed = True
        for connection in list(self._connections):
            if connection.call is None:
                connection.close()

    # From the connections

    def joined(self, connection: VendorConnection) -> None:
        """A connection was made."""
        self._connections.add(connection)
        if self._sweeping is None:
            self._sweeping = self.reactor.callLater(1.0, self._sweep)

    def keep(self, connection: VendorConnection) -> None:
        """A connection has become idle."""
        connection.since = self.now
        idle = self._places[connection.origin.name][1]
        if self._closed or len(idle) >= _IDLE_CONNECTIONS:
            connection.close()
        else:
            idle.append(connection)

    def left(self, connection: VendorConnection) -> None:
        """A connection was lost."""
        self._connections.discard(connection)
        idle = self._places[connection.origin.name][1]
        if connection in idle:
            idle.remove(connection)
        if not self._connections and self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    def _sweep(self) -> None:
        """Once a second: who has been silent, idle, or closing for too long?"""
        self._sweeping = self.reactor.callLater(1.0, self._sweep)
        self.now += 1
        for connection in list(self._connections):
            age = self.now - connection.since
            call = connection.call
            if call is not None:
                if call.paused:
                    connection.since = self.now
                elif age > self.silence_seconds:
                    connection.silent()
            elif connection.closing:
                if age > _CLOSE_SECONDS:
                    connection.drop()
            elif age > self.idle_seconds:
                idle = self._places[connection.origin.name][1]
                if connection in idle:
                    idle.remove(connection)
                    connection.close()


class RunningCall:
    """A request to a vendor (``abg.exchange.VendorCall``).

    Attributes:
        paused: the listener wants no more of the answer for now.
    """

    __slots__ = (
        "_body",
        "_chunked",
        "_connecting",
        "_connection",
        "_ended",
        "_full",
        "_head",
        "_late",
        "_pieces",
        "_place",
        "_pool",
        "_telling",
        "_told_full",
        "_tried",
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
        self.listener = listener
        self.sent = False
        self.paused = False
        self._connection: VendorConnection | None = None
        self._connecting: Deferred[Any] | None = None
        self._late: IDelayedCall | None = None
        self._tried = False
        if body is None:
            # A body that is streamed: pieces wait here until there is a connection.
            self._pieces: list[bytes] = []
            self._ended = False
        self._full = False
        self._told_full = False
        self._telling: IDelayedCall | None = None

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
        if sum(map(len, self._pieces)) > _BUFFERED_BYTES:
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
            self._connection.end()

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

    def connected(self, connection: VendorConnection) -> None:
        """The connection can be written to."""
        if self._pool is None:
            connection.drop()
            return
        self._cancel_late()
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
                connection.end()
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
        if self._pool is not None:
            self._cancel_late()
            self._fail_later(*why_not_encrypted(reason))

    # From the connection

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
            listener = self.listener
            self.over()
            listener.answer_failed(kind, message)

    def over(self) -> None:
        """Nothing more is told."""
        self._cancel_late()
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._pool = self._connection = self._connecting = None
        self._body = b""

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

    # The vendor's socket: never told inside one of the listener's own writes

    def upstream_full(self, full: bool) -> None:
        """The transport takes no more for now, or does again."""
        self._full = full
        pool = self._pool
        if pool is not None and self._telling is None and full != self._told_full:
            self._telling = pool.reactor.callLater(0, self._tell_full)

    def _tell_full(self) -> None:
        self._telling = None
        if self._full != self._told_full:
            self._told_full = self._full
            if self._full:
                self.listener.upstream_pause()
            else:
                self.listener.upstream_resume()


_check_pool: type[Upstreams] = Pool
_check_call: type[VendorCall] = RunningCall
