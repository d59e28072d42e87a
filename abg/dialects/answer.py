"""What all meters share: telling a stream from JSON, taking events apart, keeping the reading.

Whether an answer is a stream or JSON is decided by its first byte that is no white space; the
content type and the request may lie.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from attrs import evolve

from abg.call import Call
from abg.dialects.cutjson import closed
from abg.dialects.readjson import last_object
from abg.dialects.relay import Strainer
from abg.dialects.sse import LONGEST, EventReader
from abg.usage import Reading

__all__ = ["LINE_TOO_LONG", "AnswerMeter"]

S = TypeVar("S")

LINE_TOO_LONG = "line_too_long"
_BOM = b"\xef\xbb\xbf"
_JSON = (b"{", b"[")
_BLANK = b" \t\r\n"
_NO_EVENTS = EventReader()
"""Of an answer that is no stream, as most are: nothing is ever fed to it."""


class AnswerMeter(ABC):
    """Base of the meters; a dialect says what an event and what a whole body means.

    Args:
        strainer: stands between the vendor and the client of a stream, if anything has to.
    """

    def __init__(self, call: Call, strainer: Strainer | None = None) -> None:
        self.call = call
        self.final = False
        self.streaming: bool | None = None
        self.output_bytes = 0
        self.last = b""
        """The piece of a stream that was fed last."""
        self._strainer = strainer
        self._events = _NO_EVENTS
        self._body = bytearray()
        self._first = b""
        """A JSON answer, as long as it is one piece: most are, and need not be copied."""
        self._too_large = False
        self._ended = False
        self._cached: Reading | None = None

    # -- what a dialect says -------------------------------------------------------------------

    @abstractmethod
    def look(self, event: bytes) -> None:
        """An event of a stream, perhaps with empty lines around it, perhaps without fields."""

    @abstractmethod
    def answer(self, body: bytes) -> None:
        """A JSON answer, all of it or what came of it."""

    @abstractmethod
    def read(self) -> Reading:
        """The reading, the marks of this class left out; ``output_bytes`` may be, too."""

    def finish(self, complete: bool) -> None:
        """The stream is over; the last reading is made from all that was seen."""
        self.changed()

    # -- the meter -----------------------------------------------------------------------------

    def feed(self, data: bytes) -> bytes:
        """See ``Meter.feed``."""
        if self.streaming:
            # The common case, written out: whole events after whole events. (``find`` is twice as
            # fast as ``in``, which first asks whether the needle is a number.)
            if (
                self._events.between
                and not self.final
                and data.endswith(b"\n\n")
                and data.find(b"\r") < 0
                and len(data) < LONGEST
            ):
                # One event of one line or two? (To find one byte is ten times as fast as two.)
                end = len(data) - 2
                at = data.find(b"\n")
                if at == end or data.find(b"\n", at + 1) == end:
                    self.look(data)
                else:
                    self._look_at(data.split(b"\n\n"))
            else:
                self._look_at(self._events.feed(data))
            self.last = data
            return data if self._strainer is None else self._strainer.feed(data)
        if self.streaming is None:
            return self._begin(data)
        self._collect(data)
        return data

    def end(self, complete: bool) -> bytes:
        """See ``Meter.end``."""
        if self._ended:
            return b""
        self._ended = True
        if self.streaming is None:
            # Nothing but white space, or half a byte order mark.
            head = bytes(self._body)
            return head if self._strainer is not None else b""
        self._cached = None
        if not self.streaming:
            body = self._first or bytes(self._body)
            self._first = b""
            self._body.clear()
            self.answer(body)
            return b""
        self._look_at(self._events.end())
        self.finish(complete)
        return b"" if self._strainer is None else self._strainer.end()

    @property
    def reading(self) -> Reading:
        """See ``Meter.reading``."""
        found = self._cached
        if found is None:
            found = self.read()
            if self._too_large or self._events.too_long:
                found = evolve(found, marks=(*found.marks, LINE_TOO_LONG))
            self._cached = found
        if found.output_bytes != self.output_bytes:
            found = self._cached = evolve(found, output_bytes=self.output_bytes)
        return found

    @property
    def whole(self) -> bool:
        """See ``Meter.whole``."""
        if not self.streaming:
            return False
        return self._events.between if self._strainer is None else self._strainer.between

    def changed(self) -> None:
        """The reading has to be made anew."""
        self._cached = None

    def told_by(self, body: bytes, read: Callable[[bytes], S | None], shape: Any) -> tuple[S, bool]:
        """What a JSON answer says, and whether it came whole.

        Of one that broke off what stands there is the least that it says; of one that is too
        large only its usage is known, which stands at its end.

        Args:
            shape: makes what an answer says that says nothing but its ``usage``.
        """
        told = read(body)
        if told is not None:
            return told, True
        if self._too_large:
            return shape(usage=last_object(body, "usage")), True
        return read(closed(body)) or shape(), False

    # -- inside ----------------------------------------------------------------------------------

    def _begin(self, data: bytes) -> bytes:
        if not self._body and data.startswith(_JSON):
            # As every JSON answer begins.
            self.streaming = False
            if len(data) <= LONGEST:
                self._first = data
            else:
                self._collect(data)
            return data
        blank = len(self._body) >= len(_BOM) and not data.strip(_BLANK)
        self._body += data
        if blank and len(self._body) <= _END:
            # More of nothing: what came before is not looked through again.
            return b"" if self._strainer is not None else data
        head = bytes(self._body)
        significant = head[len(_BOM) :] if head.startswith(_BOM) else head
        first = significant.lstrip(_BLANK)[:1]
        undecided = not first or (len(head) < len(_BOM) and _BOM.startswith(head))
        if undecided and len(head) <= _END:
            return b"" if self._strainer is not None else data
        self._body.clear()
        self.streaming = first not in _JSON
        if not self.streaming:
            self._collect(significant)
            return data if self._strainer is None else head
        self._events = EventReader()
        self._look_at(self._events.feed(head))
        self.last = data
        return data if self._strainer is None else self._strainer.feed(head)

    def _look_at(self, events: Sequence[bytes]) -> None:
        for event in events:
            if event and not self.final:
                self.look(event)

    def _collect(self, data: bytes) -> None:
        body = self._body
        if self._first:
            body += self._first
            self._first = b""
        body += data
        if len(body) > LONGEST and not self._too_large:
            self._too_large = True
            self._cached = None
        if self._too_large and len(body) > 4 * _END:
            # Of a body that is too large: its beginning and its end, where usage stands.
            del body[_END:-_END]


_END = 64 << 10
