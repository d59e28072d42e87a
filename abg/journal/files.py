"""Every touch of the disk that the journal makes: one narrow seam, so that faults can be injected.

Nothing here decides anything; each method is one operation of the operating system, and raises
``OSError`` where that does.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

__all__ = ["NOFOLLOW", "FileState", "Files", "fcntl"]

MODE = 0o600
"""Who spends how much on what is nobody else's business."""

_BINARY: int = getattr(os, "O_BINARY", 0)  # Windows would turn \n into \r\n
_CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)
_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)  # a FIFO of that name keeps nobody waiting
NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
"""For files beside the ledger: a cloned repository may bring links of their names, which lead to
the user's own files. The ledger itself may be a link, and where it leads was checked."""


@frozen
class FileState:
    """Which file it is, and how long."""

    device: int
    inode: int
    size: int
    modified: float
    """Seconds since the epoch."""
    mode: int
    links: int
    """Names that it has; 0: it goes when the last one closes it."""

    def same_file(self, other: FileState) -> bool:
        """Two names, or a name and an open file, for one and the same file."""
        return (self.device, self.inode) == (other.device, other.inode)


def _state(result: os.stat_result) -> FileState:
    return FileState(
        result.st_dev,
        result.st_ino,
        result.st_size,
        result.st_mtime,
        result.st_mode,
        result.st_nlink,
    )


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | _NONBLOCK)


class Files:
    """The real disk. Tests and the crash torture use subclasses of it."""

    def open_append(self, path: Path, *, link: bool = True) -> int:
        """Open for reading and appending; a new file belongs to the user alone.

        Args:
            link: the path may be a symbolic link.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | _BINARY | _CLOEXEC
        return os.open(path, flags if link else flags | NOFOLLOW, MODE)

    def create(self, path: Path) -> int:
        """A new file, or an old one emptied, for writing; never what a link leads to."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | _BINARY | _CLOEXEC
        return os.open(path, flags | NOFOLLOW, MODE)

    def write(self, fd: int, data: bytes) -> int:
        """As many bytes as the disk took, which may be fewer."""
        return os.write(fd, data)

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        """Write over bytes that are there already, so that they will be synced again."""
        fd = os.open(path, os.O_WRONLY | _BINARY | _CLOEXEC)
        try:
            os.lseek(fd, offset, os.SEEK_SET)
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)

    def sync(self, fd: int) -> None:
        """Return when the file's bytes are on the disk itself."""
        os.fsync(fd)

    def sync_folder(self, folder: Path) -> None:
        """Return when the folder's names are on the disk; does nothing where that is unknown."""
        if os.name != "posix":  # pragma: no cover
            return
        fd = os.open(folder, os.O_RDONLY | _CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def claim(self, fd: int) -> bool:
        """Lock an open file until it is closed; False: another process has locked it."""
        if fcntl is not None:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError:
                pass  # a file system without locks: the lock file says so
        return True

    def close(self, fd: int) -> None:
        os.close(fd)

    def state_of(self, fd: int) -> FileState:
        """The open file's own state, whatever its name is now."""
        return _state(os.fstat(fd))

    def state(self, path: Path) -> FileState | None:
        """The state of the file with that name; None: there is none."""
        try:
            return _state(os.stat(path))
        except FileNotFoundError:
            return None

    def make_private(self, fd: int) -> None:
        """Take group's and others' rights away, where the system knows them."""
        if hasattr(os, "fchmod"):
            with contextlib.suppress(PermissionError):  # another user's file that we may write
                os.fchmod(fd, MODE)

    def replace(self, source: Path, target: Path) -> None:
        """Rename, over an old file if there is one, in one step."""
        os.replace(source, target)

    def rename_new(self, source: Path, target: Path) -> None:
        """Rename; raises ``FileExistsError`` rather than lose another file."""
        if os.path.lexists(target):
            raise FileExistsError(f"{target} exists")
        os.rename(source, target)

    def names(self, folder: Path) -> list[str]:
        return os.listdir(folder)

    def read(self, path: Path) -> BinaryIO:
        """The file for reading, unbuffered whole blocks are up to the caller."""
        return open(path, "rb", opener=_open_at_once)

    def read_open(self, fd: int) -> BinaryIO:
        """An open file for reading, from its beginning, whatever its name is now."""
        stream = os.fdopen(os.dup(fd), "rb")
        stream.seek(0)
        return stream

    def read_all(self, path: Path) -> bytes | None:
        """All bytes of a small file; None: there is none."""
        try:
            with self.read(path) as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def save(self, path: Path, data: bytes) -> None:
        """Replace a whole file so that a crash leaves the old one or the new one."""
        beside = path.with_name(path.name + ".new")
        try:
            fd = self.create(beside)
            try:
                rest = data
                while rest:
                    rest = rest[self.write(fd, rest) :]
                self.sync(fd)
            finally:
                self.close(fd)
            self.replace(beside, path)
        except OSError:
            self.remove(beside)  # on a full disk it would take what the ledger needs
            raise
        self.sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        """Remove a file that nobody needs, if it can be."""
        with contextlib.suppress(OSError):
            os.unlink(path)
