"""Server-sent events, read incrementally by the rules of the WHATWG.

HTML Living Standard, 9.2.5 and 9.2.6: lines end with LF, CR or CRLF; a blank line ends an event; a
byte order mark may come first; a line that begins with a colon is a comment. Two things are more
lenient than there: an event at the end of the stream counts without its blank line, since the
vendor has sent (and billed) it; and bytes stay bytes.

An event longer than ``LONGEST`` is left out and ``too_long`` is set; memory stays bounded by it.

The common case is a piece of whole events with LF line ends: it costs one ``split``. Everything
else, any split of the bytes included, takes the careful way and gives the same events.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["LONGEST", "EventReader", "are_whole", "fields_of"]

LONGEST = (16 << 20) + (64 << 10)
"""Bytes of an event: a line of 16 MB, and something beside it."""
_BOM = b"\xef\xbb\xbf"


class EventReader:
    """Cuts a stream into events.

    Events come as their lines joined by LF, without the blank line; some may be empty or have
    empty lines at their beginning, which mean nothing.
    """

    __slots__ = (
        "_after_cr",
        "_begun",
        "_newline",
        "_skipping",
        "_tail",
        "between",
        "too_long",
    )

    def __init__(self) -> None:
        self.between = False
        """All that was fed belongs to events that have ended, and it was not nothing."""
        self._begun = False
        self._after_cr = False
        self._tail = bytearray()
        self._newline = False
        """The unfinished event ends with a line end: one more finishes it."""
        self._skipping = False
        self.too_long = False
        """An event was left out because of its length."""

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The events that end in this piece."""
        first = not (self._begun or self._tail or data.startswith(_BOM))
        if (self.between or first) and are_whole(data):
            self._begun = self.between = True
            return data.split(b"\n\n")
        events = self._feed(data)
        self.between = self._begun and not (self._tail or self._skipping or self._after_cr)
        return events

    def end(self) -> Sequence[bytes]:
        """The last event, if the stream ended without its blank line."""
        rest = bytes(self._tail)
        self._tail.clear()
        return (rest,) if rest else ()

    def _feed(self, data: bytes) -> Sequence[bytes]:
        if not data:
            return ()
        if not self._begun:
            data = bytes(self._tail) + data
            self._tail.clear()
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._tail += data
                return ()
            self._begun = True
            if data.startswith(_BOM):
                data = data[len(_BOM) :]
        data = self._with_line_feeds(data)
        events: list[bytes] = []
        if self._tail or self._skipping:
            if self._newline and data.startswith(b"\n"):
                finish, rest = b"", data[1:]
            else:
                at = data.find(b"\n\n")
                if at < 0:
                    self._keep(data)
                    return ()
                finish, rest = data[:at], data[at + 2 :]
            if not self._skipping:
                self._tail += finish
                self._add(events, bytes(self._tail))
                self._tail.clear()
            self._skipping = False
            data = rest
        at = data.rfind(b"\n\n")
        if at >= 0:
            for event in data[:at].split(b"\n\n"):
                self._add(events, event)
            data = data[at + 2 :]
        if data:
            self._keep(data)
        return events

    def _with_line_feeds(self, data: bytes) -> bytes:
        """Every line end as one LF, also where a CRLF falls into two pieces."""
        if self._after_cr:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _add(self, events: list[bytes], event: bytes) -> None:
        if len(event) <= LONGEST or len(event.strip(b"\n")) <= LONGEST:
            events.append(event)
        else:
            self.too_long = True

    def _keep(self, data: bytes) -> None:
        if data:
            self._newline = data.endswith(b"\n")
        if self._skipping:
            return
        self._tail += data
        # Two more for line ends that may turn out not to belong to it.
        if len(self._tail) > LONGEST + 2:
            self._tail.clear()
            self._skipping = True
            self.too_long = True


def are_whole(data: bytes) -> bool:
    """Whether a piece that begins with an event is whole events with LF line ends."""
    return data.endswith(b"\n\n") and data.find(b"\r") < 0 and len(data) < LONGEST


def fields_of(event: bytes) -> tuple[bytes, bytes]:
    """Name and data of an event; both empty if it has none.

    >>> fields_of(b": hello\\nevent: a\\ndata: 1\\ndata:2")
    (b'a', b'1\\n2')
    """
    at = event.find(b"\n")
    if event.startswith(b"event: ") and event.startswith(b"data: ", at + 1):
        # As both vendors write them: a line for each, and perhaps the blank one.
        end = event.find(b"\n", at + 7)
        if end < 0:
            return event[7:at], event[at + 7 :]
        if end == len(event) - 2 and event.endswith(b"\n"):
            return event[7:at], event[at + 7 : end]
    name = b""
    data: list[bytes] = []
    for line in event.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value[1:] if value.startswith(b" ") else value)
        elif field == b"event":
            name = value[1:] if value.startswith(b" ") else value
    return name, data[0] if len(data) == 1 else b"\n".join(data)
