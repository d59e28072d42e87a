"""What the kernel knows of a connection to a vendor and HTTP does not tell.

A kept-alive connection may be closed by the vendor in the moment it is used again. Whether that
call was billed cannot be seen from HTTP. But the vendor's FIN acknowledges all that had reached
its end until then: if it covers no byte of the call, the vendor closed without having seen it, and
it may be sent again (RFC 9110, 9.2.2). A reset proves nothing: it carries no acknowledgement, and
those of the bytes before it may have been delayed (measured: a vendor that read a whole request
and reset the connection at once had acknowledged none of it).

And of one to a client: that he has left is seen by reading only, but there are times when a
client's body may not be read. The kernel knows it all the same.
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

__all__ = ["acknowledged_bytes", "before_loss", "look", "peer_left", "tcp_below"]

# Linux: struct tcp_info; tcpi_state is its first byte, tcpi_bytes_acked and tcpi_bytes_received
# (in order, and a FIN counts as one) are u64 since 4.1.
_TCP_INFO_SIZE = 136
_ACKED_AND_RECEIVED = struct.Struct("=120xQQ")
_TCP_ESTABLISHED, _TCP_CLOSE, _TCP_CLOSE_WAIT = 1, 7, 8


def tcp_below(transport: Any) -> tcp.Connection | None:
    """The TCP connection that ``transport`` is or stands on; None where there is none."""
    for _ in range(4):
        if isinstance(transport, tcp.Connection):
            return transport
        transport = transport.__dict__.get("transport")
        if transport is None:
            return None
    return None


def look(connection: tcp.Connection, read: int | None) -> tuple[bool, int | None]:
    """Whether the peer has neither closed nor sent anything that we have not read yet; and its
    ``acknowledged_bytes``.

    Args:
        read: how many bytes have been read from the socket so far; None: not known. With it one
            system call tells both, where the kernel counts.
    """
    info = _tcp_info(connection)
    if info is None:
        return _quiet(connection), None
    state, acked, received = info
    if state == _TCP_ESTABLISHED and received == read:
        return True, acked
    return _quiet(connection), acked if state != _TCP_CLOSE else None


def acknowledged_bytes(connection: tcp.Connection) -> int | None:
    """How many bytes the peer's kernel has acknowledged; None where that cannot be told, or
    proves nothing since the connection was reset."""
    info = _tcp_info(connection)
    if info is None or info[0] == _TCP_CLOSE:
        return None
    return info[1]


def peer_left(transport: Any) -> bool:
    """Whether the far end has closed, or reset, a connection that nobody reads; False also where
    that cannot be told."""
    connection = tcp_below(transport)
    info = None if connection is None else _tcp_info(connection)
    return info is not None and info[0] in (_TCP_CLOSE, _TCP_CLOSE_WAIT)


def _tcp_info(connection: tcp.Connection) -> tuple[int, int, int] | None:
    """State, bytes acknowledged, bytes received; None where the kernel does not tell."""
    if sys.platform != "linux":
        return None
    try:
        info = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except (OSError, AttributeError):
        return None
    if len(info) < _TCP_INFO_SIZE:
        return None
    acked, received = _ACKED_AND_RECEIVED.unpack(info)
    return info[0], acked, received


def _quiet(connection: tcp.Connection) -> bool:
    """The same where the kernel does not count: a look at the socket itself."""
    try:
        connection.socket.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except (OSError, AttributeError):
        return False
    return False


def before_loss(connection: tcp.Connection, look: Callable[[], None]) -> None:
    """Call ``look`` when the peer has closed, in the last moment in which there is a socket.

    Protocols hear of it only after the socket was closed, and under TLS there is no half-close
    to listen for; so this stands before the transport's own method, on this one instance.
    """
    lose = connection.connectionLost

    def look_and_lose(reason: Failure) -> None:
        if reason.check(ConnectionDone) is not None:
            look()
        lose(reason)

    connection.connectionLost = look_and_lose  # type: ignore[method-assign]
