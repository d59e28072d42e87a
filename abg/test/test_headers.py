"""Header fields of one hop end at abg; all others pass in order and as spelt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg import headers as room
from abg.call import Headers
from abg.headers import for_client, for_vendor, of_one_hop

IDENTITY = (b"Accept-Encoding", b"identity")

HOP_BY_HOP = [
    b"Connection",
    b"Keep-Alive",
    b"Proxy-Authenticate",
    b"Proxy-Authentication-Info",
    b"Proxy-Authorization",
    b"Proxy-Connection",
    b"TE",
    b"Trailer",
    b"Transfer-Encoding",
    b"Upgrade",
    b"HTTP2-Settings",
]


@pytest.mark.parametrize("name", [*HOP_BY_HOP, b"x-abg-session-id", b"X-ABG-Decision"])
def test_fields_of_one_hop_and_abgs_own_end_here(name: bytes) -> None:
    for spelt in (name, name.lower(), name.upper()):
        assert for_vendor([(spelt, b"x"), (b"a", b"b")]) == [(b"a", b"b"), IDENTITY]
        assert for_client([(spelt, b"x"), (b"a", b"b")]) == [(b"a", b"b")]
        assert of_one_hop(spelt.lower())


@pytest.mark.parametrize("name", [b"Host", b"Expect", b"Content-Length"])
def test_what_the_sender_says_anew_is_left_out_of_requests_only(name: bytes) -> None:
    assert for_vendor([(name, b"5")]) == [IDENTITY]
    assert for_client([(name, b"5")]) == [(name, b"5")]
    assert of_one_hop(name.lower())
    assert not of_one_hop(b"content-type")


@pytest.mark.parametrize("both", [for_vendor, for_client])
def test_what_connection_names_ends_here(both: object) -> None:
    given_fields: Headers = [
        (b"X-Secret", b"1"),
        (b"Connection", b"close, x-SECRET ,, Foo"),
        (b"Foo", b"2"),
        (b"Bar", b"3"),
        (b"connection", b"\tbaz"),
        (b"Baz", b"4"),
    ]
    kept = both(given_fields)  # type: ignore[operator]
    assert [field for field in kept if field != IDENTITY] == [(b"Bar", b"3")]


def test_usual_values_of_connection_name_nothing() -> None:
    for value in (b"keep-alive", b"Keep-Alive", b"close", b"Close", b"KEEP-ALIVE"):
        fields: Headers = [(b"Connection", value), (b"a", b"b")]
        assert for_client(fields) == [(b"a", b"b")]


def test_the_answer_is_asked_for_uncoded() -> None:
    fields: Headers = [
        (b"a", b"1"),
        (b"accept-ENCODING", b"gzip, br"),
        (b"b", b"2"),
        (b"Accept-Encoding", b"zstd"),
    ]
    assert for_vendor(fields) == [(b"a", b"1"), (b"accept-ENCODING", b"identity"), (b"b", b"2")]
    assert for_vendor([]) == [IDENTITY]
    # Nobody can talk it away.
    named: Headers = [(b"Connection", b"accept-encoding"), (b"Accept-Encoding", b"gzip")]
    assert for_vendor(named) == [IDENTITY]
    # An answer's own field is no wish.
    assert for_client([(b"Accept-Encoding", b"gzip")]) == [(b"Accept-Encoding", b"gzip")]


def test_order_case_and_repetition_are_kept() -> None:
    fields: Headers = [
        (b"Set-Cookie", b"a"),
        (b"X-First", b""),
        (b"set-cookie", b"b"),
        (b"Content-Type", b"text/event-stream"),
        (b"Server", b"cloudflare"),
    ]
    assert for_client(fields) == fields
    assert for_vendor(fields) == [*fields, IDENTITY]


def test_fields_of_the_configuration_replace_those_of_the_client() -> None:
    fields: Headers = [(b"X-Team", b"client"), (b"a", b"b"), (b"x-team", b"again")]
    added = [(b"x-TEAM", b"ours"), (b"New", b"1")]
    assert for_vendor(fields, added) == [(b"a", b"b"), IDENTITY, *added]
    # Also where the client says that its own concerns one connection only.
    named: Headers = [(b"Connection", b"x-team"), *fields]
    assert for_vendor(named, added) == [(b"a", b"b"), IDENTITY, *added]


def test_the_memory_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_REMEMBERED", 4)
    for number in range(20):
        for_vendor([(b"x-%d" % number, b""), (b"n" * 100, b"")])
    assert len(room._TO_VENDOR) <= 4
    assert all(len(name) <= 64 for name in room._TO_VENDOR)
    assert for_vendor([(b"Host", b"x"), (b"x" * 100, b"")]) == [(b"x" * 100, b""), IDENTITY]


NAMES = st.sampled_from([*HOP_BY_HOP, b"Host", b"Accept-Encoding", b"X-Abg-A", b"A", b"b", b"C-d"])
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from([b"", b"a", b"b, c-d", b"keep-alive"])))


@given(FIELDS)
def test_nothing_is_added_reordered_or_passed_twice(fields: Headers) -> None:
    kept = for_client(fields)
    rest = iter(fields)
    assert all(field in rest for field in kept), "a subsequence"
    # What has passed one proxy passes the next one unchanged.
    assert for_client(kept) == kept
    sent = for_vendor(fields)
    assert for_vendor(sent) == sent
    assert [v for n, v in sent if n.lower() == b"accept-encoding"] == [b"identity"]
