"""Relaying a stream event by event: what was taken out is gone, all other bytes are as they came.

Used only where the stream may not simply pass: an event has to be taken out again, or the stream
must be able to be ended between two events.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from abg.dialects.sse import LONGEST

__all__ = ["Strainer"]

_LINE_END = rb"(?:\r\n|\n|\r(?!\n))"
_BLANK_LINE = re.compile(_LINE_END + _LINE_END)


class Strainer:
    """Withholds an unfinished event, and lets each through as ``change`` makes it.

    Args:
        change: told the raw bytes of an event (with its blank line, if it has come), gives what
            the client gets of it; None: each event passes as it is.
    """

    __slots__ = ("_change", "_looked", "_passing", "_tail")

    def __init__(self, change: Callable[[bytes], bytes] | None = None) -> None:
        self._change = change
        self._tail = bytearray()
        self._looked = 0
        self._passing = False
        """The event is too long to be withheld: it passes as it comes."""

    @property
    def between(self) -> bool:
        """What was relayed ends with an event."""
        return not self._passing

    def feed(self, data: bytes) -> bytes:
        """What can be relayed now."""
        if (
            not self._tail
            and not self._passing
            and data.endswith(b"\n\n")
            and b"\r" not in data
            and (self._change is None or data.find(b"\n\n") == len(data) - 2)
        ):
            return data if self._change is None else self._change(data)
        self._tail += data
        # A CR at the end may be half of a line end.
        whole = len(self._tail) - self._tail.endswith(b"\r")
        return self._relay(whole, ended=False)

    def end(self) -> bytes:
        """What was withheld, the last event perhaps without its blank line."""
        out = self._relay(len(self._tail), ended=True)
        rest = bytes(self._tail)
        self._tail.clear()
        if rest and not self._passing and self._change is not None:
            rest = self._change(rest)
        return out + rest

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
            if self._change is not None and not self._passing:
                event = self._change(event)
            out.append(event)
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
