"""One writer for each ledger: a lock that dies with its process, and a note of who holds it.

The lock itself is the operating system's (``flock``): it cannot go stale, since a dead process
holds nothing. The file's content, ``{"pid", "host", "port", "started", "version"}``, is only for
people and for ``abg run``, which finds a running proxy by it. The ledger's own file is locked as
well (``Files.claim``): it is the same by another of its names, and where the lock file was removed.
"""

from __future__ import annotations

import errno
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

__all__ = ["Holder", "InUse", "Lock", "holder", "lock_path"]

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


class InUse(OSError):
    """Another process writes this very file of the ledger."""

    def __init__(self, fd: int, path: Path) -> None:
        super().__init__(errno.EAGAIN, f"it is in use by another abg{_who(fd)}", str(path))


def _who(fd: int) -> str:
    """The process that has locked a file, where the system tells (Linux)."""
    try:
        state = os.fstat(fd)
        device = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}"
        wanted = f"{device}:{state.st_ino}"
        for row in Path("/proc/locks").read_text("ascii").splitlines():
            words = row.split()
            if wanted in words and "FLOCK" in words:
                return f" (process {words[words.index(wanted) - 1]})"
    except (OSError, ValueError):
        pass
    return ""


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
            self._fd = self._open()
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

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT | NOFOLLOW, 0o600)

    def look(self) -> None:
        """Make the file again if somebody has removed it: ``abg run`` finds us by it."""
        try:
            named = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            pass
        except OSError:
            return
        else:
            if os.path.samestat(named, os.fstat(self._fd)):
                return
        try:
            fresh = self._open()
        except OSError:
            return
        if _try_lock(fresh, exclusive=True):
            os.close(self._fd)
            self._fd = fresh
            self._write(self._note)
        else:
            os.close(fresh)

    def announce(self, host: str | None, port: int | None, version: str) -> None:
        """Say in the lock file who holds it and where it listens."""
        note: dict[str, Any] = {
            "pid": os.getpid(),
            "host": host,
            "port": port,
            "started": self._started,
            "version": version,
        }
        self._note = (json.dumps(note) + "\n").encode()
        self._write(self._note)

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
        fd = os.open(lock_path(ledger), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
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
