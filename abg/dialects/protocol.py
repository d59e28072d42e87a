"""The seam between the corridor and a vendor's language: protocols, and abg's own answer."""

from __future__ import annotations

from typing import Protocol

from attrs import Factory, frozen

from abg.bound import BoundFacts
from abg.call import Call, Headers
from abg.usage import Reading

__all__ = ["Dialect", "Meter", "Refusal"]


@frozen
class Refusal:
    """An answer that abg gives itself; whoever sends it adds the length."""

    status: int
    reason: bytes
    headers: Headers = Factory(list)
    body: bytes = b""


class Meter(Protocol):
    """Reads one answer as it streams by. It never raises, whatever comes."""

    final: bool
    """The usage that counts was seen: ``reading`` is the vendor's last word."""
    streaming: bool | None
    """What came: events (True), JSON (False), not known yet (None)."""
    output_bytes: int
    """Bytes of generated text so far; the same as in ``reading``, but cheaper."""

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the answer, decoded, in any split.

        Returns:
            What the client gets now: the very same object, unless the dialect has to take
            something out again, or was asked for whole events.
        """

    def end(self, complete: bool) -> bytes:
        """The answer is over; returns bytes withheld so far. ``reading`` is the last word then.

        Args:
            complete: it came to its end; False: it was cut.
        """

    @property
    def reading(self) -> Reading:
        """All that was learnt so far."""

    @property
    def whole(self) -> bool:
        """It is a stream, and what was relayed of it ends with an event: it may be cut here."""


class Dialect(Protocol):
    """One API of one vendor."""

    name: str
    vendor: str
    """``anthropic`` or ``openai``: whose prices count."""

    def read_call(self, endpoint: str, body: bytes) -> Call:
        """What a request asks for. Never raises: an unreadable body is marked so.

        Args:
            endpoint: the router's name of the call.
            body: decompressed.
        """

    def fingerprint(self, body: bytes) -> bytes | None:
        """Digest of the last message by its content; None if there is none to be read."""

    def meter(self, call: Call, *, whole_events: bool = False) -> Meter:
        """A meter for one answer.

        Args:
            whole_events: relay a stream event by event, so that it can be ended by ``cut``.
        """

    def refusal(self, message: str, *, kind: str, request_id: str = "") -> Refusal:
        """The answer on which this API's clients stop at once and show the message.

        Args:
            kind: ``spent``, ``busy`` or ``ledger``.
        """

    def error(self, status: int, message: str) -> Refusal:
        """An error of abg itself, in the vendor's shape."""

    def ask_for_usage(self, body: bytes) -> bytes:
        """The body with a request for usage where a stream would come without it."""

    def cut(self, meter: Meter, message: str) -> bytes:
        """What ends a running stream in the way after which the client does not ask again.

        Empty where nothing can be ended: a JSON answer, or a stream that is over.
        """

    def lower_output(self, body: bytes, allowance: int) -> bytes | None:
        """The body with no more output allowed than this; None if it cannot be said in it."""

    def bound_facts(self, endpoint: str, body: bytes) -> BoundFacts:
        """What the request says of the most it can cost."""
