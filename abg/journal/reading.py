"""For those who only read: every record of a ledger, while a proxy writes and others rotate it.

Files are listed, read, and listed again until nothing new has come in between: a file that was
moved is known by its first line, and one that was truncated while it was read is read on in its
copy. So each line comes once, in the order of the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from attrs import define

from abg.journal.files import Files
from abg.journal.history import LedgerFile, blocks_of, ledger_files, length_of
from abg.ledger import Damage, Entry, Event, decode, digest

__all__ = ["read_ledger"]

PASSES = 6
"""How often files are listed at most, should somebody rotate faster than anyone reads."""


@define
class _Read:
    """How far the file with a certain first line has been read."""

    offset: int = 0
    lines: int = 0
    whole: bool = False
    """All that it held when it was listed."""


def read_ledger(path: Path, files: Files | None = None) -> Iterator[Entry | Event | Damage]:
    """Every record of a ledger, over all its files, oldest file first.

    Never disturbs the proxy that writes. A line that is just being written is left out; damaged
    ones come as ``Damage`` with their place.

    Raises:
        OSError: a file cannot be read.
    """
    files = files or Files()
    active = Path(os.path.realpath(path))
    known: dict[str, _Read] = {}
    for _ in range(PASSES):
        history = [file for file in ledger_files(files, active) if file.identity]
        if all(file.identity in known and known[file.identity].whole for file in history):
            return
        for file in history:
            try:
                yield from _rest(files, file, known.setdefault(file.identity, _Read()))
            except FileNotFoundError:
                pass  # moved since it was listed: the next pass finds it


def _rest(files: Files, file: LedgerFile, read: _Read) -> Iterator[Entry | Event | Damage]:
    """The records of a file from where an earlier pass has left it."""
    skip = read.offset if file.packed else 0
    fresh = not read.offset
    for texts, whole in blocks_of(files, file.path, 0 if file.packed else read.offset):
        for text in texts:
            if skip > 0:
                skip -= length_of(text) + 1
                continue
            if fresh and text.strip():
                fresh = False
                if digest(text) != file.identity:
                    return  # another file took this name since it was listed
            record = decode(text) if text.strip() else None
            if not whole and (record is None or isinstance(record, Damage)):
                break  # it is just being written
            read.lines += 1
            if isinstance(record, Damage):
                yield record.at(file.path.name, read.lines, read.offset)
            elif record is not None:
                yield record
            read.offset += length_of(text) + 1
    state = files.state(file.path)
    read.whole = file.packed or (state is not None and state.size >= file.size)
