"""The ledger file that is written now: where its chain of lines ends, and what changed it outside.

Other programs may move it (logrotate), truncate it (logrotate's copytruncate), replace it (an
editor) or append to it (a hand). Each is noticed by ``look``, which costs two system calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from pathlib import Path

from abg.journal.files import Files
from abg.journal.history import blocks_of, ledger_files
from abg.journal.lines import LineFile
from abg.journal.lock import InUse
from abg.journal.tail import Mended, mend
from abg.ledger import Damage, Entry, Event, decode, digest, encode
from abg.money import EXACT, ZERO

__all__ = ["Active", "Change", "missing_lines", "unseen_lines"]


MARGIN = 1 << 20
"""Bytes at the end of a copy that are searched beyond those that are looked for."""


LATELY_SECONDS = 600
"""Files that were written so long before the newest one cannot hold what was written just now."""


class Change(Enum):
    """What another program has done to the file since the last look."""

    NONE = "none"
    MOVED = "moved"
    """Its name is free, or names another file."""
    TRUNCATED = "truncated"
    GROWN = "grown"
    """Somebody has appended to it."""


class Active:
    """The file, and what the next line needs to know of it.

    Raises:
        InUse: another process writes it.
        OSError: it cannot be opened or its end cannot be mended.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self.file = LineFile(files, path)
        try:
            if not files.claim(self.file.fd):
                raise InUse(self.file.fd, path)
            self.mended: Mended | None = mend(files, self.file)
        except BaseException:
            files.close(self.file.fd)
            raise
        self.identity = ""
        """Digest of the first line."""
        self.tail = ""
        """Digest of the line that the next one follows, in this file or the one before it."""
        self.lines = 0
        self.spent: Decimal = ZERO
        self.unsynced: list[bytes] = []
        """Lines that may not be on the disk itself yet, for the owner to clear."""
        # What was written since the last look, and between the last two: an outside copy of the
        # file may lack these and nothing older.
        self._recent: list[bytes] = []
        self._before: list[bytes] = []
        self._looked_at = self.file.size

    def write(self, record: Entry | Event) -> None:
        """Append a record's line.

        Raises:
            OSError: nothing of it is written.
        """
        line = encode(record, self.tail)
        self.file.append(line)
        self._wrote(line, digest(line[:-1]), record)

    def write_all(self, records: Sequence[Entry | Event]) -> None:
        """Append several lines in one write: a crash leaves all or none.

        Raises:
            OSError: nothing of them is written.
        """
        written, tail = [], self.tail
        for record in records:
            line = encode(record, tail)
            tail = digest(line[:-1])
            written.append((line, tail, record))
        self.file.append(b"".join(line for line, _, _ in written))
        for line, tail, record in written:
            self._wrote(line, tail, record)

    def _wrote(self, line: bytes, tail: str, record: Entry | Event) -> None:
        self.tail = tail
        if not self.identity:
            self.identity = tail
        self.lines += 1
        self.unsynced.append(line)
        self._recent.append(line)
        self.spent = EXACT.add(self.spent, record.cost_usd)

    def recent(self) -> list[bytes]:
        """Lines of the last two looks, in order, with their line feeds."""
        return self._before + self._recent

    def look(self) -> Change:
        """What has changed since the last look.

        Raises:
            OSError: the system does not say.
        """
        named = self._files.state(self.file.path)
        own = self.file.state()
        if named is None or not named.same_file(own):
            return Change.MOVED
        if own.size < self.file.size:
            return Change.TRUNCATED
        if own.size > self.file.size and not self.file.torn:
            return Change.GROWN
        self._before, self._recent = self._recent, []
        self._looked_at = self.file.size
        return Change.NONE

    def reread(self) -> None:
        """After a change: take chain, count and sum from what the file holds now.

        Raises:
            OSError: it cannot be read; nothing is known that was not before.
        """
        before, self.file.size = self.file.size, self.file.state().size
        tail, identity, lines, spent = self.tail, "", 0, ZERO
        try:
            mend(self._files, self.file)
            for texts, _ in blocks_of(self._files, self.file.path):
                for text in texts:
                    lines += 1
                    if text.strip():
                        tail = digest(text)
                        identity = identity or tail
                        record = decode(text)
                        if not isinstance(record, Damage):
                            spent = EXACT.add(spent, record.cost_usd)
        except OSError:
            self.file.size = before
            raise
        self.tail, self.identity, self.lines, self.spent = tail, identity, lines, spent
        self.unsynced.clear()
        self._recent.clear()
        self._before.clear()
        self._looked_at = self.file.size

    def take_foreign(self) -> list[Entry | Event]:
        """After ``GROWN``: the records that others have appended, now counted here too.

        Raises:
            OSError: the file cannot be read.
        """
        ours = {digest(line[:-1]) for line in self._recent}
        self.file.size = self.file.state().size
        mend(self._files, self.file)
        records: list[Entry | Event] = []
        for texts, _ in blocks_of(self._files, self.file.path, self._looked_at):
            for text in texts:
                known = digest(text)
                if known not in ours:
                    self.lines += 1
                    record = decode(text)
                    if not isinstance(record, Damage):
                        records.append(record)
                        self.spent = EXACT.add(self.spent, record.cost_usd)
                if text.strip():
                    self.tail = known
        self._before, self._recent = self._recent, []
        self._looked_at = self.file.size
        return records


def unseen_lines(files: Files, fd: int, path: Path) -> list[bytes]:
    """Lines at the end of an open file that the file of that name, its edited copy, never had.

    They came while an editor was open. What the editor's user has changed or removed before them
    is left to him; where the two files have no line in common, all of it is.

    Raises:
        OSError: a file cannot be read.
    """
    copied = {digest(text) for texts, _ in blocks_of(files, path) for text in texts}
    lines = [text for texts, _ in blocks_of(files, fd) for text in texts]
    for place in range(len(lines) - 1, -1, -1):
        if digest(lines[place]) in copied:
            rest = lines[place + 1 :]
            return [line + b"\n" for line in rest if not isinstance(decode(line), Damage)]
    return []


def missing_lines(files: Files, path: Path, identity: str, lines: Sequence[bytes]) -> list[bytes]:
    """Those of the lines that neither the active file nor a copy of the former one holds.

    Args:
        identity: of the file in which they were written. If no copy of it is found, somebody has
            thrown it away on purpose, and nothing is missing.

    Raises:
        OSError: a file cannot be read.
    """
    wanted = {digest(line[:-1]): line for line in lines}
    history = ledger_files(files, path)
    if not any(file.identity == identity and file.path != path for file in history):
        return []
    lately = max(file.modified for file in history) - LATELY_SECONDS
    for file in history:
        # Whichever file was written lately: it may have been truncated and moved at once.
        if file.identity == identity or file.modified >= lately:
            # Of a plain file only the end can hold them.
            end = sum(len(line) for line in lines) + MARGIN
            offset = 0 if file.packed else max(0, file.size - end)
            for texts, _ in blocks_of(files, file.path, offset):
                for text in texts:
                    wanted.pop(digest(text), None)
    return list(wanted.values())
