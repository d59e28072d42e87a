"""Server-sent events, read incrementally by the WHATWG rules.

Events end with a blank line; lines end with LF, CRLF or CR, in any mixture and split anywhere.
The reader only finds where events end; what is in them is looked at by those who need it, so that
a chunk of whole events that nobody needs costs a few searches and no loop.

Source: WHATWG HTML, 9.2.5 *Parsing an event stream* (as of 2026-11).
"""

from __future__ import annotations

import re

__all__ = ["LONGEST_EVENT", "EventReader", "data_of", "events_of"]

LONGEST_EVENT = 16 * 1024 * 1024
"""Bytes of one event that are kept; of a longer one nothing is, but where it ends."""

_BLANK = re.compile(rb"\r\n(?:\r\n|\r|\n)|\n(?:\r\n|\r|\n)|\r(?!\n)(?:\r\n|\r|\n)")
_EDGE = 3
"""The end of an event is at most four bytes long: so many of them may have come before."""
_BOM = b"\xef\xbb\xbf"


class EventReader:
    """Feed it bytes in any split; it gives back the bytes of whole events.

    Attributes:
        too_long: an event was longer than ``LONGEST_EVENT`` and was not kept.
    """

    __slots__ = ("_edge", "_parts", "_size", "too_long")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._edge = b""
        self.too_long = False

    @property
    def whole(self) -> bool:
        """Nothing of an unfinished event has been fed."""
        return not self._size

    def feed(self, data: bytes) -> bytes:
        """All events that are complete now, as they came; empty if there is none."""
        edge = self._edge
        seen = edge + data if edge else data
        end = _last_end(seen)
        if end < 0:
            self._keep(data, seen)
            return b""
        cut = end - len(edge)
        # The end may lie wholly in what came before, if a CR turned out to stand alone.
        cut = max(cut, 0)
        head, rest = data[:cut], data[cut:]
        if self._parts or self._size:
            whole = b"" if self._size > LONGEST_EVENT else b"".join([*self._parts, head])
            self._parts.clear()
        else:
            whole = head
        self._size = 0
        self._edge = b""
        if rest:
            self._keep(rest, rest)
        return whole

    def end(self) -> bytes:
        """What is left of an event that never ended."""
        left = b"" if self._size > LONGEST_EVENT else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        self._edge = b""
        return left

    def _keep(self, data: bytes, seen: bytes) -> None:
        self._edge = seen[-_EDGE:]
        self._size += len(data)
        if self._size > LONGEST_EVENT:
            self.too_long = True
            self._parts.clear()
        else:
            self._parts.append(data)


def _last_end(data: bytes) -> int:
    """Where the last event in ``data`` ends; -1: none does."""
    if b"\r" not in data:
        at = data.rfind(b"\n\n")
        return at + 2 if at >= 0 else -1
    end = -1
    for match in _BLANK.finditer(data):
        end = match.end()
    return end


def events_of(block: bytes) -> list[bytes]:
    """The events in a block of whole ones, each with its blank line; their sum is the block."""
    if b"\r" not in block:
        parts = block.split(b"\n\n")
        last = parts.pop()
        events = [part + b"\n\n" for part in parts]
        return [*events, last] if last else events
    events, start = [], 0
    for match in _BLANK.finditer(block):
        events.append(block[start : match.end()])
        start = match.end()
    return [*events, block[start:]] if start < len(block) else events


def data_of(event: bytes) -> bytes:
    """The event's data: its ``data`` fields, joined by LF."""
    if event.startswith(_BOM):
        event = event[len(_BOM) :]
    found = []
    for line in event.splitlines():
        if line.startswith(b"data:"):
            found.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line == b"data":
            found.append(b"")
    return found[0] if len(found) == 1 else b"\n".join(found)
