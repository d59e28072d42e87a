"""Heads of messages, checked one by one and against llhttp, an independent reader."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.test.test_exchange_contract import REFUSED
from abg.wire.answer_head import BadAnswer, read_answer
from abg.wire.fields import head_end
from abg.wire.framing import answer_head, bodiless, declared_length, plain_refusal
from abg.wire.head import (
    BadRequest,
    HeadReader,
    guess_request,
    read_request,
    suspicious_start,
)
from abg.wire.limits import Limits

GET = b"GET /v1/models HTTP/1.1\r\nHost: abg\r\n\r\n"


def lines(*more: bytes, first: bytes = b"POST /v1/messages HTTP/1.1") -> bytes:
    return b"\r\n".join((first, b"Host: abg", *more)) + b"\r\n\r\n"


# Requests


@pytest.mark.parametrize(
    ("head", "length", "keep_alive", "plain"),
    [
        (GET, 0, True, True),
        (lines(b"Content-Length: 12"), 12, True, True),
        (lines(b"content-length:012 "), 12, True, True),
        (lines(b"Transfer-Encoding: Chunked"), None, True, True),
        (lines(b"transfer-encoding:\tchunked\t"), None, True, True),
        (lines(b"Connection: keep-alive"), 0, True, True),
        (lines(b"Connection: Keep-Alive, X"), 0, True, True),
        (lines(b"Connection: x,\tCLOSE"), 0, False, True),
        (lines(b"Connection: keep-alive", b"Connection: close"), 0, False, True),
        (lines(b"Upgrade: h2c"), 0, True, False),
        (lines(b"Expect: 100-continue", b"Content-Length: 1"), 1, True, False),
        (b"GET / HTTP/1.0\r\n\r\n", 0, False, False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, False, False),
        (b"GET / HTTP/1.0\r\nConnection: x\r\nExpect: what\r\n\r\n", 0, False, False),
        (lines(first=b"GET http://abg/v1/models HTTP/1.1"), 0, True, False),
        (lines(first=b"GET HTTPS://abg/v1/models HTTP/1.1"), 0, True, False),
        (lines(first=b"OPTIONS * HTTP/1.1"), 0, True, False),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, True, True),
        (b"GET / HTTP/1.1\r\nHost: [::1]:8788\r\n\r\n", 0, True, True),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8788\r\n\r\n", 0, True, True),
        (b"GET / HTTP/1.1\r\nHost: my_host.local.\r\n\r\n", 0, True, True),
        (lines(b"X: \xe4\xf6\xfc", b"X: \t"), 0, True, True),
    ],
)
def test_what_a_request_head_says(
    head: bytes, length: int | None, keep_alive: bool, plain: bool
) -> None:
    request = read_request(head)
    assert (request.content_length, request.keep_alive, request.plain) == (
        length,
        keep_alive,
        plain,
    )


@pytest.mark.parametrize(
    ("verdict", "head"),
    [
        (verdict, head)
        for verdict, heads in REFUSED.items()
        if verdict not in ("too large", "chunks")
        for head in heads
        if b"\r\n\r\n" in head
    ],
)
def test_each_verdict(verdict: str, head: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        read_request(head[: head_end(head)])
    assert refused.value.verdict == verdict


def test_the_end_of_a_head_is_found_over_any_split() -> None:
    for at in range(len(GET)):
        assert head_end(GET[:at]) == 0
        assert head_end(GET + b"more", at) == len(GET)


def test_heads_that_can_never_be_whole() -> None:
    assert suspicious_start(b"GET /v1") is None
    assert suspicious_start(b"GET / HTTP/1.1\r\nHost: abg\r\n") is None
    assert suspicious_start(b"\x16\x03\x01") == "request line"
    assert suspicious_start(b"GET / HTTP/1.1\nHost: abg\n\n") == "field"
    assert suspicious_start(b"GET / HTTP/1.1\r\nHost: abg\n", 16) == "field"


def test_a_guess_at_a_refused_request() -> None:
    assert guess_request(b"POST /v1/messages HTTP/1.1\r\nX-Api-Key: k\r\nbad line\r\n") == (
        b"POST",
        b"/v1/messages",
        [(b"X-Api-Key", b"k")],
    )
    assert guess_request(b"\x16\x03\x01") == (b"GET", b"/", [])
    assert guess_request(b"GET v1 HTTP/1.1\r\n")[:2] == (b"GET", b"/")


token = st.text("abcdefXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8).map(str.encode)
value = st.binary(max_size=12).map(
    lambda data: bytes(byte for byte in data if byte >= 32 and byte != 127).strip(b" \t")
)
special = st.sampled_from(
    [
        (b"Content-Length", b"5"),
        (b"Content-Length", b"0"),
        (b"Content-Length", b"+5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Transfer-Encoding", b"gzip"),
        (b"Connection", b"close"),
        (b"Connection", b"keep-alive"),
        (b"Host", b"other"),
    ]
)
header = st.one_of(st.tuples(token, value), special)
spoil = st.sampled_from([b"", b"\r", b"\n", b"\x00", b" ", b":", b"\r\n ", b"\r\n", b"\t", b"\xff"])


class Peer:
    """llhttp's reading of the same head."""

    def __init__(self, kind: Any) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.complete = False
        self.parser = kind(self)

    def on_url(self, data: bytes) -> None:
        self.url += data

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete = True


