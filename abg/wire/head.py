"""Heads of HTTP/1.1 messages: split, checked against RFC 9112 and 9110, framed; nothing else.

A request head that is not beyond doubt is refused here, before anything acts on it: what one
reader takes for one request and another for two is how calls are smuggled past a guard. All
reasons stand in one table, ``VERDICTS``; both doors (the fast lane and the Site's channel) use it.
No I/O; of a connection nothing is remembered but its last head.
"""

from __future__ import annotations

import re

from abg.call import Headers
from abg.exchange import Kin

__all__ = [
    "VERDICTS",
    "AnswerHead",
    "BadAnswer",
    "BadRequest",
    "HeadReader",
    "RequestHead",
    "guess_request",
    "head_end",
    "no_answer",
    "read_answer",
    "read_request",
    "suspicious_start",
]

VERDICTS: dict[str, tuple[int, str]] = {
    "request line": (400, "the request line is not HTTP"),
    "version": (505, "only HTTP/1.1 and HTTP/1.0 are spoken here"),
    "target": (400, "the request target is neither a path nor an absolute URL"),
    "connect": (501, "CONNECT is not served here"),
    "field": (400, "a header line is not HTTP"),
    "no host": (400, "the request has no Host header"),
    "two hosts": (400, "the request has more than one Host header"),
    "bad host": (400, "the Host header is no host name"),
    "length and coding": (400, "Content-Length and Transfer-Encoding exclude each other"),
    "two lengths": (400, "the request has more than one Content-Length"),
    "bad length": (400, "Content-Length is not a plain number"),
    "old coding": (400, "HTTP/1.0 has no Transfer-Encoding"),
    "chunked twice": (400, "the body is chunked more than once"),
    "coding": (501, "the only transfer coding spoken here is chunked"),
    "expectation": (417, "the only expectation met here is 100-continue"),
    "too large": (431, "the request's header fields are too large"),
    "chunks": (400, "the request body is not properly chunked"),
    "body": (413, "the request body is too large"),
}
"""Why a request is refused: status and message."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# A fragment (#) is never sent; control characters, spaces and bytes beyond ASCII are no URI.
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])\r\n")
_ANY_VERSION = re.compile(rb"" + _TOKEN + rb" [^ \r\n]+ HTTP/[0-9]\.[0-9]\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
# One whole line: as there is one match a line, as many matches as line ends mean that nothing
# was skipped (no folded line, no bare CR or LF, no space before the colon, no NUL). The second
# takes values that end in white space as well: rare, and looking for them in all heads costs more
# than reading those twice.
_LINE = rb"^(" + _TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)"
_FIELD = re.compile(_LINE + rb"(?<![ \t])\r\n", re.MULTILINE)
_FIELD_BEFORE_SPACE = re.compile(_LINE + rb"\r\n", re.MULTILINE)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]*)(?::[0-9]{0,5})?")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_TOKEN_BYTES = frozenset(range(0x21, 0x7F)) - frozenset(b'"(),/:;<=>?@[\\]{}')
_LONGEST_REMEMBERED = 16_384
"""Bytes of a head that a connection keeps in mind; an agent's has one or two thousand."""
_BARE_LF = re.compile(rb"(?<!\r)\n")


class BadRequest(Exception):
    """A request that is refused: ``status`` and a message for a person."""

    def __init__(self, verdict: str) -> None:
        self.verdict = verdict
        self.status, self.message = VERDICTS[verdict]
        super().__init__(self.message)


class BadAnswer(Exception):
    """A vendor's answer outside the grammar; the text says what is wrong with it."""


