"""The narrow doors of the corridor: how it sees its client and its vendor.

The corridor (``abg.proxy``) knows HTTP only through these protocols, so that it does not care
which server stands before it (the fast lane or a twisted.web request) nor which client stands
behind it (the pool of ``abg.wire.outbound``, or a test's script).

Client side: a server makes an ``Exchange`` when a request's head is complete and calls
``Application.begin(exchange)``; the ``Handler`` it gets back is told of everything after.
Vendor side: ``Upstreams.request`` starts a call; the ``AnswerListener`` is told of its answer.

Contract of both:
- Calls are synchronous and never re-enter: nothing is told while one of one's own calls runs,
  except by ``begin`` (which may answer at once).
- After ``finish``, ``abort`` or ``gone`` nothing more is told, and calls to the exchange are
  ignored.
- A body piece is never empty.
"""

from __future__ import annotations

from typing import Any, Protocol

from abg.call import Headers

__all__ = [
    "AnswerListener",
    "Application",
    "Exchange",
    "Handler",
    "Kin",
    "Upstreams",
    "VendorCall",
]


class Kin:
    """What requests have in common whose heads differ in nothing but the length of the body.

    An agent sends the same head with each of its calls. Who stands behind the server keeps here
    what follows from method, target and headers alone, and need not work it out again.
    """

    __slots__ = ("papers",)

    def __init__(self) -> None:
        self.papers: Any = None


class Exchange(Protocol):
    """One request and its answer, as the corridor sees them."""

    method: bytes
    target: bytes
    """The request target exactly as it came (``/v1/messages?beta=true``)."""
    headers: Headers
    peer: str
    """The client's address, for messages."""
    content_length: int | None
    """Length of the request body if it was declared; 0: no body; None: chunked."""
    kin: Kin
    """Shared with earlier requests of the connection whose heads were alike."""

    def pause_body(self) -> None:
        """Stop reading the request body until ``resume_body``."""

    def resume_body(self) -> None: ...

    def respond(self, status: int, reason: bytes, headers: Headers) -> None:
        """Begin the answer. ``headers`` are end-to-end only; a ``Content-Length`` among them
        frames the body, without one the exchange frames it itself (chunked, or by close)."""

    def write(self, data: bytes) -> None:
        """A piece of the answer's body; it may wait in memory until ``flush`` or ``finish``."""

    def flush(self) -> None:
        """Send what was written so far, in one piece, in this turn of the reactor."""

    def finish(self) -> None:
        """The answer is complete; sends what is left. The connection may serve the next one."""

    def abort(self) -> None:
        """Break the connection so that the client sees the answer as cut."""


class Handler(Protocol):
    """What the corridor is told by the client's side."""

    def body(self, data: bytes) -> None: ...

    def body_end(self) -> None: ...

    def gone(self) -> None:
        """The client left before the answer was finished."""

    def pause(self) -> None:
        """The client's socket is full: stop feeding it."""

    def resume(self) -> None: ...


class Application(Protocol):
    """What stands behind a server: the guard's corridor, or anything in tests."""

    def begin(self, exchange: Exchange) -> Handler:
        """The head of a request is complete. Never raises."""

    def refuse(self, exchange: Exchange, status: int, message: str) -> None:
        """A request that the wire refuses (400, 413, 417, 431, 501, 505): answer it and finish.

        Method, target and headers of the exchange are what could be made out of its head; none of
        them may be acted on, but to choose the answer's shape. The connection closes afterwards.
        """


class AnswerListener(Protocol):
    """What the corridor is told by the vendor's side."""

    def answer_head(self, status: int, reason: bytes, headers: Headers, has_body: bool) -> None:
        """The final head (interim 1xx answers are skipped). ``headers`` are all as they came."""

    def answer_data(self, data: bytes) -> None:
        """A piece of the answer's body, transfer coding removed."""

    def answer_flush(self) -> None:
        """All that one read from the vendor's socket brought has been told, and more will come."""

    def answer_end(self) -> None:
        """The answer is complete; told instead of ``answer_flush`` after the last read, so that
        what is left and the end go out in one piece."""

    def answer_failed(self, kind: str, message: str) -> None:
        """There is no (whole) answer. ``kind``: ``refused``, ``dns``, ``tls``, ``connect_timeout``,
        ``silence`` (no byte for ``upstream_silence_seconds``), ``cut`` (connection lost inside the
        answer or before it), ``malformed``, ``too_large`` (head). ``message`` is for people."""

    def upstream_pause(self) -> None:
        """The vendor's socket is full: feed no more of the request body."""

    def upstream_resume(self) -> None: ...

    def body_left(self) -> None:
        """The whole body that was given has left memory: it is with the vendor, and will not be
        sent again. Told once at most, perhaps within ``request``."""


class VendorCall(Protocol):
    """A running request to a vendor."""

    sent: bool
    """True once all of the request may have reached the vendor, or it has answered: it may be
    billed. Nobody is billed for half a request."""

    def write(self, data: bytes) -> None:
        """A piece of a streamed request body."""

    def end(self) -> None:
        """The streamed request body is complete."""

    def pause(self) -> None:
        """Stop reading the answer until ``resume``."""

    def resume(self) -> None: ...

    def abort(self) -> None:
        """Cancel at once and close the connection; nothing more is told."""


class Upstreams(Protocol):
    """Connections to the vendors: pooled, reused, never retried once a byte was sent."""

    def request(
        self,
        origin: str,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: bytes | None,
        listener: AnswerListener,
    ) -> VendorCall:
        """Send a request to ``origin`` (``https://api.anthropic.com``).

        Args:
            headers: end-to-end headers without ``Host``; framing is added here. A streamed body
                (``body`` None) is framed by a ``Content-Length`` among them, else chunked.
            body: the whole body (b"" for none), or None when it follows by ``write``/``end``.

        Never raises: failures are told to ``listener``, never before this method has returned.
        """
