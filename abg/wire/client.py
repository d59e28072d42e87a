"""One client's connection, as far as it knows nothing of HTTP: reading, writing, closing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Protocol

from abg.wire.outlet import Outlet
from abg.wire.tcpstate import peer_left

if TYPE_CHECKING:
    from abg.wire.inbound import FastLaneFactory

__all__ = ["ClientConnection"]


class ClientConnection(Protocol):
    """Base of the fast lane.

    Attributes:
        peer: the client's address, for messages.
        mark: second of the factory's count in which the current phase began.
        closing: nothing more is read; the connection ends when the last bytes have gone out.
    """

    factory: FastLaneFactory

    def __init__(self, factory: FastLaneFactory) -> None:
        self.factory = factory
        self.peer = ""
        self.mark = factory.now
        self.closing = False
        self._outlet: Any = None
        self._reading = True

    def connectionMade(self) -> None:
        transport: Any = self.transport
        factory = self.factory
        outlet = Outlet(transport, factory.reactor, lambda: factory.now, self.full, self.emptied)
        self._outlet = outlet
        outlet.open()
        address = transport.getPeer()
        self.peer = getattr(address, "host", "") or str(address)
        if outlet.direct is not None and hasattr(address, "host"):
            # Not over a UNIX socket, which knows no such option.
            outlet.direct.setTcpNoDelay(True)
        factory.joined(self)

    def lost(self) -> None:
        """The connection is no more."""
        self.closing = True
        self.factory.left(self)
        self._outlet.valve.stop()

    def full(self, full: bool) -> None:
        """The client's socket is full, or takes more again; told in a turn of its own."""
        raise NotImplementedError

    def emptied(self) -> None:
        """The client's socket takes more again; told from within the transport."""
        raise NotImplementedError

    def drain(self) -> None:
        """Serve no further request; when idle, close at once."""
        raise NotImplementedError

    def sweep(self, now: int) -> None:
        """Has anything taken too long? ``now`` in seconds of the factory's count."""
        limits = self.factory.limits
        outlet = self._outlet
        if self.closing:
            if now - self.mark > limits.linger_seconds:
                self.close_now()
        elif (outlet.full and now - outlet.full_since > limits.stall_seconds) or (
            not self._reading and peer_left(self.transport)
        ):
            self.close_now()

    def read(self, on: bool) -> None:
        """Read on, or read no more for now."""
        if on != self._reading:
            self._reading = on
            transport: Any = self.transport
            if on:
                transport.resumeProducing()
            else:
                transport.pauseProducing()

    def close(self) -> None:
        """Close, when all that was written has gone out; the sweep helps if it never does."""
        if not self.closing:
            self.closing = True
            self.mark = self.factory.now
            transport: Any = self.transport
            self._outlet.shut()
            transport.loseConnection()

    def close_now(self) -> None:
        """Break the connection without the rest."""
        self.closing = True
        self.mark = self.factory.now
        transport: Any = self.transport
        self._outlet.sender.forget()
        transport.abortConnection()

    def end_writing(self) -> None:
        """Everything is said: let the client see the end of it, while we read on.

        Only over plain TCP; a TLS transport would shut down the socket below it.
        """
        self.read(True)
        direct = self._outlet.direct
        if direct is not None:
            self._outlet.shut()
            direct.loseWriteConnection()
