"""Both doors read any stream of bytes alike: what begins, what is refused, what is answered."""

from __future__ import annotations

import itertools
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from abg.test.doors import LaneDoor, Seen, SiteDoor
from abg.test.test_exchange_contract import CHUNKED, GET, POST, REFUSED, head

SOUND = [
    GET,
    POST,
    GET.replace(b"GET", b"HEAD"),
    GET.replace(b"/v1/models", b"/abg/status"),
    POST.replace(b"/v1/messages", b"/abg/reset"),
    POST.replace(b"\r\nContent", b"\r\nExpect: 100-continue\r\nContent"),
    GET.replace(b"\r\n\r\n", b"\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
    GET.replace(b"/v1/models", b"http://abg/v1/models"),
    GET.replace(b"\r\n\r\n", b"\r\nX: 1 \r\nx: \t2\r\n\r\n"),
    b"\r\n" + GET,
]
LAST = [
    CHUNKED,
    head(b"Host: abg", b"Connection: close"),
    b"GET /v1/models HTTP/1.0\r\n\r\n",
    b"GET /v1/mo",
    POST[:-2],
    *[
        data
        for name, heads in REFUSED.items()
        if name not in ("too large", "chunks")
        for data in heads
    ],
]
SPOIL = [b"\r", b"\n", b"\x00", b" ", b"\t", b":", b"\r\n", b"Content-Length: 1\r\n", b"\xff", b","]


def told(door: Any, stream: bytes, cuts: list[int]) -> Any:
    """All that a door makes of a stream."""

    def answer(seen: Seen) -> None:
        seen.exchange.respond(200, b"OK", [(b"Content-Length", b"%d" % len(seen.body))])
        seen.exchange.write(seen.body)
        seen.exchange.finish()

    door.application.when["end"] = answer
    client = door.connect()
    edges = [0, *sorted(cut % len(stream) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        if start < end:
            client.send(stream[start:end])
    door.wait(70)
    began = [
        (
            seen.exchange.method,
            seen.exchange.target,
            seen.exchange.headers,
            seen.exchange.content_length,
            seen.body,
            seen.ended,
            "gone" in seen.events,
        )
        for seen in door.seen
    ]
    statuses = re.findall(rb"HTTP/1\.1 [0-9]+", client.received)
    return began, door.application.refused, statuses


class Agreement(SynchronousTestCase):
    @settings(max_examples=250, deadline=None)
    @given(
        st.lists(st.sampled_from(SOUND), max_size=4),
        st.sampled_from(LAST),
        st.lists(st.integers(0, 2000), max_size=5),
    )
    def test_on_what_is_sound_and_what_is_not(
        self, sound: list[bytes], last: bytes, cuts: list[int]
    ) -> None:
        stream = b"".join(sound) + last
        self.assertEqual(told(LaneDoor(), stream, cuts), told(SiteDoor(), stream, cuts))

    @settings(max_examples=250, deadline=None)
    @given(
        st.lists(st.sampled_from([*SOUND, POST, GET]), min_size=1, max_size=3),
        st.sampled_from(SPOIL),
        st.integers(0, 400),
        st.integers(0, 3),
        st.lists(st.integers(0, 2000), max_size=3),
    )
    def test_on_what_was_spoilt(
        self, sound: list[bytes], spoil: bytes, at: int, removed: int, cuts: list[int]
    ) -> None:
        stream = b"".join(sound)
        at %= len(stream)
        stream = stream[:at] + spoil + stream[at + removed :]
        self.assertEqual(told(LaneDoor(), stream, cuts), told(SiteDoor(), stream, cuts))