@settings(max_examples=400, deadline=None)
@given(token, st.lists(header, max_size=5), spoil, st.integers(0, 200))
def test_what_we_accept_llhttp_reads_alike(
    method: bytes, headers: list[tuple[bytes, bytes]], spoilt: bytes, at: int
) -> None:
    head = b"POST /v1/m?x=1 HTTP/1.1\r\nHost: abg\r\n"
    head += b"".join(b"%b: %b\r\n" % pair for pair in headers) + b"\r\n"
    at %= len(head) + 1
    head = head[:at] + spoilt + head[at:]
    end = head_end(head)
    try:
        request = read_request(head[:end])
    except BadRequest:
        return
    peer = Peer(httptools.HttpRequestParser)
    try:
        peer.parser.feed_data(head[:end])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        # A tab behind the coding is white space like any other (RFC 9110, 5.5); not to llhttp.
        assert b"chunked\t" in head
        return
    assert peer.complete
    assert peer.parser.get_method() == request.method
    assert peer.url == request.target
    assert [(n, v.rstrip(b" \t")) for n, v in peer.headers] == request.headers


# Heads that are alike


def told(head: bytes, read: Any) -> Any:
    """All that is said of a head, but for its kin."""
    try:
        request = read(head)
    except BadRequest as bad:
        return bad.verdict
    return [getattr(request, name) for name in request.__slots__ if name != "kin"]


def test_heads_that_differ_in_the_length_of_the_body_are_kin() -> None:
    reader = HeadReader()
    first, second = (
        reader.read(lines(b"X: 1", b"Content-Length: %d" % size, b"Y: 2")) for size in (7, 4_321)
    )
    assert first.kin is second.kin
    assert (first.content_length, second.content_length) == (7, 4_321)
    assert first.headers[2] == (b"Content-Length", b"7"), "the earlier one is left as it was"
    assert second.headers[2] == (b"Content-Length", b"4321")


@pytest.mark.parametrize(
    "other",
    [
        lines(b"X: 1", b"Content-Length: 7", b"Y: 3"),
        lines(b"X: 2", b"Content-Length: 7", b"Y: 2"),
        lines(b"X: 1", b"Content-Length: 7", b"Y: 2", first=b"POST /v1/other HTTP/1.1"),
        lines(b"X: 1", b"Content-Length:  7", b"Y: 2"),
        lines(b"X: 1", b"Content-Length: 7 ", b"Y: 2"),
        lines(b"X: 1", b"Content-Length: 7\r\nZ: 1", b"Y: 2"),
        lines(b"X: 1", b"Y: 2"),
    ],
)
def test_other_heads_are_not(other: bytes) -> None:
    reader = HeadReader()
    first = reader.read(lines(b"X: 1", b"Content-Length: 7", b"Y: 2"))
    second = reader.read(other)
    assert first.kin is not second.kin
    assert told(other, HeadReader().read) == told(other, read_request)


def test_a_huge_head_is_not_kept_in_mind() -> None:
    reader, huge = HeadReader(), lines(b"X: " + b"x" * 20_000, b"Content-Length: 7")
    assert reader.read(huge).kin is not reader.read(huge).kin


@pytest.mark.parametrize("length", [b"", b"+7", b"7a", b"-1", b"7 7", b"1" * 16, b"0x7", b"7,7"])
def test_a_bad_length_is_refused_after_good_ones_too(length: bytes) -> None:
    reader = HeadReader()
    reader.read(lines(b"Content-Length: 7"))
    with pytest.raises(BadRequest, match="not a plain number"):
        reader.read(lines(b"Content-Length: " + length))


digits = st.integers(0, 10**15).map(b"%d".__mod__)


@settings(max_examples=400, deadline=None)
@given(st.lists(header, max_size=4), st.lists(digits, min_size=2, max_size=4), spoil, st.integers())
def test_a_remembered_head_is_read_like_a_new_one(
    headers: list[tuple[bytes, bytes]], lengths: list[bytes], spoilt: bytes, at: int
) -> None:
    reader = HeadReader()
    for number, length in enumerate(lengths):
        fields = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        head = b"POST /v1/m HTTP/1.1\r\nHost: abg\r\n%bContent-Length: %b\r\n" % (fields, length)
        if number:
            place = at % (len(head) + 1)
            head = head[:place] + spoilt + head[place:]
        head += b"\r\n"
        head = head[: head_end(head)]
        assert told(head, reader.read) == told(head, read_request)


