"""Relaying a stream event by event: what was taken out is gone, all other bytes are as they came.

Used only where the stream may not simply pass: an event has to be taken out again, or the stream
must be able to be ended between two events.
"""

from __future__ import annotations

import re
from typing import Protocol

from abg.dialects.sse import LONGEST, are_whole

__all__ = ["Change", "Strainer"]

_LINE_END = rb"(?:\r\n|\n|\r(?!\n))"
_BLANK_LINE = re.compile(_LINE_END + _LINE_END)


class Change(Protocol):
    """What is done to the events of a stream, in raw bytes."""

    def event(self, event: bytes) -> bytes:
        """What the client gets of one event, its blank line included if it has come."""

    def events(self, data: bytes) -> bytes | None:
        """What the client gets of a piece of whole events; None: look at them one by one."""


class Strainer:
    """Withholds an unfinished event, and lets each through as ``change`` makes it."""

    __slots__ = ("_change", "_looked", "_passing", "_tail", "empty")

    def __init__(self, change: Change | None = None) -> None:
        self._change = change
        self._tail = bytearray()
        self._looked = 0
        self._passing = False
        """The event is too long to be withheld: it passes as it comes."""
        self.empty = True
        """Nothing is withheld, and what was relayed ends with an event."""

    @property
    def between(self) -> bool:
        """What was relayed ends with an event."""
        return not self._passing

    def feed(self, data: bytes) -> bytes:
        """What can be relayed now."""
        if self.empty and are_whole(data):
            changed = self.feed_whole(data)
            if changed is not None:
                return changed
        self._tail += data
        # A CR at the end may be half of a line end.
        whole = len(self._tail) - self._tail.endswith(b"\r")
        out = self._relay(whole, ended=False)
        self.empty = not self._tail and not self._passing
        return out

    def feed_whole(self, data: bytes) -> bytes | None:
        """The same for whole events after whole events; None where each has to be looked at."""
        return data if self._change is None else self._change.events(data)

    def end(self) -> bytes:
        """What was withheld, the last event perhaps without its blank line."""
        out = self._relay(len(self._tail), ended=True)
        rest = bytes(self._tail)
        self._tail.clear()
        return out + (rest if self._passing or not rest else self._changed(rest))

    def _changed(self, event: bytes) -> bytes:
        """One event; what is too long to be withheld passes in any split."""
        if self._change is None or len(event) > LONGEST:
            return event
        return self._change.event(event)

    def _relay(self, whole: int, *, ended: bool) -> bytes:
        tail = self._tail
        out: list[bytes] = []
        done = 0
        while True:
            blank = _BLANK_LINE.search(tail, max(self._looked, done), whole)
            if blank is None:
                break
            event = bytes(tail[done : blank.end()])
            done = blank.end()
            out.append(event if self._passing else self._changed(event))
            self._passing = False
        del tail[:done]
        whole -= done
        # The last three bytes may be the beginning of a blank line.
        self._looked = max(0, whole - 3)
        if not ended and (self._passing or len(tail) > LONGEST + 4):
            self._passing = True
            out.append(bytes(tail[: self._looked]))
            del tail[: self._looked]
            self._looked = 0
        return b"".join(out)
