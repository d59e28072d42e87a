"""The ways out, to a client or a vendor: to the socket at once when nothing is queued before.

Twisted queues every write for the next turn of its loop and pays two ``epoll_ctl`` for it; at one
write for each streamed token that is a fifth of a token's cost, and a turn of delay.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from abg.wire.valve import Valve

__all__ = ["Outlet", "plain_tcp", "sender"]


def plain_tcp(transport: Any) -> tcp.Connection | None:
    """``transport`` if it is a TCP connection without TLS, else None.

    By its class, never by its attributes: a TLS transport hands attributes through to the socket
    below it, and what is written there goes out in clear.
    """
    if isinstance(transport, tcp.Connection) and not transport.TLS:
        return transport
    return None


def sender(transport: Any) -> Callable[[bytes | memoryview], None]:
    """A function that writes to ``transport``: at once where it can, else behind what is queued."""
    direct = plain_tcp(transport)
    return partial(_queue, transport) if direct is None else partial(_send, direct)


def _send(direct: Any, data: bytes | memoryview) -> None:
    if (
        direct.connected
        and not direct.disconnecting
        and not direct.TLS
        and not direct._tempDataLen
        and not direct.dataBuffer
        and not direct._writeDisconnected
        and not direct._writeDisconnecting
    ):
        # What ``writeSomeData`` does, without the three calls around it (0.6 us of 2.9).
        try:
            sent = direct.socket.send(data)
        except OSError:
            # Full, or broken: the reactor finds it again, and loses the connection as always.
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    direct.write(bytes(data))


def _queue(transport: Any, data: bytes | memoryview) -> None:
    transport.write(bytes(data))


@implementer(IPushProducer)
class Outlet:
    """Writes to ``transport`` and is its producer.

    Args:
        tell: told when the client's socket is full (True) and when it takes more (False).
        emptied: called at once when the socket takes more, from within the transport.

    Attributes:
        send: writes to the transport, see ``sender``.
        direct: the transport itself, where it is plain TCP.
        full_since: reading of ``clock`` at which the socket became full.
    """

    __slots__ = ("_emptied", "_transport", "clock", "direct", "full_since", "send", "valve")

    def __init__(
        self,
        transport: Any,
        reactor: Any,
        clock: Callable[[], int],
        tell: Callable[[bool], None],
        emptied: Callable[[], None],
    ) -> None:
        self._transport: Any = transport
        self._emptied = emptied
        self.clock = clock
        self.direct: Any = plain_tcp(transport)
        self.send = sender(transport)
        self.full_since = 0
        self.valve = Valve(reactor, tell)

    @property
    def full(self) -> bool:
        return self.valve.full

    def open(self) -> None:
        """Become the transport's producer."""
        self.valve.full = False
        self._transport.registerProducer(self, True)

    def shut(self) -> None:
        """Leave the transport, so that it can close or have another producer."""
        self.valve.stop()
        self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        if not self.valve.full:
            self.full_since = self.clock()
            self.valve.set(True)

    def resumeProducing(self) -> None:
        if self.valve.full:
            self.valve.set(False)
            self._emptied()

    def stopProducing(self) -> None:
        """The connection is lost; its protocol is told by ``connectionLost``."""
