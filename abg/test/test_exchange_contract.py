"""What every exchange does alike: one suite over both doors (``abg.exchange``, contract 22)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from abg.test.doors import Client, LaneDoor, MountedDoor, Seen, SiteDoor, fields, whole
from abg.wire.head import VERDICTS
from abg.wire.limits import Limits

GET = b"GET /v1/models HTTP/1.1\r\nHost: abg\r\n\r\n"
POST = b"POST /v1/messages HTTP/1.1\r\nHost: abg\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /v1/messages HTTP/1.1\r\nHost: abg\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;name=value\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: dropped\r\n\r\n"
)


def head(*lines: bytes, first: bytes = b"POST /v1/messages HTTP/1.1") -> bytes:
    return b"\r\n".join((first, *lines)) + b"\r\n\r\n"


# One or more heads for each verdict: what is sent, and nothing of it may begin.
REFUSED: dict[str, list[bytes]] = {
    "request line": [
        b"GET /v1/models\r\nHost: abg\r\n\r\n",
        b"GET  /v1/models HTTP/1.1\r\nHost: abg\r\n\r\n",
        b"GET /v1/models  HTTP/1.1\r\nHost: abg\r\n\r\n",
        b"GET /v1/mo dels HTTP/1.1\r\nHost: abg\r\n\r\n",
        b"GET\t/v1/models HTTP/1.1\r\nHost: abg\r\n\r\n",
        b"GET /v1/models HTTP/1.1 \r\nHost: abg\r\n\r\n",
        b"GET /v1/models http/1.1\r\nHost: abg\r\n\r\n",
        b"GET /v1/models\rx HTTP/1.1\r\nHost: abg\r\n\r\n",
        b"GE(T /v1/models HTTP/1.1\r\nHost: abg\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b" GET /v1/models HTTP/1.1\r\nHost: abg\r\n\r\n",
    ],
    "version": [
        b"GET /v1/models HTTP/2.0\r\nHost: abg\r\n\r\n",
        b"GET /v1/models HTTP/0.9\r\nHost: abg\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    "target": [
        b"GET v1/models HTTP/1.1\r\nHost: abg\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: abg\r\n\r\n",
        b"GET /v1/models#part HTTP/1.1\r\nHost: abg\r\n\r\n",
        b"GET /v1/m\xc3\xb6dels HTTP/1.1\r\nHost: abg\r\n\r\n",
        b"GET /v1/mod\x00els HTTP/1.1\r\nHost: abg\r\n\r\n",
        b"GET ftp://abg/v1/models HTTP/1.1\r\nHost: abg\r\n\r\n",
    ],
    "connect": [
        b"CONNECT api.anthropic.com:443 HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n",
        b"CONNECT /v1/messages HTTP/1.1\r\nHost: abg\r\n\r\n",
    ],
    "field": [
        head(b"Host: abg", b"No colon"),
        head(b"Host: abg", b"Name : value"),
        head(b"Host: abg", b": value"),
        head(b"Host: abg", b"X: folded", b" line"),
        head(b"Host: abg", b"\tX: tab first"),
        head(b"Host: abg", b"X: bare\rCR"),
        head(b"Host: abg", b"X: bare\nLF: y"),
        head(b"Host: abg", b"X: nul\x00"),
        head(b"Host: abg", b"X: bell\x07"),
        head(b"Host: abg", b"X(y): z"),
        head(b"Host: abg", b"Content-Length: 5\n"),
        head(b"Host: abg\x0b"),
        b"GET /v1/models HTTP/1.1\nHost: abg\n\n",
        b"GET /v1/models HTTP/1.1\r\nHost: abg\n\n",
        b"GET /v1/models HTTP/1.1\r\n Host: abg\r\n\r\n",
    ],
    "no host": [head(b"X: y"), head(first=b"GET /v1/models HTTP/1.1")],
    "two hosts": [head(b"Host: abg", b"Host: abg"), head(b"Host: abg", b"host: evil")],
    "bad host": [
        head(b"Host: abg/evil"),
        head(b"Host: user@abg"),
        head(b"Host: abg, evil"),
        head(b"Host: abg evil"),
        head(b"Host: abg:port"),
        head(b"Host: [::1"),
    ],
    "length and coding": [
        head(b"Host: abg", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        head(b"Host: abg", b"Transfer-Encoding: chunked", b"content-length: 0"),
    ],
    "two lengths": [
        head(b"Host: abg", b"Content-Length: 5", b"Content-Length: 5"),
        head(b"Host: abg", b"Content-Length: 5", b"content-length: 6"),
    ],
    "bad length": [
        head(b"Host: abg", b"Content-Length: " + value)
        for value in (b"+5", b"-5", b"5, 5", b"0x5", b"5 5", b"", b"5;", b"1" * 16, b"1_0", b"\xb2")
    ],
    "old coding": [
        head(b"Transfer-Encoding: chunked", first=b"POST /v1/messages HTTP/1.0"),
    ],
    "chunked twice": [
        head(b"Host: abg", b"Transfer-Encoding: chunked, chunked"),
        head(b"Host: abg", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    ],
    "coding": [
        head(b"Host: abg", b"Transfer-Encoding: " + value)
        for value in (
            b"gzip, chunked",
            b"gzip",
            b"identity",
            b"chunked, identity",
            b"xchunked",
            b"chunked;q=1",
            b"",
            b"\x20chunked\x20x",
        )
    ],
    "expectation": [head(b"Host: abg", b"Expect: 200-ok", b"Content-Length: 5")],
    "too large": [
        head(b"Host: abg", b"X: " + b"x" * 65_536),
        b"GET /" + b"x" * 70_000,
        head(b"Host: abg", *[b"X%d: y" % number for number in range(8_000)]),
    ],
    "chunks": [
        head(b"Host: abg", b"Transfer-Encoding: chunked") + bad
        for bad in (b"x\r\n", b"-1\r\n", b"+1\r\n", b"3\r\nabcd\r\n", b"0x3\r\n", b"3\nabc\r\n")
    ],
}
BY_OTHERS = {"body"}
"""Verdicts that do not depend on a head alone; tested where they are given."""


class ContractTests:
    """The suite; ``door`` makes the one that is tested."""

    door: Any
    own = True
    """The door is ours: it begins with the head, streams the body, and keeps our limits."""

    def one(self, data: bytes, limits: Limits | None = None, **when: Any) -> tuple[Any, Client]:
        """A door whose application does ``when``, and a client that has sent ``data``."""
        door = self.door(limits) if limits is not None else self.door()
        door.application.when.update(when)
        client = door.connect()
        client.send(data)
        return door, client

    # What is asked

    def test_a_request_is_told_as_it_came(self) -> None:
        door, _ = self.one(
            b"GET /v1/a%2fb?x=1&x=2 HTTP/1.1\r\nHost: abg\r\nX-One: 1\r\nx-two:2\r\n"
            b"X-One:  3 \r\nX-Empty:\r\n\r\n"
        )
        exchange = door.only.exchange
        self.assertEqual(exchange.method, b"GET")
        self.assertEqual(exchange.target, b"/v1/a%2fb?x=1&x=2")
        told = [
            (b"Host", b"abg"),
            (b"X-One", b"1"),
            (b"x-two", b"2"),
            (b"X-One", b"3"),
            (b"X-Empty", b""),
        ]
        self.assertEqual(fields(exchange.headers), fields(told))
        if self.own:
            self.assertEqual(exchange.headers, told)
        self.assertEqual(exchange.peer, "127.0.0.1")
        self.assertEqual(exchange.content_length, 0)
        self.assertEqual(door.only.events, ["end"])

    def test_a_body_of_counted_length(self) -> None:
        door, _ = self.one(POST)
        self.assertEqual(door.only.exchange.content_length, 5)
        self.assertEqual(door.only.body, b"hello")
        self.assertEqual(door.only.events, ["body", "end"])

    def test_a_body_in_chunks(self) -> None:
        door, _ = self.one(CHUNKED)
        if self.own:
            self.assertIsNone(door.only.exchange.content_length)
        self.assertEqual(door.only.body, b"hello")
        self.assertTrue(door.only.ended)

    def test_any_split_is_the_same_request(self) -> None:
        for request in (GET, POST, CHUNKED):
            for at in range(1, len(request)):
                door, client = self.one(request[:at])
                client.send(request[at:])
                self.assertTrue(door.only.ended, at)
                self.assertEqual(door.only.body, b"" if request is GET else b"hello", at)
            door = self.door()
            client = door.connect()
            for byte in request:
                client.send(bytes([byte]))
            self.assertTrue(door.only.ended)

    def test_empty_lines_before_a_request_are_ignored(self) -> None:
        _door, client = self.one(b"\r\n" + GET, end=whole)
        client.send(b"\r\n\r\n" + GET)
        self.assertEqual(len(client.answers()), 2)

    def test_ten_megabytes_are_no_matter(self) -> None:
        size = 10_000_000
        body = bytes(range(256)) * (size // 256)
        door, client = self.one(head(b"Host: abg", b"Content-Length: %d" % len(body)))
        for at in range(0, len(body), 65_536):
            client.transport.deliver(body[at : at + 65_536])
        joined = b"".join(door.only.pieces)
        self.assertEqual(len(joined), len(body))
        self.assertEqual(joined, body)
        self.assertTrue(door.only.ended)

    # What is answered

    def test_an_answer_of_counted_length(self) -> None:
        def answer(seen: Seen) -> None:
            seen.exchange.respond(
                200,
                b"All Right",
                [
                    (b"Content-Type", b"application/json"),
                    (b"Set-Cookie", b"a=1"),
                    (b"X-Other", b"x"),
                    (b"set-cookie", b"b=2"),
                    (b"content-length", b"6"),
                ],
            )
            seen.exchange.write(b"abc")
            seen.exchange.write(b"def")
            seen.exchange.finish()

        _, client = self.one(GET, end=answer)
        (got,) = client.answers()
        self.assertEqual((got.status, got.reason, got.body), (200, "All Right", b"abcdef"))
        self.assertEqual(got.all("Set-Cookie"), ["a=1", "b=2"])
        self.assertEqual(
            sorted(name.lower() for name, _ in got.headers),
            ["content-length", "content-type", "set-cookie", "set-cookie", "x-other"],
        )

    def test_nothing_is_added_to_an_answer_and_the_vendors_own_stays(self) -> None:
        def answer(seen: Seen) -> None:
            seen.exchange.respond(
                404,
                b"Not Found",
                [(b"Server", b"cloudflare"), (b"Date", b"then"), (b"Content-Length", b"2")],
            )
            seen.exchange.write(b"no")
            seen.exchange.finish()

        _, client = self.one(GET, end=answer)
        (got,) = client.answers()
        self.assertEqual(
            got.headers, [("Server", "cloudflare"), ("Date", "then"), ("Content-Length", "2")]
        )
        _, client = self.one(GET, end=lambda seen: seen.exchange.respond(200, b"OK", []))
        self.assertNotIn(b"Server", client.received)

    def test_an_answer_without_a_length_is_chunked(self) -> None:
        def answer(seen: Seen) -> None:
            seen.exchange.respond(200, b"OK", [(b"Content-Type", b"text/event-stream")])
            seen.exchange.write(b"data: 1\n\n")
            seen.exchange.flush()

        door, client = self.one(GET, end=answer)
        exchange = door.only.exchange
        self.assertTrue(client.received.endswith(b"9\r\ndata: 1\n\n\r\n"))
        before = client.received
        exchange.write(b"data: 2\n\n")
        exchange.write(b"data: 3\n\n")
        self.assertEqual(client.received, before)
        exchange.flush()
        self.assertTrue(client.received.endswith(b"12\r\ndata: 2\n\ndata: 3\n\n\r\n"))
        exchange.flush()
        exchange.write(b"end")
        exchange.finish()
        (got,) = client.answers()
        self.assertEqual(got.body, b"data: 1\n\ndata: 2\n\ndata: 3\n\nend")
        self.assertEqual(got.all("Transfer-Encoding"), ["chunked"])
        client.send(GET)
        self.assertEqual(len(door.seen), 2)

    def test_a_head_goes_out_with_flush_before_any_body(self) -> None:
        def answer(seen: Seen) -> None:
            seen.exchange.respond(200, b"OK", [(b"Content-Length", b"3")])
            seen.exchange.flush()

        _, client = self.one(GET, end=answer)
        self.assertTrue(client.received.endswith(b"\r\n\r\n"))

    def test_answers_without_a_body(self) -> None:
        for method, status, headers in (
            (b"HEAD", 200, [(b"Content-Length", b"1000")]),
            (b"HEAD", 200, []),
            (b"GET", 204, []),
            (b"GET", 304, [(b"ETag", b"x")]),
            (b"GET", 200, [(b"Content-Length", b"0")]),
        ):

            def answer(seen: Seen, status: int = status, headers: Any = headers) -> None:
                seen.exchange.respond(status, b"OK", headers)
                seen.exchange.write(b"never seen") if status != 200 else None
                seen.exchange.finish()

            request = GET.replace(b"GET", method)
            _door, client = self.one(request, end=answer)
            client.send(request)
            name = method.decode()
            answers = client.answers(name, name)
            self.assertEqual([a.status for a in answers], [status, status])
            self.assertEqual([a.body for a in answers], [b"", b""])
            self.assertFalse(client.closed)
            self.assertEqual(
                fields([(n.encode(), v.encode()) for n, v in answers[0].headers]),
                fields([*headers]),
            )

    def test_too_much_body_is_cut_and_too_little_is_seen(self) -> None:
        def answer(size: bytes) -> Any:
            def act(seen: Seen) -> None:
                seen.exchange.respond(200, b"OK", [(b"Content-Length", size)])
                seen.exchange.write(b"hello")
                seen.exchange.write(b"again")
                seen.exchange.finish()

            return act

        _, client = self.one(GET, end=answer(b"3"))
        self.assertTrue(client.received.endswith(b"\r\n\r\nhel"))
        _, client = self.one(GET, end=answer(b"50"))
        self.assertTrue(client.received.endswith(b"\r\n\r\nhelloagain"))
        self.assertTrue(client.closed)

    def test_a_field_with_a_line_end_never_leaves(self) -> None:
        for header in ((b"X", b"a\r\nSet-Cookie: b"), (b"X\r\nY", b"a"), (b"X", b"a\nb")):
            failed = []

            def answer(seen: Seen, header: Any = header, failed: Any = failed) -> None:
                try:
                    seen.exchange.respond(200, b"OK", [header])
                    seen.exchange.flush()
                except ValueError:
                    failed.append(True)
                seen.exchange.abort()

            _, client = self.one(GET, end=answer)
            self.assertNotIn(b"\nSet-Cookie", client.received)
            self.assertNotIn(b"\nb", client.received)
            self.assertNotIn(b"\nY", client.received)

    # One after another

    def test_a_connection_serves_one_request_after_another(self) -> None:
        door = self.door()
        door.application.when["end"] = lambda seen: whole(seen, seen.body)
        client = door.connect()
        for request in (GET, POST, CHUNKED, GET, POST):
            client.send(request)
        self.assertEqual(
            [answer.body for answer in client.answers()], [b"", b"hello", b"hello", b"", b"hello"]
        )
        self.assertFalse(client.closed)

    def test_pipelined_requests_wait_for_their_turn(self) -> None:
        door, client = self.one(GET + POST + GET)
        self.assertEqual(len(door.seen), 1)
        whole(door.seen[0], b"1")
        door.turn()
        self.assertEqual(len(door.seen), 2)
        self.assertEqual(door.seen[1].body, b"hello")
        whole(door.seen[1], b"2")
        door.turn()
        whole(door.seen[2], b"3")
        self.assertEqual([answer.body for answer in client.answers()], [b"1", b"2", b"3"])

    def test_a_thousand_pipelined_requests_need_no_stack(self) -> None:
        for moment in ("begin", "end"):
            door = self.door()
            door.application.when[moment] = whole
            client = door.connect()
            client.send(GET * 1000)
            door.turn()
            self.assertEqual(len(client.answers()), 1000)

    def test_close_closes(self) -> None:
        for value in (b"close", b"Close", b"keep-alive, close", b"x, close"):
            door, client = self.one(
                head(b"Host: abg", b"Connection: " + value) + GET,
                end=whole,
            )
            (got,) = client.answers()
            self.assertEqual(got.all("Connection"), ["close"])
            self.assertEqual(len(door.seen), 1)
            self.assertTrue(client.closed)

    def test_http_1_0_ends_with_the_connection(self) -> None:
        def answer(seen: Seen) -> None:
            seen.exchange.respond(200, b"OK", [])
            seen.exchange.write(b"hello")
            seen.exchange.finish()

        _door, client = self.one(b"GET /v1/models HTTP/1.0\r\n\r\n", end=answer)
        self.assertTrue(client.received.endswith(b"\r\n\r\nhello"))
        self.assertNotIn(b"chunked", client.received)
        self.assertTrue(client.closed)

    # The unusual

    def test_an_absolute_target_is_told_as_it_came(self) -> None:
        door, _ = self.one(b"GET http://abg:8788/v1/models?x HTTP/1.1\r\nHost: abg:8788\r\n\r\n")
        self.assertEqual(door.only.exchange.target, b"http://abg:8788/v1/models?x")

    def test_an_upgrade_is_a_request_like_any_other(self) -> None:
        _door, client = self.one(
            head(
                b"Host: abg",
                b"Connection: Upgrade",
                b"Upgrade: websocket",
                first=b"GET /v1/responses HTTP/1.1",
            ),
            end=lambda seen: whole(seen, status=426),
        )
        client.send(GET)
        self.assertEqual([answer.status for answer in client.answers()], [426, 426])

    def test_100_continue_is_said_when_the_body_is_wanted(self) -> None:
        asked = head(b"Host: abg", b"Content-Length: 5", b"Expect: 100-Continue")
        door, client = self.one(asked, end=lambda seen: whole(seen, seen.body))
        self.assertEqual(client.received, b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual([seen.events for seen in door.seen], [[]] if self.own else [])
        client.send(b"hello")
        client.send(GET)
        self.assertEqual([answer.body for answer in client.answers()], [b"hello", b""])

    def test_options_of_the_server_itself_are_answered(self) -> None:
        _, client = self.one(b"OPTIONS * HTTP/1.1\r\nHost: abg\r\n\r\n")
        self.assertEqual(len(client.answers()), 1)

    # The client's socket

    def test_a_full_socket_stops_the_feeding_and_an_empty_one_lets_it_go_on(self) -> None:
        door, client = self.one(
            GET, end=lambda seen: seen.exchange.respond(200, b"OK", [(b"X", b"y")])
        )
        seen, application = door.only, door.application
        client.transport.take(False)

        def feed() -> None:
            for _ in range(20):
                seen.exchange.write(b"x" * 8192)
                seen.exchange.flush()

        application.inside(feed)
        door.turn()
        self.assertEqual(seen.events, ["end", "pause"])
        client.transport.take(True)
        door.turn()
        self.assertEqual(seen.events, ["end", "pause", "resume"])
        seen.exchange.finish()
        self.assertEqual(len(client.answers()[0].body), 20 * 8192)

    def test_a_socket_that_empties_at_once_is_not_worth_a_word(self) -> None:
        door, client = self.one(GET, end=lambda seen: seen.exchange.respond(200, b"OK", []))
        client.transport.take(False)
        door.only.exchange.write(b"x" * 100_000)
        door.only.exchange.flush()
        client.transport.take(True)
        door.turn()
        self.assertEqual(door.only.events, ["end"])

    # The client leaves

    def test_who_leaves_is_gone_at_once(self) -> None:
        unfinished = (
            head(b"Host: abg", b"Content-Length: 10") + b"12345",
            head(b"Host: abg", b"Transfer-Encoding: chunked") + b"5\r\n12345\r\n",
        )
        for data in (GET, POST, *unfinished):
            door, client = self.one(data)
            client.leave()
            if self.own or data not in unfinished:
                self.assertEqual(door.only.events[-1], "gone")
                self.assertEqual(door.only.events.count("gone"), 1)
            else:
                self.assertEqual(door.seen, [])

    def test_who_leaves_inside_the_answer_is_gone_also_while_paused(self) -> None:
        door, client = self.one(GET, end=lambda seen: seen.exchange.respond(200, b"OK", []))
        client.transport.take(False)
        door.only.exchange.write(b"x" * 100_000)
        door.only.exchange.flush()
        door.turn()
        self.assertEqual(door.only.events[-1], "pause")
        self.assertTrue(client.transport.reading)
        client.leave()
        self.assertEqual(door.only.events[-1], "gone")

    def test_who_leaves_inside_a_head_was_never_there(self) -> None:
        door, client = self.one(GET[:20])
        client.leave()
        self.assertEqual(door.seen, [])

    def test_after_the_end_nothing_is_told_and_nothing_is_done(self) -> None:
        door, client = self.one(GET, end=whole)
        exchange = door.only.exchange
        before = client.received
        for call in (
            lambda: exchange.respond(500, b"No", []),
            lambda: exchange.write(b"more"),
            exchange.flush,
            exchange.finish,
            exchange.abort,
            exchange.pause_body,
            exchange.resume_body,
        ):
            call()
        door.turn()
        self.assertEqual(client.received, before)
        self.assertFalse(client.closed)
        client.leave()
        self.assertEqual(door.only.events, ["end"])

    def test_after_gone_calls_are_ignored(self) -> None:
        door, client = self.one(GET, end=lambda seen: seen.exchange.respond(200, b"OK", []))
        client.leave()
        exchange = door.only.exchange
        exchange.write(b"x")
        exchange.flush()
        exchange.finish()
        exchange.abort()
        door.turn()
        self.assertEqual(door.only.events, ["end", "gone"])

    # Broken off

    def test_an_abort_shows_as_a_cut_answer(self) -> None:
        for headers in ([], [(b"Content-Length", b"100")]):
            door, client = self.one(
                GET,
                end=lambda seen, headers=headers: seen.exchange.respond(200, b"OK", headers),
            )
            door.only.exchange.write(b"hello")
            door.only.exchange.flush()
            door.only.exchange.write(b" world")
            door.only.exchange.abort()
            door.turn()
            self.assertTrue(client.closed)
            self.assertIn(b"hello", client.received)
            self.assertIn(b" world", client.received)
            self.assertNotIn(b"\r\n0\r\n\r\n", client.received)
            self.assertEqual(door.only.events, ["end"])

    def test_an_abort_before_the_answer_closes(self) -> None:
        door, client = self.one(POST)
        door.only.exchange.abort()
        door.turn()
        self.assertTrue(client.closed)
        self.assertEqual(client.received, b"")
        self.assertEqual(door.only.events, ["body", "end"])

    def test_an_abort_of_an_answer_that_the_connection_ends_is_seen_too(self) -> None:
        door, client = self.one(
            b"GET /v1/models HTTP/1.0\r\n\r\n",
            end=lambda seen: seen.exchange.respond(200, b"OK", []),
        )
        door.only.exchange.write(b"hello")
        door.only.exchange.abort()
        door.turn()
        self.assertTrue(client.closed)
        self.assertTrue(client.transport.aborted)

    def test_what_was_written_before_an_abort_still_goes_to_a_slow_client(self) -> None:
        door, client = self.one(GET, end=lambda seen: seen.exchange.respond(200, b"OK", []))
        client.transport.take(False)
        door.only.exchange.write(b"x" * 100_000)
        door.only.exchange.abort()
        door.turn()
        self.assertFalse(client.closed)
        client.transport.take(True)
        door.turn()
        self.assertTrue(client.closed)
        self.assertGreater(len(client.received), 100_000)

    def test_an_abort_does_not_wait_for_ever(self) -> None:
        door, client = self.one(GET, end=lambda seen: seen.exchange.respond(200, b"OK", []))
        client.transport.take(False)
        door.only.exchange.write(b"x" * 100_000)
        door.only.exchange.abort()
        door.wait(20)
        self.assertTrue(client.closed)


class OwnDoorTests(ContractTests):
    """What holds where the limits are ours: refusals, early answers, brakes, deadlines."""

    # What is refused

    def test_what_is_beyond_the_rules_is_refused_and_nothing_begins(self) -> None:
        for verdict, requests in REFUSED.items():
            for request in requests:
                status, message = VERDICTS[verdict]
                door, client = self.one(request)
                where = f"{verdict}: {request[:80]!r}"
                self.assertEqual(door.application.refused, [(status, message)], where)
                if verdict == "chunks":
                    self.assertEqual(door.only.events[-1], "gone", where)
                    self.assertFalse(door.only.ended, where)
                else:
                    self.assertEqual(door.seen, [], where)
                (answer,) = client.answers()
                self.assertEqual(answer.status, status, where)
                self.assertEqual(answer.all("Connection"), ["close"], where)
                self.assertIn(message, answer.body.decode(), where)
                client.send(GET)
                self.assertEqual(len(client.answers()), 1, where)
                door.wait(20)
                self.assertTrue(client.closed, where)

    def test_every_verdict_has_its_examples(self) -> None:
        self.assertEqual(set(REFUSED) | BY_OTHERS, set(VERDICTS))

    def test_a_refusal_comes_however_the_request_is_split(self) -> None:
        for verdict in ("field", "two hosts", "length and coding", "coding", "chunks"):
            for request in REFUSED[verdict]:
                door = self.door()
                client = door.connect()
                for byte in request:
                    client.send(bytes([byte]))
                self.assertEqual(door.application.refused, [VERDICTS[verdict]], request)

    def test_heads_may_have_64_kilobytes(self) -> None:
        room = 65_536 - len(head(b"Host: abg", b"X: "))
        door, client = self.one(head(b"Host: abg", b"X: " + b"x" * room))
        self.assertTrue(door.only.ended)
        self.assertEqual(len(door.only.exchange.headers[1][1]), room)
        door, client = self.one(head(b"Host: abg", b"X: " + b"x" * (room + 1)))
        self.assertEqual(client.answers()[0].status, 431)

    def test_many_fields_are_as_good_as_few(self) -> None:
        door, _ = self.one(head(b"Host: abg", *[b"X-%d: y" % number for number in range(2_000)]))
        self.assertEqual(len(door.only.exchange.headers), 2_001)

    def test_what_is_pipelined_is_bounded(self) -> None:
        _door, client = self.one(GET)
        for _ in range(100):
            client.transport.deliver(b"x" * 4096)
        self.assertFalse(client.transport.reading)
        self.assertGreater(client.transport.undelivered, 200_000)

    def test_a_client_that_never_reads_is_served_no_further(self) -> None:
        door = self.door()
        door.application.when["end"] = lambda seen: whole(seen, b"x" * 10_000)
        client = door.connect()
        client.transport.take(False)
        for _ in range(1000):
            client.transport.deliver(GET)
        door.turn()
        served = len(door.seen)
        self.assertLess(served, 30)
        for _ in range(300):
            client.transport.take(True)
            door.turn()
            client.transport.take(False)
        client.transport.take(True)
        door.turn()
        self.assertEqual(len(door.seen), 1000)
        self.assertEqual(len(client.answers()), 1000)

    def test_100_continue_is_not_said_when_the_answer_is_known(self) -> None:
        asked = head(b"Host: abg", b"Content-Length: 5000000", b"Expect: 100-continue")
        _door, client = self.one(asked, begin=lambda seen: whole(seen, b"no", 413))
        (got,) = client.answers()
        self.assertEqual(got.status, 413)
        self.assertNotIn(b"100 Continue", client.received)

    # Answered early

    def test_an_answer_before_the_body_closes_when_the_body_has_come(self) -> None:
        for moment in ("begin", "body"):
            door = self.door()
            door.application.when[moment] = lambda seen: whole(seen, b"too large", 413)
            client = door.connect()
            client.send(head(b"Host: abg", b"Content-Length: 100") + b"x" * 10)
            (got,) = client.answers()
            self.assertEqual((got.status, got.body), (413, b"too large"))
            self.assertEqual(got.all("Connection"), ["close"])
            self.assertFalse(client.closed)
            client.send(b"x" * 89)
            self.assertFalse(client.closed)
            client.send(b"x")
            self.assertTrue(client.closed)
            self.assertNotIn("gone", door.only.events)
            self.assertNotIn("end", door.only.events)

    def test_who_never_stops_sending_is_cut_off(self) -> None:
        door, client = self.one(
            head(b"Host: abg", b"Transfer-Encoding: chunked"),
            begin=lambda seen: whole(seen, b"no", 413),
        )
        for _ in range(30):
            client.send(b"5\r\nhello\r\n")
            door.wait(1)
        self.assertTrue(client.closed)
        self.assertEqual(door.only.events, [])

    # The body's brake

    def test_a_paused_body_stays_with_the_client(self) -> None:
        door, client = self.one(head(b"Host: abg", b"Content-Length: 10"))
        exchange = door.only.exchange
        client.send(b"12345")
        exchange.pause_body()
        self.assertFalse(client.transport.reading)
        client.send(b"67890")
        self.assertEqual(door.only.body, b"12345")
        exchange.resume_body()
        door.turn()
        self.assertEqual(door.only.body, b"1234567890")
        self.assertTrue(door.only.ended)

    def test_a_body_paused_at_once_is_told_nothing_before_it_goes_on(self) -> None:
        for request in (POST, CHUNKED):
            door = self.door()
            door.application.when["begin"] = lambda seen: seen.exchange.pause_body()
            client = door.connect()
            client.send(request)
            self.assertEqual(door.only.events, [])
            door.application.inside(door.only.exchange.resume_body)
            door.turn()
            self.assertEqual(door.only.body, b"hello")
            self.assertTrue(door.only.ended)
            self.assertTrue(client.transport.reading)

    def test_a_paused_body_is_never_late(self) -> None:
        door, client = self.one(head(b"Host: abg", b"Content-Length: 10"))
        door.only.exchange.pause_body()
        door.wait(500)
        self.assertFalse(client.closed)

    # Time

    def test_a_head_must_come_in_time(self) -> None:
        door, client = self.one(GET[:20])
        for byte in GET[20:-1]:
            if not client.closed:
                client.send(bytes([byte]))
                door.wait(2)
        self.assertTrue(client.closed)
        self.assertEqual(door.seen, [])

    def test_who_says_nothing_is_let_go(self) -> None:
        door = self.door()
        client = door.connect()
        door.wait(32)
        self.assertTrue(client.closed)

    def test_an_idle_connection_is_kept_for_a_while(self) -> None:
        door, client = self.one(GET, end=whole)
        door.wait(110)
        self.assertFalse(client.closed)
        client.send(GET)
        self.assertEqual(len(client.answers()), 2)
        door.wait(125)
        self.assertTrue(client.closed)

    def test_a_body_must_grow(self) -> None:
        door, client = self.one(head(b"Host: abg", b"Content-Length: 1000000"))
        for _ in range(70):
            if not client.closed:
                client.send(b"x")
                door.wait(1)
        self.assertTrue(client.closed)
        self.assertEqual(door.only.events[-1], "gone")

    def test_a_body_that_grows_slowly_is_borne(self) -> None:
        door, client = self.one(head(b"Host: abg", b"Content-Length: 1000000"))
        for _ in range(300):
            client.send(b"x" * 100)
            door.wait(1)
        self.assertFalse(client.closed)

    def test_nobody_is_hurried_while_the_answer_is_awaited(self) -> None:
        door, client = self.one(GET)
        door.wait(1000)
        self.assertFalse(client.closed)
        whole(door.only)
        self.assertEqual(len(client.answers()), 1)

    def test_who_never_reads_is_let_go_in_the_end(self) -> None:
        limits = Limits(stall_seconds=100)
        door, client = self.one(GET, limits, end=lambda seen: seen.exchange.respond(200, b"OK", []))
        client.transport.take(False)
        door.only.exchange.write(b"x" * 100_000)
        door.only.exchange.flush()
        door.wait(90)
        self.assertFalse(client.closed)
        door.wait(20)
        self.assertTrue(client.closed)
        self.assertEqual(door.only.events[-1], "gone")

    def test_a_socket_that_empties_at_once_holds_up_no_request(self) -> None:
        door = self.door()
        door.application.when["end"] = lambda seen: whole(seen, b"x" * 100_000)
        client = door.connect()
        client.transport.taking = False
        client.transport.deliver(GET + GET + GET)
        for _ in range(3):
            client.transport.take(True)
            client.transport.taking = False
            door.turn()
        client.transport.take(True)
        door.turn()
        self.assertEqual(len(client.answers()), 3)

    # The end of the day

    def test_draining_closes_the_idle_and_lets_the_running_finish(self) -> None:
        door = self.door()
        idle, running, fresh = door.connect(), door.connect(), door.connect()
        idle.send(GET)
        whole(door.seen[0])
        running.send(GET)
        door.drain()
        door.turn()
        self.assertTrue(idle.closed)
        self.assertTrue(fresh.closed)
        self.assertFalse(running.closed)
        whole(door.seen[1])
        door.turn()
        self.assertEqual(running.answers()[0].all("Connection"), ["close"])
        self.assertTrue(running.closed)


class LaneContract(OwnDoorTests, SynchronousTestCase):
    """Over the fast lane (which hands the unusual to the ``Site``)."""

    door = LaneDoor


class SiteContract(OwnDoorTests, SynchronousTestCase):
    """Over our own ``Site`` alone."""

    door = SiteDoor


class MountedContract(ContractTests, SynchronousTestCase):
    """Over the resource in somebody's bare ``Site``, whose limits are his own."""

    door = MountedDoor
    own = False
