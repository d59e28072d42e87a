"""Where a running stream can be ended: between two events of what its client has got.

Only calls under ``cut_streams`` have an ``Ending``. Until a cut is wanted it keeps a reference to
the last piece and looks at nothing.
"""

from __future__ import annotations

import re

__all__ = ["Ending"]

_BLANK_LINE = re.compile(rb"\n\n|\r\n\r\n|\r\r")
_LONGEST_BLANK = 4


class Ending:
    """Follows one stream; a cut that is wanted inside an event waits for the end of it."""

    __slots__ = ("last", "message", "reason")

    def __init__(self) -> None:
        self.last = b""
        """The piece that was relayed last."""
        self.message = ""
        """What the client is told; empty: nobody wants a cut."""
        self.reason = ""

    @property
    def between(self) -> bool:
        """What was relayed ends with an event."""
        return self.last.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))

    def up_to_event(self, data: bytes) -> int | None:
        """How many bytes of the next piece finish the event that has begun; None: it goes on."""
        before = self.last[1 - _LONGEST_BLANK :]
        for blank in _BLANK_LINE.finditer(before + data):
            size = blank.end() - len(before)
            if size > 0:
                return size
        self.last = (before + data)[-_LONGEST_BLANK:]
        return None
