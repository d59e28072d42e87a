"""Where the console's lines go: decoration, which never stops the guard.

Nobody may read them (a closed pipe or terminal), and the terminal may know fewer characters than
the names of sessions have.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Console", "tell", "write_out"]


class Console:
    """Standard output, written once a turn of the reactor: a swarm prints many lines at once."""

    def __init__(self, stream: Any, reactor: Any) -> None:
        self._stream = stream
        self._reactor = reactor
        self._lines: list[str] = []

    def say(self, line: str) -> None:
        if not self._lines:
            self._reactor.callLater(0, self.flush)
        self._lines.append(line)
        if not self._reactor.running:
            self.flush()

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if not lines:
            return
        write_out(self._stream, "\n".join(lines))


def write_out(stream: Any, text: str) -> None:
    """Write lines, flushed; what the console's own coding lacks is escaped, never left out."""
    try:
        if not text.isascii():
            coding = getattr(stream, "encoding", None) or "utf-8"
            text = text.encode(coding, "backslashreplace").decode(coding)
        stream.write(text + "\n")
        stream.flush()
    except (OSError, ValueError, LookupError):
        pass


def tell(line: str) -> None:
    """One line on standard output, as ``print`` does, but never an exception."""
    write_out(sys.stdout, line)
