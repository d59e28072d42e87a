"""One writer for each ledger: a lock that dies with its process, and a note of who holds it.

The lock itself is the operating system's (``flock``): it cannot go stale, since a dead process
holds nothing. The file's content, ``{"pid", "host", "port", "started", "version"}``, is only for
people and for ``abg run``, which finds a running proxy by it.
"""

from __future__ import annotations

import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from attrs import frozen

from abg.errors import LedgerLocked, LedgerUnavailable
from abg.journal.files import NOFOLLOW

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]
    import msvcrt

__all__ = ["Holder", "Lock", "holder", "lock_path"]

PATIENCE = 10
"""How often a taken lock is tried again: a reader holds it for an instant when it asks."""
PAUSE_SECONDS = 0.03

_FAR = 1 << 30
"""On Windows a locked byte cannot be read by others, so one far behind the text is locked."""


@frozen
class Holder:
    """Who writes a ledger now."""

    pid: int
    host: str | None = None
    port: int | None = None
    """None: not listening yet."""
    started: str = ""
    version: str = ""

    def __str__(self) -> str:
        where = f", http://{self.host}:{self.port}" if self.port else ""
        since = f", since {self.started}" if self.started else ""
        return f"process {self.pid}{where}{since}"


def lock_path(ledger: Path) -> Path:
    """The lock file of a ledger; one ledger under two names has one lock."""
    real = Path(os.path.realpath(ledger))
    return real.with_name(real.name + ".lock")


class Lock:
    """The right to write a ledger, held until ``release`` or the end of the process.

    Raises:
        LedgerLocked: another process has it; the text says which, and what to do.
        LedgerUnavailable: the lock file cannot be made.
    """

    def __init__(self, ledger: Path, started: datetime, version: str = "") -> None:
        self.path = lock_path(ledger)
        self._started = started.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | NOFOLLOW, 0o600)
        except OSError as error:
            raise LedgerUnavailable(f"{error.strerror}: {self.path}") from error
        for _ in range(PATIENCE):
            if _try_lock(self._fd, exclusive=True):
                break
            time.sleep(PAUSE_SECONDS)
        else:
            who = _read(self._fd)
            os.close(self._fd)
            raise LedgerLocked(
                f"the ledger {ledger} is in use by another abg"
                f" ({who or 'which has not said who it is'}); "
                "stop that one, or give this one a ledger_file of its own"
            )
        self.announce(None, None, version)

    def announce(self, host: str | None, port: int | None, version: str) -> None:
        """Say in the lock file who holds it and where it listens."""
        note: dict[str, Any] = {
            "pid": os.getpid(),
            "host": host,
            "port": port,
            "started": self._started,
            "version": version,
        }
        self._write((json.dumps(note) + "\n").encode())

    def release(self) -> None:
        """Give the right back. The file stays: removing it would let two hold it at once."""
        if self._fd >= 0:
            self._write(b"")
            os.close(self._fd)
            self._fd = -1

    def _write(self, text: bytes) -> None:
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.write(self._fd, text)
            os.ftruncate(self._fd, len(text))
        except OSError:
            pass  # a full disk: the lock holds all the same


def holder(ledger: Path) -> Holder | None:
    """Who writes this ledger now; None: nobody. Never disturbs the one who does."""
    try:
        fd = os.open(lock_path(ledger), os.O_RDONLY)
    except OSError:
        return None
    try:
        for _ in range(PATIENCE):
            if _try_lock(fd, exclusive=False):
                return None
            who = _read(fd)
            if who is not None:
                return who
            time.sleep(PAUSE_SECONDS)  # it is just writing it
        return Holder(0)
    finally:
        os.close(fd)


def _read(fd: int) -> Holder | None:
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        note = json.loads(os.read(fd, 4096))
        port = note.get("port")
        return Holder(
            int(note["pid"]),
            note.get("host"),
            None if port is None else int(port),
            str(note.get("started", "")),
            str(note.get("version", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _try_lock(fd: int, *, exclusive: bool) -> bool:
    if fcntl is None:  # pragma: no cover
        os.lseek(fd, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        if not exclusive:
            os.lseek(fd, _FAR, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
        return True
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if exclusive:
            raise LedgerUnavailable(
                f"the file system of the ledger knows no locks ({error.strerror}); "
                "put ledger_file on a local disk"
            ) from error
        return False
    return True
