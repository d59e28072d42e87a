"""Reading a file that somebody named: whole, up to a size, and without waiting for ever.

A pipe is a file too: the shell gives ``--config <(…)`` as one, and a secret may come by one. But
one that nobody writes into would keep a start, and all that asks about it, waiting for ever.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from pathlib import Path

__all__ = ["read_whole"]

PATIENCE_SECONDS = 5.0
"""For the next bytes of a pipe."""
BLOCK = 65536
MOST = 64_000_000
"""Bytes; no file that is read whole is as long, but a device may have no end."""


def read_whole(path: Path, most: int = MOST, patience: float = PATIENCE_SECONDS) -> bytes:
    """A file's bytes, not more than ``most``.

    Args:
        patience: seconds to wait for the next bytes, if it is a pipe.

    Raises:
        OSError: it cannot be read, or it is a pipe into which nobody writes.
    """
    with open(path, "rb", opener=_at_once, buffering=0) as file:
        comes = os.name == "posix" and not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        found = bytearray()
        while len(found) < most:
            if comes and not _come(file.fileno(), patience):
                raise OSError(errno.EAGAIN, "nobody writes into this pipe", str(path))
            block = file.read(min(BLOCK, most - len(found)))
            if not block:
                break
            found += block
    return bytes(found)


def _come(descriptor: int, patience: float) -> bool:
    """Whether there are bytes, or their end, before patience is."""
    # Not ``select``: a busy proxy's next file has a number that it does not take.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(patience * 1000))


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
