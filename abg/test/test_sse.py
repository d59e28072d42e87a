"""The event reader: the WHATWG's rules, any split, bounded memory; and relaying event by event."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from abg.dialects import relay, sse
from abg.dialects.relay import Strainer
from abg.dialects.sse import EventReader, are_whole, fields_of

Pieces = list[bytes]


def told(*pieces: bytes) -> list[tuple[bytes, bytes]]:
    """Name and data of every event that has any, as the stream came in these pieces."""
    reader = EventReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    events += reader.end()
    return [fields for event in events if (fields := fields_of(event)) != (b"", b"")]


def split_at(data: bytes, cuts: list[int]) -> Pieces:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


# -- the rules -------------------------------------------------------------------------------------

RULES = {
    "one event": (b"data: a\n\n", [(b"", b"a")]),
    "a name": (b"event: x\ndata: a\n\n", [(b"x", b"a")]),
    "the last name counts": (b"event: x\nevent: y\ndata: a\n\n", [(b"y", b"a")]),
    "no blank behind the colon": (b"data:a\n\n", [(b"", b"a")]),
    "only one blank is taken off": (b"data:  a \n\n", [(b"", b" a ")]),
    "several data lines": (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
    "a comment": (b": data: no\ndata: a\n\n", [(b"", b"a")]),
    "a comment alone": (b":\n\n:\n\ndata: a\n\n", [(b"", b"a")]),
    "a field without a colon": (b"data\ndata: b\n\n", [(b"", b"\nb")]),
    "unknown fields": (b"id: 1\nretry: 5\nfoo: x\ndata: a\n\n", [(b"", b"a")]),
    "carriage returns": (b"event: x\rdata: a\r\rdata: b\r\r", [(b"x", b"a"), (b"", b"b")]),
    "both line ends": (b"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [(b"x", b"a"), (b"", b"b")]),
    "mixed line ends": (
        b"data: a\r\n\ndata: b\n\r\ndata: c\r\n\rdata: d\n\r",
        list((b"", c.encode()) for c in "abcd"),
    ),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    "a byte order mark later is none": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
    "many blank lines": (b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [(b"", b"a"), (b"", b"b")]),
    "no blank line at the end": (b"data: a\n\ndata: b\n", [(b"", b"a"), (b"", b"b")]),
    "no line end at the end": (b"data: a\n\ndata: b", [(b"", b"a"), (b"", b"b")]),
    "nothing": (b"", []),
    "half a byte order mark": (b"\xef\xbb", []),
    "no stream at all": (b"<html>\n\n<body>", []),
}


@pytest.mark.parametrize("name", RULES)
def test_rule(name: str) -> None:
    stream, events = RULES[name]
    assert told(stream) == events


@pytest.mark.parametrize("name", RULES)
def test_rule_at_every_split(name: str) -> None:
    stream, events = RULES[name]
    for at in range(len(stream) + 1):
        assert told(stream[:at], stream[at:]) == events
    assert told(*(bytes([byte]) for byte in stream)) == events


# Enough kinds of bytes that every rule meets every other one.
STREAMS = st.lists(
    st.sampled_from([b"data: a", b"data:b", b"event: x", b":c", b"\n", b"\r", b"\r\n", b"\n\n"])
).map(b"".join)


def by_the_book(stream: bytes) -> list[tuple[bytes, bytes]]:
    """The algorithm of the standard, line by line, with the end of the stream as a blank line."""
    text = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found: list[tuple[bytes, bytes]] = []
    name, data = b"", b""
    for line in [*text.split(b"\n"), b""]:
        if not line:
            if (name, data) != (b"", b""):
                found.append((name, data[:-1]))
            name, data = b"", b""
            continue
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"event":
            name = value
        elif field == b"data":
            data += value + b"\n"
    return found


@given(STREAMS, st.lists(st.integers(0, 400)))
@example(b"data: a\r\n\r\n", [9])
def test_every_split_of_every_stream_is_read_by_the_book(stream: bytes, cuts: list[int]) -> None:
    assert told(*split_at(stream, cuts)) == by_the_book(stream)


def test_whole_events_take_the_short_way() -> None:
    reader = EventReader()
    assert not reader.between
    reader.feed(b"data: a\n\n")
    assert reader.between
    assert reader.feed(b"data: b\n\ndata: c\n\n") == [b"data: b", b"data: c", b""]
    reader.feed(b"data: d\n")
    assert not reader.between
    assert not are_whole(b"data: a\n\ndata: b\r\n\n")


# -- length ----------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> int:
    """Events are too long from 20 bytes on."""
    for module in (sse, relay):
        monkeypatch.setattr(module, "LONGEST", 20)
    return 20


def test_a_line_of_sixteen_megabytes_is_read() -> None:
    line = b"data: " + b"x" * (16 << 20)
    assert told(line[:5], line[5:] + b"\n\n") == [(b"", line[6:])]


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_a_longer_event_is_left_out_and_marked(short: int, end: bytes) -> None:
    stream = end.join([b"data: a", b"data: " + b"x" * 40, b"data: b", b""])
    for at in range(len(stream) + 1):
        reader = EventReader()
        events = [*reader.feed(stream[:at]), *reader.feed(stream[at:]), *reader.end()]
        assert [fields_of(e)[1] for e in events if e] == [b"a", b"b"]
        assert reader.too_long


def test_what_is_left_out_takes_no_memory(short: int) -> None:
    reader = EventReader()
    for _ in range(100):
        reader.feed(b"x" * 19)
    assert reader._tail == b""
    assert not reader.between
    assert reader.end() == ()
    assert reader.too_long


def test_an_event_of_exactly_the_limit_is_read(short: int) -> None:
    event = b"data: " + b"x" * 14
    for at in range(len(event) + 2):
        stream = event + b"\n\n"
        assert told(stream[:at], stream[at:]) == [(b"", b"x" * 14)]
    assert told(b"data: a\n\n", event + b"\n\n")[1] == (b"", b"x" * 14)


# -- relaying --------------------------------------------------------------------------------------


class Without:
    """Leaves out the events that hold a word."""

    def __init__(self, word: bytes) -> None:
        self.word = word

    def event(self, event: bytes) -> bytes:
        return b"" if self.word in event else event

    def events(self, data: bytes) -> bytes | None:
        return None if self.word in data else data


def relayed(change: Any, *pieces: bytes) -> tuple[bytes, bytes]:
    """What passed as it came, and what only at the end."""
    strainer = Strainer(change)
    out = b"".join(map(strainer.feed, pieces))
    return out, strainer.end()


ENDS = [b"\n", b"\r\n", b"\r"]


@pytest.mark.parametrize("end", ENDS)
def test_an_event_is_taken_out_at_every_split(end: bytes) -> None:
    lines = [b"data: a", b"", b"event: x", b"data: gone", b"", b"data: c", b"", b""]
    stream = end.join(lines)
    kept = end.join([b"data: a", b"", b"data: c", b"", b""])
    for at in range(len(stream) + 1):
        for later in range(at, len(stream) + 1, 5):
            parts = stream[:at], stream[at:later], stream[later:]
            assert b"".join(relayed(Without(b"gone"), *parts)) == kept


@given(STREAMS, st.lists(st.integers(0, 400)))
def test_without_a_change_every_byte_passes_at_the_end_of_an_event(
    stream: bytes, cuts: list[int]
) -> None:
    out, rest = relayed(None, *split_at(stream, cuts))
    assert out + rest == stream


def test_an_unfinished_event_waits() -> None:
    strainer = Strainer()
    assert strainer.feed(b"data: a\n\ndata:") == b"data: a\n\n"
    assert strainer.between
    assert not strainer.empty
    assert strainer.feed(b" b\n") == b""
    assert strainer.feed(b"\n") == b"data: b\n\n"
    assert strainer.empty


def test_whole_events_pass_as_the_very_same_object() -> None:
    piece = b"data: a\n\ndata: b\n\n"
    assert Strainer().feed(piece) is piece
    assert Strainer(Without(b"x")).feed(piece) is piece


def test_the_last_event_is_changed_without_its_blank_line() -> None:
    assert relayed(Without(b"gone"), b"data: a\n\ndata: gone") == (b"data: a\n\n", b"")
    assert relayed(Without(b"gone"), b"data: gone\r\n\r") == (b"", b"")


def test_an_event_that_is_too_long_passes_as_it_comes(short: int) -> None:
    stream = b"data: a\n\ndata: gone" + b"x" * 40 + b"\n\ndata: gone\n\ndata: b\n\n"
    for at in range(len(stream) + 1):
        out = b"".join(relayed(Without(b"gone"), stream[:at], stream[at:]))
        assert out == stream.replace(b"data: gone\n\n", b"")
    strainer = Strainer(Without(b"gone"))
    passed = strainer.feed(b"data: gone" + b"x" * 40)
    assert not strainer.between
    passed += strainer.feed(b"y") + strainer.end()
    assert passed == b"data: gone" + b"x" * 40 + b"y"