class RequestHead:
    """A request as its head describes it.

    Attributes:
        content_length: 0 when there is no body, None when it is chunked.
        kin: shared by heads that ``HeadReader`` has found alike.
        keep_alive: the client lets the connection be used again.
        plain: nothing but what the fast lane serves: HTTP/1.1, a path, no ``Upgrade``, no
            ``Expect``.
        current: it is HTTP/1.1, not 1.0.
    """

    __slots__ = (
        "content_length",
        "current",
        "headers",
        "keep_alive",
        "kin",
        "method",
        "plain",
        "target",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        content_length: int | None,
        keep_alive: bool,
        plain: bool,
        current: bool,
        kin: Kin,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.content_length = content_length
        self.keep_alive = keep_alive
        self.plain = plain
        self.current = current
        self.kin = kin


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


def head_end(data: bytes, seen: int = 0) -> int:
    """Where the head in ``data`` ends, its blank line included; 0: it has not ended yet.

    Args:
        seen: how many bytes of it have been searched before.
    """
    end = data.find(b"\r\n\r\n", seen - 3 if seen > 3 else 0)
    return end + 4 if end >= 0 else 0


def suspicious_start(data: bytes, seen: int = 0) -> str | None:
    """The verdict on a head that is not complete, where it can never become one.

    So a TLS hello on the plain port, or lines ended by a bare LF, get their answer at once and
    not when the deadline comes.
    """
    if data[0] not in _TOKEN_BYTES:
        return "request line"
    if _BARE_LF.search(data, seen) is not None:
        return "field"
    return None


def read_request(head: bytes) -> RequestHead:
    """Read a whole request head, its blank line included.

    Raises:
        BadRequest: it breaks a rule of RFC 9112, or asks for what is not served.
    """
    line = _REQUEST_LINE.match(head)
    if line is None:
        if b"\r" in head[: head.find(b"\r\n")] or _ANY_VERSION.match(head) is None:
            raise BadRequest("request line")
        raise BadRequest("target" if b" HTTP/1." in head[: head.find(b"\r\n")] else "version")
    method, target, minor = line.groups()
    headers: Headers = _FIELD.findall(head, line.end())
    if len(headers) != head.count(b"\n") - 2:
        headers = _with_space(head, line.end())
        if len(headers) != head.count(b"\n") - 2:
            raise BadRequest("field")
    index = {name.lower(): value for name, value in headers}
    if len(index) != len(headers):
        _check_repeated(headers)
    current = minor == b"1"

    host = index.get(b"host")
    if host is None:
        if current:
            raise BadRequest("no host")
    elif _HOST.fullmatch(host) is None:
        raise BadRequest("bad host")

    plain = current
    if target[0] != 0x2F:  # "/"
        plain = False
        _check_unusual_target(method, target)
    elif method == b"CONNECT":
        raise BadRequest("connect")

    length: int | None = 0
    declared = index.get(b"content-length")
    coding = index.get(b"transfer-encoding")
    if coding is not None:
        if declared is not None:
            raise BadRequest("length and coding")
        _check_coding(headers, current)
        length = None
    elif declared is not None:
        if _LENGTH.fullmatch(declared) is None:
            raise BadRequest("bad length")
        length = int(declared)

    keep_alive = current
    connection = index.get(b"connection")
    if connection is not None and connection not in (b"keep-alive", b"Keep-Alive"):
        keep_alive = current and b"close" not in _tokens(headers, b"connection")

    if b"upgrade" in index:
        plain = False
    expect = index.get(b"expect")
    if expect is not None:
        plain = False
        if expect.lower() != b"100-continue" and current:
            raise BadRequest("expectation")
    return RequestHead(method, target, headers, length, keep_alive, plain, current, Kin())


class HeadReader:
    """Reads the request heads of one connection.

    A head that differs from the one before only in the digits of its one ``Content-Length`` is
    not read again: all that was found of the other holds for it, too.
    """

    __slots__ = ("_after", "_before", "_last", "_place")

    def __init__(self) -> None:
        self._last: RequestHead | None = None
        self._before = self._after = b""
        self._place = 0

    def read(self, head: bytes) -> RequestHead:
        """As ``read_request``."""
        last = self._last
        if last is not None and head.startswith(self._before) and head.endswith(self._after):
            digits = head[len(self._before) : -len(self._after)]
            if _LENGTH.fullmatch(digits) is not None:
                headers = last.headers.copy()
                headers[self._place] = (headers[self._place][0], digits)
                return RequestHead(
                    last.method,
                    last.target,
                    headers,
                    int(digits),
                    last.keep_alive,
                    last.plain,
                    last.current,
                    last.kin,
                )
        self._last = None
        request = read_request(head)
        if request.content_length and request.plain and len(head) <= _LONGEST_REMEMBERED:
            self._remember(head, request)
        return request

    def _remember(self, head: bytes, request: RequestHead) -> None:
        for place, (name, value) in enumerate(request.headers):
            if name.lower() == b"content-length":
                field = b"\r\n" + name + b": "
                if head.count(field) == 1:
                    start = head.index(field) + len(field)
                    self._before, self._after = head[:start], head[start + len(value) :]
                    self._last, self._place = request, place
                return


def guess_request(data: bytes) -> tuple[bytes, bytes, Headers]:
    """What can be told of a refused head: method, target and the fields that are sound.

    For the shape of the refusal only; nothing of it is forwarded.
    """
    words = data[:8192].split(b"\r\n", 1)[0].split(b" ")
    fields = _FIELD.findall(data[:65_536])
    if len(words) == 3 and words[1].startswith(b"/"):
        return words[0], words[1], fields
    return b"GET", b"/", fields


def no_answer(data: bytes) -> bool:
    """Whether ``data``, an answer's head so far, can never become one: nobody waits for more."""
    return not data.startswith(b"HTTP/1."[: len(data)]) or _BARE_LF.search(data) is not None


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
    headers: Headers = _FIELD.findall(head, line.end())
    if len(headers) != head.count(b"\n") - 2:
        headers = _with_space(head, line.end())
        if len(headers) != head.count(b"\n") - 2:
            raise BadAnswer("a header line is not HTTP")
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
        if minor == b"0" or _tokens(headers, b"transfer-encoding") != [b"chunked"]:
            raise BadAnswer("a transfer coding other than chunked")
        chunked = True
    elif declared is not None:
        if _LENGTH.fullmatch(declared) is None:
            raise BadAnswer("Content-Length is not a plain number")
        length = int(declared)
    if method == b"HEAD" or status < 200 or status in (204, 304):
        length, chunked = 0, False

    keep_alive = minor == b"1" and (chunked or length is not None)
    connection = index.get(b"connection")
    if connection is not None and connection not in (b"keep-alive", b"Keep-Alive"):
        keep_alive = keep_alive and b"close" not in _tokens(headers, b"connection")
    return AnswerHead(status, reason or b"", headers, length, chunked, keep_alive)


def _with_space(head: bytes, start: int) -> Headers:
    return [
        (name, value.rstrip(b" \t")) for name, value in _FIELD_BEFORE_SPACE.findall(head, start)
    ]


def _tokens(headers: Headers, wanted: bytes) -> list[bytes]:
    """The comma-separated members of all fields named ``wanted``, in lower case."""
    return [
        token
        for name, value in headers
        if name.lower() == wanted
        for token in (part.strip(b" \t") for part in value.lower().split(b","))
        if token
    ]


def _check_repeated(headers: Headers) -> None:
    names = [name.lower() for name, _ in headers]
    if names.count(b"host") > 1:
        raise BadRequest("two hosts")
    if names.count(b"content-length") > 1:
        raise BadRequest("two lengths")


def _check_unusual_target(method: bytes, target: bytes) -> None:
    if method == b"CONNECT":
        raise BadRequest("connect")
    if target == b"*" and method == b"OPTIONS":
        return
    scheme = target[:8].lower()
    if not scheme.startswith((b"http://", b"https://")):
        raise BadRequest("target")


def _check_coding(headers: Headers, current: bool) -> None:
    if not current:
        raise BadRequest("old coding")
    codings = _tokens(headers, b"transfer-encoding")
    if any(coding != b"chunked" for coding in codings) or not codings:
        raise BadRequest("coding")
    if len(codings) > 1:
        raise BadRequest("chunked twice")
