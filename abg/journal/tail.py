"""The end of a file that a crash or a power loss has left: made whole before anything follows.

- A last line that is whole but for its line feed gets one.
- A last line that breaks off is cut, and so are NUL bytes, which is what a power loss leaves of
  blocks that were not written yet. What was cut is told, so that it can be recorded.
"""

from __future__ import annotations

from collections import deque

from attrs import frozen

from abg.journal.files import Files
from abg.journal.history import LONGEST
from abg.journal.lines import LineFile
from abg.ledger import Damage, decode

__all__ = ["Mended", "mend"]

BLOCK = 1 << 16
SHOWN = 300
"""Bytes of what was cut that are kept in the record of it."""


@frozen
class Mended:
    """What was done to the end of a file."""

    what: str
    """``completed`` or ``cut``."""
    offset: int
    """Where the line begins."""
    size: int
    """Bytes cut."""
    text: str = ""
    """The beginning of what was cut."""


def mend(files: Files, file: LineFile) -> Mended | None:
    """Make the file end with a whole line; None: it does already.

    Raises:
        OSError: it cannot be read or changed.
    """
    begin, tail = _last_line(files, file) if file.size else (0, b"")
    if not tail:
        return None
    size = file.size - begin
    text = tail.rstrip(b"\0")
    if text.strip() and not isinstance(decode(text), Damage):
        file.cut_to(begin + len(text))
        file.append(b"\n")
        return Mended("completed", begin, size - len(text))
    file.cut_to(begin)
    shown = text.lstrip(b"\0")[:SHOWN].decode("utf-8", "backslashreplace")
    return Mended("cut", begin, size, shown)


def _last_line(files: Files, file: LineFile) -> tuple[int, bytes]:
    """Where the last line without a line feed begins, and its bytes; of one that is longer than
    any line the first ones."""
    end = file.size
    blocks: deque[bytes] = deque(maxlen=LONGEST // BLOCK)
    """From the last to the first: joined once, for there may be very many of them."""
    with files.read(file.path) as stream:
        while end:
            begin = max(0, end - BLOCK)
            stream.seek(begin)
            block = stream.read(end - begin)
            at = block.rfind(b"\n")
            blocks.append(block[at + 1 :])
            if at >= 0:
                return begin + at + 1, b"".join(reversed(blocks))
            end = begin
    return 0, b"".join(reversed(blocks))
