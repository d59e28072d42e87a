"""What the kernel knows of a connection to a vendor and HTTP does not tell.

A kept-alive connection may be closed by the vendor in the moment it is used again. Whether that
call was billed cannot be seen from HTTP. But the vendor's FIN acknowledges all that had reached
its end until then: if it covers no byte of the call, the vendor closed without having seen it, and
it may be sent again (RFC 9110, 9.2.2). A reset proves nothing: it carries no acknowledgement, and
those of the bytes before it may have been delayed (measured: a vendor that read a whole request
and reset the connection at once had acknowledged none of it).
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

__all__ = ["acknowledged_bytes", "before_loss", "quiet", "tcp_below"]

# Linux: struct tcp_info; tcpi_state is its first byte, tcpi_bytes_acked a u64 (since 4.1).
_TCP_INFO_SIZE = 128
_BYTES_ACKED = 120
_TCP_CLOSE = 7


def tcp_below(transport: Any) -> tcp.Connection | None:
    """The TCP connection that ``transport`` is or stands on; None where there is none."""
    for _ in range(4):
        if isinstance(transport, tcp.Connection):
            return transport
        transport = transport.__dict__.get("transport")
        if transport is None:
            return None
    return None


def quiet(connection: tcp.Connection) -> bool:
    """The peer has neither closed nor sent anything that we have not read yet."""
    try:
        connection.socket.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except (OSError, AttributeError):
        return False
    return False


def acknowledged_bytes(connection: tcp.Connection) -> int | None:
    """How many bytes the peer's kernel has acknowledged; None where that cannot be told, or
    proves nothing since the connection was reset."""
    if sys.platform != "linux":
        return None
    try:
        info = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except (OSError, AttributeError):
        return None
    if len(info) < _TCP_INFO_SIZE or info[0] == _TCP_CLOSE:
        return None
    acked: int = struct.unpack_from("=Q", info, _BYTES_ACKED)[0]
    return acked


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
