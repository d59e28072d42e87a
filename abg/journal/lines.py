"""A file to which whole lines are appended: one write for each, and never half a line for long.

When the disk takes only a part of a line (it is full, say), the part is cut off again at once;
where even that fails, it is remembered and cut before anything else is written. A reader, or the
next start after a crash, may see one torn line at the end, and never two half lines glued.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from abg.journal.files import Files, FileState

__all__ = ["LineFile"]


class LineFile:
    """An open file of lines.

    Args:
        path: made if it is not there; its folder must be.
        link: the path may be a symbolic link.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """

    def __init__(self, files: Files, path: Path, *, link: bool = True) -> None:
        self._files = files
        self._write = files.write
        self.path = path
        self.fd = files.open_append(path, link=link)
        try:
            state = files.state_of(self.fd)
            if not stat.S_ISREG(state.mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            files.make_private(self.fd)
        except OSError:
            files.close(self.fd)
            raise
        self.size = state.size
        """Bytes of whole lines as far as this writer knows: where the next one should begin."""
        self._torn = 0
        self._torn_end = 0
        self._separate = False

    def append(self, line: bytes) -> None:
        """Write one line (or several), all or nothing.

        Raises:
            OSError: nothing of it counts; the file ends with a whole line, or will be made to
                before the next one.
        """
        if self._torn:
            self._cut()
        if self._separate:
            line = b"\n" + line
        done = 0
        try:
            done = self._write(self.fd, line)
            while done < len(line):
                taken = self._write(self.fd, line[done:])
                if not taken:
                    raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
                done += taken
        except OSError:
            if done:
                self._tear(done)
            raise
        self._separate = False
        self.size += len(line)

    def cut_to(self, size: int) -> None:
        """Drop everything behind the first ``size`` bytes.

        Raises:
            OSError: it cannot be done; nothing has changed.
        """
        self._files.truncate(self.fd, size)
        self.size = size
        self._torn = 0

    def state(self) -> FileState:
        """The open file's state, whatever its name is now.

        Raises:
            OSError: the system does not say.
        """
        return self._files.state_of(self.fd)

    @property
    def torn(self) -> bool:
        """A part of a line is still to be cut off."""
        return self._torn > 0

    def _tear(self, done: int) -> None:
        self._torn = done
        # Normally size + done; less if somebody has truncated the file meanwhile.
        self._torn_end = self.size + done
        try:
            self._torn_end = self.state().size
            self._cut()
        except OSError:
            pass  # before the next line, then

    def _cut(self) -> None:
        if self.state().size == self._torn_end:
            self._files.truncate(self.fd, self._torn_end - self._torn)
        else:
            # Somebody has truncated the file or written behind the part: whatever it ends with
            # now, the next line begins on a line of its own.
            self._separate = True
        self._torn = 0
