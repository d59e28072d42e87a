"""A disk that fails or kills at will: for the tests, and for the crash torture that ships with abg.

::

    disk = FaultyFiles()
    disk.fail("sync", errno.EIO)            # every sync from now on
    disk.fail("write", errno.ENOSPC, part=10)  # a write takes 10 bytes, the next one fails
    disk.heal()
    disk.die_at(17, "in")                   # the 17th change from now on kills: half done
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import BinaryIO, TypeVar

from abg.journal.files import Files, FileState, fcntl

__all__ = ["CHANGES", "OPERATIONS", "Died", "FaultyFiles", "PowerCut"]

T = TypeVar("T")

CHANGES = (
    "open_append",
    "create",
    "write",
    "overwrite",
    "sync",
    "sync_folder",
    "truncate",
    "replace",
    "rename_new",
)
"""Operations that change the disk, or the promise of what is on it."""

OPERATIONS = (*CHANGES, "close", "state_of", "state", "make_private", "names", "read")


class Died(BaseException):
    """The process has "died": nothing that comes after may touch the disk."""


def kill() -> None:
    """Die as a process that is killed does: at once, nothing flushed, nothing told."""
    os.kill(os.getpid(), signal.SIGKILL)


class FaultyFiles(Files):
    """The real disk, with faults, and without the waiting: syncs are only counted.

    Args:
        die: called at the chosen change; by default it raises ``Died``, and from then on every
            operation does.
    """

    def __init__(self, die: Callable[[], None] | None = None) -> None:
        self.done: Counter[str] = Counter()
        """How often each operation was asked for."""
        self._die = die
        self._dead = False
        self._claimed: list[int] = []
        self._fatal: tuple[int, str] | None = None
        self._errors: dict[str, int] = {}
        self._part: int | None = None
        self._parted = False
        self._slow: dict[str, float] = {}

    def fail(self, operation: str, error: int, part: int | None = None) -> None:
        """Let every such operation fail from now on. ``part``: a write takes that many bytes."""
        self._errors[operation] = error
        if operation == "write":
            self._part = part

    def shorten(self, most: int) -> None:
        """Let a write take at most so many bytes, without an error."""
        self._part = most

    def slow(self, operation: str, seconds: float) -> None:
        """Let every such operation take so long."""
        self._slow[operation] = seconds

    def heal(self) -> None:
        """All faults are over."""
        self._errors.clear()
        self._slow.clear()
        self._part = None

    def die_at(self, change: int, moment: str) -> None:
        """Die at that change from now on (1: the next), ``before``, ``in`` or ``after`` it."""
        self._fatal = (change, moment)

    # -- the operations ----------------------------------------------------------------------

    def open_append(self, path: Path, *, link: bool = True) -> int:
        return self._do(
            "open_append", lambda: super(FaultyFiles, self).open_append(path, link=link)
        )

    def create(self, path: Path) -> int:
        return self._do("create", lambda: super(FaultyFiles, self).create(path))

    def write(self, fd: int, data: bytes) -> int:
        part = self._part
        if part is not None and "write" in self._errors and not self._parted:
            self._check()
            self._parted = True  # the next write is of the rest of the line, and fails
            return super().write(fd, data[:part])
        self._parted = False
        if part is not None:
            data = data[:part]
        return self._do(
            "write",
            lambda: super(FaultyFiles, self).write(fd, data),
            lambda: super(FaultyFiles, self).write(fd, data[: len(data) // 2]),
        )

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        half = data[: len(data) // 2]
        self._do(
            "overwrite",
            lambda: super(FaultyFiles, self).overwrite(path, offset, data),
            lambda: super(FaultyFiles, self).overwrite(path, offset, half),
        )

    def sync(self, fd: int) -> None:
        self._do("sync", lambda: None)  # a process that dies takes nothing from the system

    def sync_folder(self, folder: Path) -> None:
        self._do("sync_folder", lambda: None)

    def truncate(self, fd: int, size: int) -> None:
        self._do("truncate", lambda: super(FaultyFiles, self).truncate(fd, size))

    def replace(self, source: Path, target: Path) -> None:
        self._do("replace", lambda: super(FaultyFiles, self).replace(source, target))

    def rename_new(self, source: Path, target: Path) -> None:
        self._do("rename_new", lambda: super(FaultyFiles, self).rename_new(source, target))

    def claim(self, fd: int) -> bool:
        self._claimed.append(fd)
        return super().claim(fd)

    def close(self, fd: int) -> None:
        try:
            self._do("close", lambda: super(FaultyFiles, self).close(fd))
        except OSError:
            super().close(fd)  # as Linux does it, whatever it says
            raise

    def state_of(self, fd: int) -> FileState:
        return self._do("state_of", lambda: super(FaultyFiles, self).state_of(fd))

    def state(self, path: Path) -> FileState | None:
        return self._do("state", lambda: super(FaultyFiles, self).state(path))

    def make_private(self, fd: int) -> None:
        self._do("make_private", lambda: super(FaultyFiles, self).make_private(fd))

    def names(self, folder: Path) -> list[str]:
        return self._do("names", lambda: super(FaultyFiles, self).names(folder))

    def read(self, path: Path) -> BinaryIO:
        return self._do("read", lambda: super(FaultyFiles, self).read(path))

    def read_open(self, fd: int) -> BinaryIO:
        return self._do("read", lambda: super(FaultyFiles, self).read_open(fd))

    # -- inside ------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._dead:
            raise Died

    def _do(
        self, operation: str, act: Callable[[], T], in_part: Callable[[], object] | None = None
    ) -> T:
        self._check()
        self.done[operation] += 1
        if operation in self._slow:
            time.sleep(self._slow[operation])
        error = self._errors.get(operation)
        if error is not None:
            raise OSError(error, os.strerror(error))
        moment = self._moment(operation)
        if moment == "before":
            self._end()
        if moment == "in" and in_part is not None:
            in_part()
            self._end()
        result = act()
        if moment is not None:
            self._end()
        return result

    def _moment(self, operation: str) -> str | None:
        if self._fatal is None or operation not in CHANGES:
            return None
        left, moment = self._fatal
        self._fatal = (left - 1, moment)
        return moment if left == 1 else None

    def _end(self) -> None:
        self._dead = True
        if fcntl is not None:
            for fd in self._claimed:  # as the system does it for who is dead in earnest
                with suppress(OSError):
                    fcntl.flock(fd, fcntl.LOCK_UN)
        (self._die or self._raise)()

    def _raise(self) -> None:
        raise Died


class PowerCut(FaultyFiles):
    """A disk that forgets what was not synced, when the power goes.

    Names and lengths are taken to be safe at once, as a file system that keeps a journal of its
    own metadata does it: the worst for us, since lengths can then run ahead of contents.
    """

    def __init__(self) -> None:
        super().__init__()
        self._safe: dict[tuple[int, int], int] = {}

    def sync(self, fd: int) -> None:
        super().sync(fd)
        state = self.state_of(fd)
        self._safe[state.device, state.inode] = state.size

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        state = self.state_of(fd)
        key = (state.device, state.inode)
        self._safe[key] = min(self._safe.get(key, 0), size)

    def cut(self, folder: Path, chance: Random) -> None:
        """Leave of each file what was synced, and of the rest a part, or NUL bytes, or both."""
        for path in folder.iterdir():
            state = path.stat()
            safe = self._safe.get((state.st_dev, state.st_ino), 0)
            rest = path.read_bytes()[safe:]
            kept = rest[: chance.randint(0, len(rest))]
            nuls = chance.choice([0, 0, len(rest) - len(kept)])
            with path.open("r+b") as file:
                file.truncate(safe)
                file.seek(safe)
                file.write(kept + bytes(nuls))
