"""An answer's head: checked against RFC 9112 and 9110, and framed."""

from __future__ import annotations

import re

from abg.call import Headers
from abg.wire.fields import BARE_LF, LENGTH, fields_of, members_of

__all__ = ["AnswerHead", "BadAnswer", "no_answer", "read_answer"]

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")


class BadAnswer(Exception):
    """A vendor's answer outside the grammar; the text says what is wrong with it."""


class AnswerHead:
    """An answer's head, and how its body is framed (RFC 9112, 6.3).

    Attributes:
        length: size of the body; 0 when there is none; None when it is chunked or ends with the
            connection.
        chunked: the body is chunked.
        keep_alive: the connection may serve another request.
    """

    __slots__ = ("chunked", "headers", "keep_alive", "length", "reason", "status")

    def __init__(
        self,
        status: int,
        reason: bytes,
        headers: Headers,
        length: int | None,
        chunked: bool,
        keep_alive: bool,
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.length = length
        self.chunked = chunked
        self.keep_alive = keep_alive


def no_answer(data: bytes) -> bool:
    """Whether ``data``, an answer's head so far, can never become one: nobody waits for more."""
    return not data.startswith(b"HTTP/1."[: len(data)]) or BARE_LF.search(data) is not None


def read_answer(head: bytes, method: bytes) -> AnswerHead:
    """Read a whole answer head, its blank line included, to a request with ``method``.

    Raises:
        BadAnswer: it is outside the grammar, or its body could not be framed beyond doubt.
    """
    line = _STATUS_LINE.match(head)
    if line is None:
        raise BadAnswer("the status line is not HTTP/1.1")
    minor, code, reason = line.groups()
    status = int(code)
    headers = fields_of(head, line.end())
    if headers is None:
        raise BadAnswer("a header line is not HTTP")
    if method == b"CONNECT":
        # There is no body, whatever it says of one (RFC 9110, 9.3.6); what refuses is not read on.
        return AnswerHead(status, reason or b"", headers, 0, False, False)
    index = {name.lower(): value for name, value in headers}
    if len(index) != len(headers):
        names = [name.lower() for name, _ in headers]
        if names.count(b"content-length") > 1:
            raise BadAnswer("more than one Content-Length")

    length: int | None = None
    chunked = False
    declared = index.get(b"content-length")
    coding = index.get(b"transfer-encoding")
    if coding is not None:
        if declared is not None:
            raise BadAnswer("both Content-Length and Transfer-Encoding")
        if minor == b"0" or members_of(headers, b"transfer-encoding") != [b"chunked"]:
            raise BadAnswer("a transfer coding other than chunked")
        chunked = True
    elif declared is not None:
        if LENGTH.fullmatch(declared) is None:
            raise BadAnswer("Content-Length is not a plain number")
        length = int(declared)
    if method == b"HEAD" or status < 200 or status in (204, 304):
        length, chunked = 0, False

    keep_alive = minor == b"1" and (chunked or length is not None)
    connection = index.get(b"connection")
    if connection is not None and connection not in (b"keep-alive", b"Keep-Alive"):
        keep_alive = keep_alive and b"close" not in members_of(headers, b"connection")
    return AnswerHead(status, reason or b"", headers, length, chunked, keep_alive)
