"""Heads of our own answers: status line, fields, and how the body is framed (RFC 9112, 6)."""

from __future__ import annotations

from abg.call import Headers
from abg.exchange import Exchange

__all__ = ["answer_head", "bodiless", "declared_length", "plain_refusal"]


def bodiless(method: bytes, status: int) -> bool:
    """An answer with ``status`` to ``method`` has no body, whatever its fields say."""
    return method == b"HEAD" or status in (204, 304) or status < 200


def declared_length(headers: Headers) -> int | None:
    """The ``Content-Length`` among ``headers``; None when there is none (or it is no number)."""
    for name, value in headers:
        if len(name) == 14 and name.lower() == b"content-length":
            return int(value) if value.isdigit() else None
    return None


def answer_head(status: int, reason: bytes, headers: Headers, framing: bytes) -> bytes:
    """The head as it goes onto the wire.

    Args:
        framing: whole extra lines for this connection (``Connection: close``, chunked).

    Raises:
        ValueError: a field holds a line end; whoever made it would split the answer in two.
    """
    lines = b"\r\n".join([b": ".join(header) for header in headers])
    if headers:
        lines += b"\r\n"
    head = b"HTTP/1.1 %d %b\r\n%b" % (status, reason, lines)
    ends = len(headers) + 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends:
        raise ValueError("a header field holds a line end")
    return b"%b%b\r\n" % (head, framing)


_REASONS = {
    400: b"Bad Request",
    413: b"Content Too Large",
    417: b"Expectation Failed",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    505: b"HTTP Version Not Supported",
}


def plain_refusal(exchange: Exchange, status: int, message: str) -> None:
    """Answer a refused request with its message as plain text (``Application.refuse`` without
    a dialect)."""
    body = message.encode() + b"\n"
    exchange.respond(
        status,
        _REASONS.get(status, b"Refused"),
        [
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", b"%d" % len(body)),
        ],
    )
    exchange.write(body)
    exchange.finish()
