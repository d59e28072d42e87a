"""Heads of HTTP/1.1 requests: checked against RFC 9112 and 9110, framed; nothing else.

One that is not beyond doubt is refused here, before anything acts on it: what one
reader takes for one request and another for two is how calls are smuggled past a guard. All
reasons stand in one table, ``VERDICTS``; both doors (the fast lane and the Site's channel) use it.
No I/O; of a connection nothing is remembered but its last head.
"""

from __future__ import annotations

import re

from abg.call import Headers
from abg.exchange import Kin
from abg.wire.fields import BARE_LF, FIELD, LENGTH, TOKEN, fields_of, members_of

__all__ = [
    "VERDICTS",
    "BadRequest",
    "HeadReader",
    "RequestHead",
    "guess_request",
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

# A fragment (#) is never sent; control characters, spaces and bytes beyond ASCII are no URI.
_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])\r\n")
_ANY_VERSION = re.compile(rb"" + TOKEN + rb" [^ \r\n]+ HTTP/[0-9]\.[0-9]\r\n")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]*)(?::[0-9]{0,5})?")
_TOKEN_BYTES = frozenset(range(0x21, 0x7F)) - frozenset(b'"(),/:;<=>?@[\\]{}')
_LONGEST_REMEMBERED = 16_384
"""Bytes of a head that a connection keeps in mind; an agent's has one or two thousand."""


class BadRequest(Exception):
    """A request that is refused: ``status`` and a message for a person."""

    def __init__(self, verdict: str) -> None:
        self.verdict = verdict
        self.status, self.message = VERDICTS[verdict]
        super().__init__(self.message)


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


def suspicious_start(data: bytes, seen: int = 0) -> str | None:
    """The verdict on a head that is not complete, where it can never become one.

    So a TLS hello on the plain port, or lines ended by a bare LF, get their answer at once and
    not when the deadline comes.
    """
    if data[0] not in _TOKEN_BYTES:
        return "request line"
    if BARE_LF.search(data, seen) is not None:
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
    headers = fields_of(head, line.end())
    if headers is None:
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
        if LENGTH.fullmatch(declared) is None:
            raise BadRequest("bad length")
        length = int(declared)

    keep_alive = current
    connection = index.get(b"connection")
    if connection is not None and connection not in (b"keep-alive", b"Keep-Alive"):
        keep_alive = current and b"close" not in members_of(headers, b"connection")

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
            if LENGTH.fullmatch(digits) is not None:
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
    fields = FIELD.findall(data[:65_536])
    if len(words) == 3 and words[1].startswith(b"/"):
        return words[0], words[1], fields
    return b"GET", b"/", fields


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
    codings = members_of(headers, b"transfer-encoding")
    if any(coding != b"chunked" for coding in codings) or not codings:
        raise BadRequest("coding")
    if len(codings) > 1:
        raise BadRequest("chunked twice")
