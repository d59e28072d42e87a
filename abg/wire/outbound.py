"""Calls to the vendors, over a pool of kept-alive connections (``abg.exchange.Upstreams``).

A connection is used again only after a look at its socket, lies idle for half a minute at most,
and a call is sent a second time only if the first can have had no effect: it was safe by its
method, or no byte of it was acknowledged (``abg.wire.tcpstate``).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall

from abg.call import Headers
from abg.exchange import AnswerListener, Upstreams, VendorCall
from abg.headers import Outgoing
from abg.wire.connect import Connector, Origin
from abg.wire.framing import declared_length
from abg.wire.running import RunningCall
from abg.wire.tunnel import NO_PROXIES, Proxies
from abg.wire.vendor import VendorConnection

__all__ = ["Pool"]

_BODY_EXPECTED = frozenset((b"POST", b"PUT", b"PATCH"))
_CLOSE_SECONDS = 5
_IDLE_CONNECTIONS = 128
"""At most as many idle connections are kept to one origin."""


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
        self.connections: set[VendorConnection] = set()
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
            if body or method in _BODY_EXPECTED:
                framing = b"Content-Length: %d\r\n\r\n" % len(body)
            else:
                framing = b"\r\n"
        kept = headers if type(headers) is Outgoing else None
        lines = kept.lines if kept is not None else b""
        if not lines:
            if body is not None and any(name.lower() == b"content-length" for name, _ in headers):
                headers = [(n, v) for n, v in headers if n.lower() != b"content-length"]
                kept = None
            lines = b"".join([b"%b: %b\r\n" % field for field in headers])
            if kept is not None:
                kept.lines = lines
        head = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, target, place.host_line, lines)
        ends = len(headers) + 2
        if head.count(b"\n") != ends or head.count(b"\r") != ends:
            return RunningCall.stillborn(
                self, method, listener, "a header of the request holds a line end"
            )
        head += framing
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
        for connection in list(self.connections):
            if connection.call is None:
                connection.close()

    # From the connections

    def joined(self, connection: VendorConnection) -> None:
        """A connection was made."""
        self.connections.add(connection)
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
        self.connections.discard(connection)
        idle = self._places[connection.origin.name][1]
        if connection in idle:
            idle.remove(connection)
        if not self.connections and self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    def _sweep(self) -> None:
        """Once a second: who has been silent, idle, or closing for too long?"""
        self._sweeping = self.reactor.callLater(1.0, self._sweep)
        self.now += 1
        for connection in list(self.connections):
            age = self.now - connection.since
            call = connection.call
            if call is not None:
                connection.let_go()
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


_check: type[Upstreams] = Pool
