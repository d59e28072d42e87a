"""A file to which whole lines are appended: one write for each, and never half a line for long.

When the disk takes only a part of a line (it is full, say), the part is cut off again at once;
where even that fails, it is remembered and cut before anything else is written. A reader, or the
next start after a crash, may see one torn line at the end, and never two half lines glued.
"""

from __future__ import annotations

from pathlib import Path

from abg.journal.files import Files, FileState

__all__ = ["LineFile"]


class LineFile:
    """An open file of lines.

    Args:
        path: made if it is not there; its folder must be.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self.path = path
        self.fd = files.open_append(path)
        try:
            state = files.state_of(self.fd)
        except OSError:
            files.close(self.fd)
            raise
        self.size = state.size
        """Bytes of whole lines: where the next one begins."""
        self._torn = 0

    def append(self, line: bytes) -> None:
        """Write one line (or several), all or nothing.

        Raises:
            OSError: nothing of it counts; the file ends with a whole line, or will be made to
                before the next one.
        """
        if self._torn:
            self._cut()
        done = 0
        try:
            done = self._files.write(self.fd, line)
            while done < len(line):
                taken = self._files.write(self.fd, line[done:])
                if not taken:
                    raise OSError(28, "No space left on device")
                done += taken
        except OSError:
            if done:
                self._torn = done
                try:
                    self._cut()
                except OSError:
                    pass  # before the next line, then
            raise
        self.size += len(line)

    def _cut(self) -> None:
        # Somebody may have truncated the file since: then the torn part is gone, and cutting
        # "back" would fill the file up with NUL bytes.
        if self._files.state_of(self.fd).size >= self.size + self._torn:
            self._files.truncate(self.fd, self.size)
        self._torn = 0

    def cut_to(self, size: int) -> None:
        """Drop everything behind the first ``size`` bytes."""
        self._files.truncate(self.fd, size)
        self.size = size
        self._torn = 0

    def state(self) -> FileState:
        return self._files.state_of(self.fd)