# Answers


@pytest.mark.parametrize(
    ("head", "method", "length", "chunked", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"GET", 5, False, True),
        (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", b"GET", 5, False, True),
        (b"HTTP/1.1 200 \r\nContent-Length: 5 \r\n\r\n", b"GET", 5, False, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", b"GET", None, True, True),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"GET", None, False, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", b"GET", 5, False, False),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            b"GET",
            0,
            False,
            False,
        ),
        (b"HTTP/1.1 200 OK\r\nConnection: X\r\nContent-Length: 0\r\n\r\n", b"GET", 0, False, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"HEAD", 0, False, True),
        (b"HTTP/1.1 204 No\r\n\r\n", b"GET", 0, False, True),
        (b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", b"GET", 0, False, True),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"GET", 0, False, True),
        (b"HTTP/1.1 200 OK\r\nX: 1\r\nX: 2\r\n\r\n", b"HEAD", 0, False, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"CONNECT", 0, False, False),
    ],
)
def test_what_an_answer_head_says(
    head: bytes, method: bytes, length: int | None, chunked: bool, keep_alive: bool
) -> None:
    answer = read_answer(head, method)
    assert (answer.length, answer.chunked, answer.keep_alive) == (length, chunked, keep_alive)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: deflate\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_answers_that_are_none(head: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_answer(head, b"GET")


@settings(max_examples=300, deadline=None)
@given(st.lists(header, max_size=5), spoil, st.integers(0, 200))
def test_answers_that_we_accept_llhttp_reads_alike(
    headers: list[tuple[bytes, bytes]], spoilt: bytes, at: int
) -> None:
    head = b"HTTP/1.1 200 Fine\r\n"
    head += b"".join(b"%b: %b\r\n" % pair for pair in headers) + b"\r\n"
    at %= len(head) + 1
    head = head[:at] + spoilt + head[at:]
    end = head_end(head)
    try:
        answer = read_answer(head[:end], b"GET")
    except BadAnswer:
        return
    peer = Peer(httptools.HttpResponseParser)
    try:
        peer.parser.feed_data(head[:end])
    except httptools.HttpParserError:
        # llhttp is stricter with our own reason phrases (obs-text), and it may be.
        assert spoilt == b"\xff"
        return
    assert peer.complete
    assert peer.parser.get_status_code() == answer.status
    assert [(n, v.rstrip(b" \t")) for n, v in peer.headers] == answer.headers


# Our own heads


def test_the_head_of_an_answer() -> None:
    assert answer_head(200, b"OK", [(b"A", b"1"), (b"a", b"2")], b"Connection: close\r\n") == (
        b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nConnection: close\r\n\r\n"
    )
    assert answer_head(204, b"", [], b"") == b"HTTP/1.1 204 \r\n\r\n"


@pytest.mark.parametrize(
    ("reason", "pair"),
    [
        (b"OK", (b"A", b"1\r\nB: 2")),
        (b"OK", (b"A\r\nB", b"1")),
        (b"OK", (b"A", b"1\nB: 2")),
        (b"OK", (b"A", b"1\rB: 2")),
        (b"OK\r\nB: 2", (b"A", b"1")),
        (b"OK\rB: 2", (b"A", b"1")),
    ],
)
def test_an_answer_is_never_split_in_two(reason: bytes, pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="line end"):
        answer_head(200, reason, [pair], b"")


def test_which_answers_have_no_body_and_which_length() -> None:
    assert bodiless(b"HEAD", 200)
    assert bodiless(b"GET", 204)
    assert bodiless(b"GET", 304)
    assert bodiless(b"GET", 100)
    assert not bodiless(b"GET", 200)
    assert declared_length([(b"X", b"1"), (b"CONTENT-LENGTH", b"12")]) == 12
    assert declared_length([(b"Content-Length", b"twelve"), (b"Content-Typed!", b"1")]) is None
    assert declared_length([]) is None


def test_a_refusal_without_a_dialect() -> None:
    said: list[Any] = []

    class Exchange:
        def respond(self, *what: Any) -> None:
            said.append(what)

        def write(self, data: bytes) -> None:
            said.append(data)

        def finish(self) -> None:
            said.append("end")

    for status, reason in ((400, b"Bad Request"), (418, b"Refused")):
        said.clear()
        plain_refusal(Exchange(), status, "what it is")  # type: ignore[arg-type]
        assert said[0][:2] == (status, reason)
        assert said[1:] == [b"what it is\n", "end"]


def test_limits_are_positive() -> None:
    for name in ("head_bytes", "idle_seconds", "body_bytes"):
        with pytest.raises(ValueError, match=name):
            Limits(**{name: 0})
