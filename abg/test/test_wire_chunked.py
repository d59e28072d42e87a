"""The chunked coding, against a second decoder and every way to break it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.wire.chunked import ChunkedBody, MalformedBody

WHOLE = b"3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"


def test_a_body_comes_out_whole() -> None:
    body = ChunkedBody()
    assert body.feed(WHOLE) == b"abc0123456789"
    assert body.done
    assert not body.excess


def test_any_split_is_the_same_body() -> None:
    for at in range(1, len(WHOLE)):
        body = ChunkedBody()
        assert body.feed(WHOLE[:at]) + body.feed(WHOLE[at:]) == b"abc0123456789"
        assert body.done
    body = ChunkedBody()
    assert b"".join(body.feed(bytes([byte])) for byte in WHOLE) == b"abc0123456789"
    assert body.done


@pytest.mark.parametrize(
    "behind",
    [
        b"G",
        b"GET / HTTP/1.1\r\n\r\n",
        b"H",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        b"\x00",
    ],
)
def test_what_lies_behind_the_body_is_no_part_of_it(behind: bytes) -> None:
    body = ChunkedBody()
    assert body.feed(WHOLE + behind) == b"abc0123456789"
    assert body.done
    assert body.excess
    body = ChunkedBody()
    body.feed(WHOLE)
    assert body.feed(behind) == b""
    assert body.excess


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"-3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\rabc\r\n",
        b"3\r\nabc\n",
        b"3\r\nabcd\r\n",
        b"3\r\nab\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"\r\n3\r\nabc\r\n",
        b"3;\nx\r\nabc\r\n",
        b"3;x\x00\r\nabc\r\n",
        b"0\r\n\n",
        b"0\r\nTrailer : x\r\n\r\n",
        b"0\r\nTrailer\r\n\r\n",
        b";\r\n",
    ],
)
def test_what_is_broken_is_said_so(data: bytes) -> None:
    with pytest.raises(MalformedBody):
        ChunkedBody().feed(data)


def test_nobody_keeps_us_reading_for_nothing() -> None:
    for data in (b"1;" + b"x" * 20_000 + b"\r\na\r\n", b"0\r\n" + b"Trailer: x\r\n" * 20_000):
        body = ChunkedBody()
        with pytest.raises(MalformedBody):
            for _ in range(100):
                body.feed(data)


def test_one_byte_in_a_chunk_is_borne() -> None:
    body = ChunkedBody()
    for _ in range(50_000):
        assert body.feed(b"1\r\na\r\n") == b"a"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=8),
    st.lists(st.integers(0, 3000), max_size=6),
)
def test_what_was_chunked_comes_out(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    body = ChunkedBody()
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    spans = itertools.pairwise(edges)
    out = b"".join(body.feed(data[a:b]) for a, b in spans if a < b)
    assert out == b"".join(pieces)
    assert body.done
    assert not body.excess
