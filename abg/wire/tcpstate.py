"""What the kernel knows of a connection to a vendor and HTTP does not tell.

A kept-alive connection may be closed by the vendor in the moment it is used again. Whether that
call was billed cannot be seen from HTTP; but if the vendor's end has acknowledged no byte of it,
it has not been received, let alone worked on, and may be sent again (RFC 9110, 9.2.2).
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.python.failure import Failure

__all__ = ["acknowledged_bytes", "before_loss", "quiet", "tcp_below"]

# Linux: struct tcp_info, tcpi_bytes_acked (a u64 at offset 120, since 4.1).
_TCP_INFO_SIZE = 128
_BYTES_ACKED = 120


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
    """How many bytes the peer's kernel has acknowledged; None where that cannot be told."""
    if sys.platform != "linux":
        return None
    try:
        info = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except (OSError, AttributeError):
        return None
    if len(info) < _TCP_INFO_SIZE:
        return None
    acked: int = struct.unpack_from("=Q", info, _BYTES_ACKED)[0]
    return acked


def before_loss(connection: tcp.Connection, look: Callable[[], None]) -> None:
    """Call ``look`` when ``connection`` is lost, in the last moment in which it has its socket.

    Protocols hear of it only after the socket was closed, whatever the reason, and a reset tells
    nobody else; so this stands before the transport's own method, on this one instance.
    """
    lose = connection.connectionLost

    def look_and_lose(reason: Failure) -> None:
        look()
        lose(reason)

    connection.connectionLost = look_and_lose  # type: ignore[method-assign]
