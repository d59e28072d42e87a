"""The chunked transfer coding, taken off (RFC 9112, 7.1); trailers and extensions are dropped.

llhttp does it, as its loop over chunks costs a tenth of one in Python. It reads one message after
another and tells no offset, so it is given a head of our own and stopped when a second message
begins: what lies behind the body is ``excess``, and its connection is not used again.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpResponseParser

__all__ = ["ChunkedBody", "MalformedBody"]

_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
# Chunk headers, extensions and trailers may be this large beside sixteen times the body: no
# sender of one byte per chunk comes near, and nobody keeps us reading for nothing.
_OVERHEAD_BYTES = 65_536


class MalformedBody(Exception):
    """The bytes are not a chunked body."""


class _Sink:
    """What llhttp calls; apart from ``ChunkedBody`` so that no reference cycle is made."""

    __slots__ = ("done", "on_body", "parts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.on_body = self.parts.append
        self.done = False

    def on_message_begin(self) -> None:
        if self.done:
            raise MalformedBody

    def on_message_complete(self) -> None:
        self.done = True


class ChunkedBody:
    """Decoder of one chunked body, fed in any split.

    Attributes:
        done: the last chunk and the trailers have been read.
        excess: bytes came behind the end.
    """

    __slots__ = ("_balance", "_parser", "_sink", "done", "excess")

    def __init__(self) -> None:
        self._sink = _Sink()
        self._parser = HttpResponseParser(self._sink)
        self._parser.feed_data(_HEAD)
        self._balance = _OVERHEAD_BYTES
        self.done = False
        self.excess = False

    def feed(self, data: bytes) -> bytes:
        """Take the coding off ``data``; what comes out may be empty.

        Raises:
            MalformedBody: the coding is broken; nothing more may be fed.
        """
        if self.done:
            self.excess = True
            return b""
        sink = self._sink
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            if not sink.done:
                raise MalformedBody(str(error)) from None
            self.excess = True
        parts = sink.parts
        body = parts.pop() if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.done = sink.done
        self._balance += 17 * len(body) - len(data)
        if self._balance < 0 and not sink.done:
            raise MalformedBody("more chunk headers than body")
        return body
