"""The ways out, to a client or a vendor: straight to the socket when nothing is queued before.

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

from abg.wire.turn import Turn
from abg.wire.valve import Valve

__all__ = ["Outlet", "Sender", "plain_tcp"]

SMALL = 65_536
"""Bytes that may wait for the end of a turn; nothing is gained with more."""


def plain_tcp(transport: Any) -> tcp.Connection | None:
    """``transport`` if it is a TCP connection without TLS, else None.

    By its class, never by its attributes: a TLS transport hands attributes through to the socket
    below it, and what is written there goes out in clear.
    """
    if isinstance(transport, tcp.Connection) and not transport.TLS:
        return transport
    return None


class Sender:
    """Writes to ``transport`` around its queue, where it may be written so, else behind it.

    What is small waits for the end of the reactor's turn (``abg.wire.turn``), if it has one: then
    ``flush`` goes before whatever else is done to the transport.

    Args:
        at_once: do not wait.
    """

    __slots__ = ("_turn", "_waiting", "_write")

    def __init__(self, transport: Any, *, at_once: bool = False) -> None:
        direct = plain_tcp(transport)
        self._write = partial(_queue, transport) if direct is None else partial(_send, direct)
        self._turn: Turn | None = None
        if direct is not None and not at_once:
            self._turn = getattr(direct.reactor, "turn", None)
        self._waiting: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Write it, now or when the turn ends."""
        turn, waiting = self._turn, self._waiting
        if turn is None or not turn.gathers or len(data) > SMALL:
            if waiting:
                self.flush()
            self._write(data)
            return
        waiting.append(data)
        if len(waiting) == 1:
            turn.post(self.flush)

    def send_view(self, data: memoryview) -> None:
        """Write a piece of something large, now."""
        if self._waiting:
            self.flush()
        self._write(data)

    def flush(self) -> None:
        """Write what waits."""
        waiting = self._waiting
        if waiting:
            data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
            waiting.clear()
            self._write(data)

    def forget(self) -> None:
        """What waits shall not be written: the connection is broken."""
        self._waiting.clear()


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
        send: writes to the transport, see ``Sender``.
        direct: the transport itself, where it is plain TCP.
        full_since: reading of ``clock`` at which the socket became full.
    """

    __slots__ = (
        "_emptied",
        "_transport",
        "clock",
        "direct",
        "full_since",
        "send",
        "sender",
        "valve",
    )

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
        self.sender = Sender(transport)
        self.send = self.sender.send
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
        self.sender.flush()
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
