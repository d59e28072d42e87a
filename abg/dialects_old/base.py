"""What a dialect is: one wire format, as the guard and the corridor use it.

A *meter* reads one answer: it is fed bytes in any split, says what of them goes to the client, and
knows the usage so far. Whether an answer is a stream or JSON is decided by what comes.
"""

from __future__ import annotations

from typing import Protocol

from attrs import field, frozen

from abg.bound import BoundFacts
from abg.call import Call, Headers
from abg.dialects_old.old_sse import LONGEST_EVENT, EventReader
from abg.usage import Reading

__all__ = ["Dialect", "Meter", "Refusal", "StreamMeter"]

_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


@frozen
class Refusal:
    """An answer of abg's own."""

    status: int
    reason: bytes
    headers: Headers = field(factory=list)
    body: bytes = b""


class Meter(Protocol):
    """Reads one answer; see the module's text."""

    final: bool
    """The event that carries the last usage has been fed."""
    streaming: bool | None
    """What came: a stream, JSON, or nothing that tells yet."""

    @property
    def reading(self) -> Reading: ...

    def feed(self, data: bytes) -> bytes:
        """Bytes of the answer, decompressed; returns what the client gets of them."""

    def end(self, complete: bool) -> bytes:
        """The answer has ended; returns what was held back of it."""

    @property
    def whole(self) -> bool:
        """Nothing of an unfinished event has been relayed: the stream may be cut here."""


class Dialect(Protocol):
    """One wire format."""

    name: str
    vendor: str

    def read_call(self, endpoint: str, body: bytes) -> Call:
        """What a request asks for. Never raises: an unreadable body is ``readable=False``."""

    def meter(self, call: Call) -> Meter:
        """A meter for one answer to this call."""

    def refusal(self, message: str, *, kind: str, request_id: str = "") -> Refusal:
        """The answer on which the client stops at once and shows the message.

        Args:
            kind: ``spent``, ``busy`` or ``ledger``.
        """

    def error(self, status: int, message: str) -> Refusal:
        """An error of abg's own in the vendor's shape."""

    def ask_for_usage(self, body: bytes) -> bytes:
        """The body with a request for usage in the stream, where the vendor wants one."""

    def cut(self, meter: Meter, message: str) -> bytes:
        """The bytes that end a running stream so that the client does not ask again."""

    def fingerprint(self, body: bytes) -> bytes | None:
        """A digest of the last message by content, for the loop breaker."""

    def bound_facts(self, endpoint: str, body: bytes) -> BoundFacts:
        """What the request says of the most it can cost."""

    def lower_output(self, body: bytes, allowance: int) -> bytes | None:
        """The body with the output allowance lowered to this; None: it cannot be."""


class StreamMeter:
    """The frame of all meters: tells JSON from events, and keeps what is not whole yet.

    Subclasses say what they look for (``_look``, ``_object``) and keep ``_reading`` up to date.
    """

    __slots__ = ("_call", "_json", "_reader", "_reading", "_size", "final", "streaming")

    event_overhead = 100
    """Bytes of a delta event that are not generated text, at least."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._reader = EventReader()
        self._reading = Reading()
        self._json: list[bytes] = []
        self._size = 0
        self.final = False
        self.streaming: bool | None = None

    @property
    def reading(self) -> Reading:
        return self._reading

    @property
    def whole(self) -> bool:
        return bool(self.streaming) and self._reader.whole

    def feed(self, data: bytes) -> bytes:
        if self.streaming is None:
            self._begin(data)
            if self.streaming is None:
                return data
            if self.streaming:
                first, self._json = b"".join(self._json), []
                block = self._reader.feed(first)
                if block:
                    self._look(block)
                return data
            return data
        if self.streaming:
            block = self._reader.feed(data)
            if block:
                self._look(block)
        else:
            self._keep(data)
        return data

    def end(self, complete: bool) -> bytes:
        if self.streaming is None:
            self.streaming = False
        if self.streaming:
            rest = self._reader.end()
            if rest:
                self._look(rest)
            if self._reader.too_long:
                self._mark("line_too_long")
        elif complete and self._json:
            parts, self._json = self._json, []
            self._object(b"".join(parts))
        self._ended(complete)
        return b""

    # -- for subclasses ------------------------------------------------------------------------

    def _look(self, block: bytes) -> None:
        """One or more whole events."""
        raise NotImplementedError

    def _object(self, body: bytes) -> None:
        """A whole JSON answer."""
        raise NotImplementedError

    def _ended(self, complete: bool) -> None:
        """The answer is over."""

    def _mark(self, mark: str) -> None:
        from attrs import evolve

        if mark not in self._reading.marks:
            self._reading = evolve(self._reading, marks=(*self._reading.marks, mark))

    # -- inside --------------------------------------------------------------------------------

    def _begin(self, data: bytes) -> None:
        self._json.append(data)
        start = b"".join(self._json)
        if start.startswith(_BOM):
            start = start[len(_BOM) :]
        elif _BOM.startswith(start):
            return
        start = start.lstrip(_SPACE)
        if start:
            self.streaming = start[:1] not in (b"{", b"[")
            self._size = len(start)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > LONGEST_EVENT:
            if self._json:
                self._json = []
                self._mark("answer_too_long")
            return
        self._json.append(data)
