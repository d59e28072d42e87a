"""A network that is nothing but loopback, for the calling thread and all that it starts.

Both clients try other hosts at start; from in here nothing can leave the machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator

__all__ = ["loopback_only", "why_not"]

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def why_not() -> str:
    """The reason for which this machine cannot do it; empty if it can."""
    if not sys.platform.startswith("linux"):
        return "a loopback-only network needs Linux"
    if os.geteuid() != 0:
        return "a loopback-only network needs root"
    return ""


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Run the body in a new network namespace whose loopback is up.

    Raises:
        OSError: the kernel does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _must(libc.unshare(CLONE_NEWNET), "unshare")
        try:
            _loopback_up()
            yield
        finally:
            _must(libc.setns(before, CLONE_NEWNET), "setns")
    finally:
        os.close(before)


def _must(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        told = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", told)[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
