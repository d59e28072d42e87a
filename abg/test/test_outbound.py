"""The pool of vendor connections, against scripted bytes of a vendor in memory."""

from __future__ import annotations

import itertools
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IConnector
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from abg.call import Headers
from abg.test.doors import MemoryTransport
from abg.wire.outbound import Pool
from abg.wire.vendor import VendorConnection

ORIGIN = "http://127.0.0.1:9000"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Listener:
    """Notes what it is told; ``when`` acts on it."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.body = b""
        self.when: dict[str, Any] = {}
        self.call: Any = None
        self.calling = False
        self.left = False

    def _told(self, name: str, *what: Any) -> None:
        assert not self.calling, f"{name} was told inside a call of the listener's own"
        self.told.append((name, *what) if what else name)
        act = self.when.get(name)
        if act is not None:
            act()

    def answer_head(self, status: int, reason: bytes, headers: Headers, has_body: bool) -> None:
        self.headers = headers
        self.reason = reason
        self._told("head", status, has_body)

    def answer_data(self, data: bytes) -> None:
        assert data
        self.body += data
        self._told("data", data)

    def answer_flush(self) -> None:
        self._told("flush")

    def answer_end(self) -> None:
        self._told("end")

    def answer_failed(self, kind: str, message: str) -> None:
        self._told("failed", kind, message)

    def upstream_pause(self) -> None:
        self._told("pause")

    def upstream_resume(self) -> None:
        self._told("resume")

    def body_left(self) -> None:
        assert not self.left, "told twice"
        self.left = True

    @property
    def failed(self) -> str | None:
        last = self.told[-1] if self.told else None
        return last[1] if isinstance(last, tuple) and last[0] == "failed" else None


@implementer(IConnector)
class _Connector:
    def disconnect(self) -> None: ...


class Vendor:
    """The far end of all connections that the pool makes."""

    def __init__(self, test: PoolTests) -> None:
        self.reactor = test.reactor
        self.transports: list[MemoryTransport] = []

    def accept(self) -> MemoryTransport:
        """Take the connection that was asked for last."""
        factory = self.reactor.tcpClients[-1][2]
        transport = MemoryTransport(self.reactor)
        self.transports.append(transport)
        protocol = factory.buildProtocol(None)
        transport.connect(protocol)
        self.reactor.advance(0)
        return transport

    def refuse(self, reason: BaseException) -> None:
        factory = self.reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(_Connector(), Failure(reason))
        self.reactor.advance(0)


class PoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.pool = Pool(
            self.reactor, silence_seconds=100.0, connect_seconds=10.0, idle_seconds=30.0
        )
        self.vendor = Vendor(self)

    def turn(self) -> None:
        for _ in range(10):
            self.reactor.advance(0)

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.reactor.advance(1)
            self.turn()

    def ask(
        self,
        method: bytes = b"POST",
        target: bytes = b"/v1/messages",
        headers: Headers | None = None,
        body: bytes | None = b"{}",
        origin: str = ORIGIN,
    ) -> Listener:
        listener = Listener()
        headers = [(b"X-Api-Key", b"k")] if headers is None else headers
        listener.call = self.pool.request(origin, method, target, headers, body, listener)
        self.assertEqual(listener.told, [])
        return listener

    def asked(self, **how: Any) -> tuple[Listener, MemoryTransport]:
        """A call on a connection of its own."""
        listener = self.ask(**how)
        return listener, self.vendor.accept()

    def idle(self) -> MemoryTransport:
        """A connection that has served a call and lies in the pool."""
        listener, transport = self.asked()
        transport.deliver(OK)
        self.assertEqual(listener.told[-1], "end")
        transport.received = b""
        return transport


class Requests(PoolTests):
    def test_a_whole_request_goes_out_in_one_write(self) -> None:
        listener, transport = self.asked(headers=[(b"X-B", b"2"), (b"x-a", b"1"), (b"X-B", b"3")])
        self.assertEqual(
            transport.writes,
            [
                b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nX-B: 2\r\nx-a: 1\r\n"
                b"X-B: 3\r\nContent-Length: 2\r\n\r\n{}"
            ],
        )
        self.assertTrue(listener.call.sent)

    def test_host_names_the_port_only_where_it_is_unusual(self) -> None:
        for origin, host in (
            ("http://127.0.0.1", b"127.0.0.1"),
            ("http://127.0.0.1:80", b"127.0.0.1"),
            ("http://127.0.0.1:8443", b"127.0.0.1:8443"),
            ("http://[::1]:9000", b"[::1]:9000"),
        ):
            _, transport = self.asked(origin=origin)
            self.assertIn(b"\r\nHost: " + host + b"\r\n", transport.received)

    def test_only_methods_that_expect_a_body_say_that_there_is_none(self) -> None:
        _, transport = self.asked(method=b"GET", body=b"")
        self.assertNotIn(b"Content-Length", transport.received)
        _, transport = self.asked(method=b"POST", body=b"")
        self.assertIn(b"\r\nContent-Length: 0\r\n", transport.received)

    def test_a_length_of_the_callers_own_is_not_believed(self) -> None:
        _, transport = self.asked(headers=[(b"content-length", b"99"), (b"X", b"y")])
        self.assertNotIn(b"99", transport.received)
        self.assertEqual(transport.received.lower().count(b"content-length"), 1)

    def test_a_header_with_a_line_end_is_never_sent(self) -> None:
        for header in ((b"X", b"a\r\nY: b"), (b"X\n", b"a"), (b"X", b"a\rb")):
            listener = self.ask(headers=[header])
            self.turn()
            self.assertEqual(listener.failed, "malformed")
            self.assertEqual(self.reactor.tcpClients, [])

    def test_an_origin_that_is_none_fails(self) -> None:
        for origin in ("ftp://x", "nonsense", "https://", "http://host:port"):
            listener = self.ask(origin=origin)
            self.turn()
            self.assertEqual(listener.failed, "malformed")

    def test_a_large_body_goes_out_as_the_socket_takes_it(self) -> None:
        body = bytes(range(256)) * 40_000
        listener = self.ask(body=body)
        factory = self.reactor.tcpClients[-1][2]
        transport = MemoryTransport(self.reactor)
        transport.taking = False
        transport.connect(factory.buildProtocol(None))
        self.reactor.advance(0)
        self.assertLess(sum(map(len, transport.writes)), 600_000)
        self.assertFalse(listener.left, "most of it is still here")
        for _ in range(200):
            transport.take(True)
            transport.taking = False
        transport.take(True)
        self.assertTrue(listener.left)
        _head, _, sent = transport.received.partition(b"\r\n\r\n")
        self.assertEqual(len(sent), len(body))
        self.assertEqual(sent, body)
        self.assertIsNone(transport.producer)
        transport.deliver(OK)
        self.assertEqual(listener.told[-1], "end")
        self.assertEqual(listener.told.count("pause"), 0)

    def test_a_body_is_kept_until_it_need_not_be_sent_again(self) -> None:
        self.idle()
        for size in (10, 100_000):
            with mock.patch.object(VendorConnection, "untouched", return_value=True):
                listener = self.ask(body=b"x" * size)
                self.wait(2)
            self.assertFalse(listener.left)
            self.wait(2)
            self.assertTrue(listener.left)
            self.vendor.transports[-1].deliver(OK)
            self.assertEqual(listener.told[-1], "end")

    def test_a_body_that_waits_for_a_connection_has_not_left(self) -> None:
        listener = self.ask(body=b"x" * 100_000)
        self.wait(2)
        self.assertFalse(listener.left)
        self.vendor.accept()
        self.assertTrue(listener.left)

    def test_a_streamed_body_of_known_length(self) -> None:
        listener = self.ask(body=None, headers=[(b"Content-Length", b"10")])
        listener.call.write(b"hello")
        transport = self.vendor.accept()
        listener.call.write(b"world")
        listener.call.end()
        listener.call.write(b"too late")
        self.assertTrue(transport.received.endswith(b"\r\nContent-Length: 10\r\n\r\nhelloworld"))
        transport.deliver(OK)
        self.assertEqual(listener.told[-1], "end")

    def test_a_streamed_body_of_unknown_length_is_chunked(self) -> None:
        listener = self.ask(body=None, headers=[])
        listener.call.write(b"before")
        transport = self.vendor.accept()
        listener.call.write(b"and after")
        listener.call.end()
        self.assertTrue(
            transport.received.endswith(
                b"\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nbefore\r\n9\r\nand after\r\n0\r\n\r\n"
            )
        )

    def test_a_streamed_body_ended_before_there_is_a_connection(self) -> None:
        listener = self.ask(body=None, headers=[])
        listener.call.write(b"all")
        listener.call.end()
        transport = self.vendor.accept()
        self.assertTrue(transport.received.endswith(b"3\r\nall\r\n0\r\n\r\n"))
        self.assertIsNone(transport.producer)

    def test_a_streamed_body_is_braked_by_the_socket(self) -> None:
        listener, transport = self.asked(body=None, headers=[])
        transport.take(False)
        listener.calling = True
        listener.call.write(b"x" * 100_000)
        listener.calling = False
        self.turn()
        self.assertEqual(listener.told, ["pause"])
        transport.take(True)
        self.turn()
        self.assertEqual(listener.told, ["pause", "resume"])

    def test_a_streamed_body_is_braked_while_there_is_no_connection(self) -> None:
        listener = self.ask(body=None, headers=[])
        listener.calling = True
        listener.call.write(b"x" * 100_000)
        listener.calling = False
        self.turn()
        self.assertEqual(listener.told, ["pause"])
        self.vendor.accept()
        self.turn()
        self.assertEqual(listener.told, ["pause", "resume"])


class Answers(PoolTests):
    def answered(self, *pieces: bytes, method: bytes = b"POST") -> tuple[Listener, MemoryTransport]:
        listener, transport = self.asked(method=method)
        for piece in pieces:
            transport.deliver(piece)
        return listener, transport

    def test_an_answer_in_one_piece_is_told_in_one_go(self) -> None:
        listener, _ = self.answered(OK)
        self.assertEqual(listener.told, [("head", 200, True), ("data", b"hello"), "end"])

    def test_each_read_is_told_joined_and_flushed(self) -> None:
        listener, _ = self.answered(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"3\r\nabc\r\n3\r\ndef\r\n3\r\ng",
            b"hi\r\n0\r\n\r\n",
        )
        self.assertEqual(
            listener.told,
            [
                ("head", 200, True),
                "flush",
                ("data", b"abcdefg"),
                "flush",
                ("data", b"hi"),
                "end",
            ],
        )

    def test_headers_come_as_they_are(self) -> None:
        listener, _ = self.answered(
            b"HTTP/1.1 404 Not  Here\r\nX-B: 1\r\nx-a:2 \r\nX-B:\t3\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertEqual(listener.reason, b"Not  Here")
        self.assertEqual(
            listener.headers,
            [(b"X-B", b"1"), (b"x-a", b"2"), (b"X-B", b"3"), (b"Content-Length", b"0")],
        )
        self.assertEqual(listener.told, [("head", 404, False), "end"])

    def test_any_split_is_the_same_answer(self) -> None:
        for answer in (
            OK,
            b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nT: t\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK,
        ):
            for at in range(1, len(answer)):
                listener, transport = self.answered(answer[:at], answer[at:])
                self.assertEqual(listener.body, b"hello", at)
                self.assertEqual(listener.told[-1], "end", at)
                transport.leave()
            listener, transport = self.answered(*[bytes([byte]) for byte in answer])
            self.assertEqual(listener.body, b"hello")
            self.assertEqual(listener.told[-1], "end")
            transport.leave()

    def test_interim_answers_are_skipped(self) -> None:
        listener, _ = self.answered(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 P\r\n\r\n", OK)
        self.assertEqual(listener.told[0], ("head", 200, True))
        self.assertEqual(listener.body, b"hello")

    def test_answers_that_have_no_body(self) -> None:
        for method, answer in (
            (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
            (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
            (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
            (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"),
            (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ):
            listener, transport = self.answered(answer, method=method)
            self.assertEqual(listener.told[1:], ["end"])
            self.assertFalse(listener.told[0][2])
            before = len(self.reactor.tcpClients)
            self.ask(method=method)
            self.assertEqual(len(self.reactor.tcpClients), before, answer)
            transport.leave()

    def test_an_answer_that_ends_with_the_connection(self) -> None:
        listener, transport = self.answered(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
        self.assertNotIn("end", listener.told)
        transport.leave(ConnectionDone())
        self.assertEqual(listener.body, b"hello")
        self.assertEqual(listener.told[-1], "end")

    def test_a_connection_lost_is_no_good_end(self) -> None:
        listener, transport = self.answered(b"HTTP/1.1 200 OK\r\n\r\nhello")
        transport.leave(ConnectionLost())
        self.assertEqual(listener.failed, "cut")

    def test_an_answer_cut_short(self) -> None:
        for start in (
            b"",
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
        ):
            listener, transport = self.answered(*([start] if start else []))
            transport.leave(ConnectionDone())
            self.turn()
            self.assertEqual(listener.failed, "cut", start)
            self.assertEqual(len(self.vendor.transports), len(self.reactor.tcpClients))

    def test_what_is_no_answer_is_malformed(self) -> None:
        for answer in (
            b"garbage garbage\r\n\r\n",
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 200OK\r\n\r\n",
            b"HTTP/1.1 000 No\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nfolded: a\r\n b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nspace : a\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nbare: a\nb: c\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nnul: \x00\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        ):
            listener, transport = self.answered(answer)
            self.assertEqual(listener.failed, "malformed", answer)
            self.turn()
            self.assertFalse(transport.connected)

    def test_what_can_become_no_answer_is_not_waited_for(self) -> None:
        for start in (
            b"\x15\x03\x01\x00\x02\x02\x46",  # TLS
            b"SSH-2.0-OpenSSH\r\n",
            b"<html>",
            b"HTTP/2 2",
            b"\r\n",
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            b"HTTP/1.1 200 OK\r\nA: b\nC: d",
            b"HTTP/1.1 100 Continue\r\n\r\nHTP",
        ):
            listener, transport = self.answered(start)
            self.assertEqual(listener.failed, "malformed", start)
            self.assertTrue(transport.aborted)
        listener, transport = self.answered(
            b"H", b"TTP/1", b".1 200 OK\r", b"\nContent-Length: 0\r\n\r\n"
        )
        self.assertEqual(listener.told[-1], "end")

    def test_half_a_request_is_not_billed(self) -> None:
        large = b"x" * 10_000_000
        for body, answer, sent in (
            (large, b"", False),
            (large, b"HTTP/1.1 100 Continue\r\n\r\n", False),
            (large, b"HTTP/1.1 200 OK\r\n\r\n", True),
            (None, b"", False),
            (b"{}", b"", True),
        ):
            listener = self.ask(body=body)
            factory = self.reactor.tcpClients[-1][2]
            transport = MemoryTransport(self.reactor)
            transport.taking = False
            transport.connect(factory.buildProtocol(None))
            if answer:
                transport.deliver(answer)
            self.assertEqual(listener.call.sent, sent, answer)
            transport.leave(ConnectionLost())
            self.turn()
            self.assertEqual(listener.failed, "cut")
            self.assertEqual(listener.call.sent, sent, answer)
        listener, _ = self.asked(body=large)
        self.assertTrue(listener.call.sent, "all of it went out")
        listener, _ = self.asked(body=None)
        listener.call.end()
        self.assertTrue(listener.call.sent)

    def test_a_head_beyond_64_kilobytes_is_too_large(self) -> None:
        start = b"HTTP/1.1 200 OK\r\nX: "
        room = 65_536 - len(start) - 4
        listener, transport = self.answered(start, b"x" * room, b"\r\n\r\n")
        self.assertEqual(listener.told[0], ("head", 200, True))
        transport.leave()
        for pieces in (
            (start, b"x" * (room + 1), b"\r\n\r\n"),
            (start, b"x" * 100_000),
            (b"HTTP/1.1 103 Early\r\n\r\n" * 4_000,),
        ):
            listener, _ = self.answered(*pieces)
            self.assertEqual(listener.failed, "too_large")

    def test_a_listener_may_abort_from_anywhere(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        for moment in ("head", "data", "flush"):
            listener, transport = self.asked()
            listener.when[moment] = listener.call.abort
            for piece in (answer, b"x") if moment != "flush" else (answer[:60], answer[60:]):
                transport.deliver(piece)
            self.turn()
            name = listener.told[-1]
            self.assertEqual(name if isinstance(name, str) else name[0], moment)
            self.assertTrue(transport.aborted)

    def test_a_paused_answer_is_not_read(self) -> None:
        listener, transport = self.answered(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        listener.call.pause()
        transport.deliver(b"world")
        self.assertEqual(listener.body, b"hello")
        listener.call.resume()
        self.turn()
        self.assertEqual(listener.body, b"helloworld")
        self.assertEqual(listener.told[-1], "end")

    def test_a_call_paused_before_it_has_a_connection_stays_so(self) -> None:
        listener = self.ask()
        listener.call.pause()
        transport = self.vendor.accept()
        transport.deliver(OK)
        self.assertEqual(listener.told, [])
        listener.call.resume()
        self.turn()
        self.assertEqual(listener.told[-1], "end")

    def test_a_connection_whose_last_call_was_paused_reads_on(self) -> None:
        listener, transport = self.asked()
        listener.when["data"] = listener.call.pause
        transport.deliver(OK)
        self.assertEqual(listener.told[-1], "end")
        self.assertTrue(transport.reading)


class Reuse(PoolTests):
    def test_an_idle_connection_serves_the_next_call(self) -> None:
        transport = self.idle()
        listener = self.ask(target=b"/v1/next")
        self.assertTrue(transport.received.startswith(b"POST /v1/next"))
        transport.deliver(OK)
        self.assertEqual(listener.told[-1], "end")
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_a_call_from_inside_the_end_of_another_gets_its_connection(self) -> None:
        listener, transport = self.asked()
        second = []
        listener.when["end"] = lambda: second.append(self.ask(target=b"/v1/next"))
        transport.deliver(OK)
        self.assertEqual(len(self.reactor.tcpClients), 1)
        self.assertTrue(transport.received.endswith(b"{}"))
        transport.deliver(OK)
        self.assertEqual(second[0].told[-1], "end")

    def test_origins_are_kept_apart(self) -> None:
        self.idle()
        self.ask(origin="http://127.0.0.1:9001")
        self.assertEqual(self.reactor.tcpClients[-1][1], 9001)

    def test_what_is_not_kept(self) -> None:
        for answer in (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            OK + b"and more",
            b"HTTP/1.1 204 No\r\n\r\nbody",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP",
        ):
            listener, transport = self.asked()
            transport.deliver(answer)
            self.assertEqual(listener.told[-1], "end", answer)
            self.turn()
            self.assertFalse(transport.connected, answer)
            before = len(self.reactor.tcpClients)
            self.ask()
            self.assertEqual(len(self.reactor.tcpClients), before + 1)

    def test_answered_before_the_request_was_sent_is_not_kept(self) -> None:
        listener = self.ask(body=b"x" * 1_000_000)
        factory = self.reactor.tcpClients[-1][2]
        transport = MemoryTransport(self.reactor)
        transport.taking = False
        transport.connect(factory.buildProtocol(None))
        self.reactor.advance(0)
        transport.deliver(OK)
        self.assertEqual(listener.told[-1], "end")
        transport.take(True)
        self.turn()
        self.assertFalse(transport.connected)

    def test_bytes_that_nobody_asked_for_end_the_connection(self) -> None:
        transport = self.idle()
        transport.deliver(OK)
        self.turn()
        self.assertFalse(transport.connected)
        listener = self.ask()
        self.assertEqual(len(self.reactor.tcpClients), 2)
        self.assertEqual(listener.told, [])

    def test_a_connection_that_the_vendor_closes_is_forgotten(self) -> None:
        self.idle().leave()
        self.ask()
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_idle_connections_are_closed_in_time(self) -> None:
        transport = self.idle()
        self.wait(29)
        self.assertTrue(transport.connected)
        self.wait(3)
        self.assertFalse(transport.connected)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_paid_call_is_never_sent_twice(self) -> None:
        transport = self.idle()
        listener = self.ask()
        transport.leave(ConnectionDone())
        self.turn()
        self.assertEqual(listener.failed, "cut")
        self.assertEqual(len(self.reactor.tcpClients), 1)
        self.assertTrue(listener.call.sent)

    def test_a_safe_call_is_sent_again_once(self) -> None:
        for method in (b"GET", b"HEAD", b"OPTIONS"):
            transport = self.idle()
            listener = self.ask(method=method, body=b"")
            before = len(self.reactor.tcpClients)
            transport.leave(ConnectionDone())
            self.turn()
            self.assertEqual(listener.told, [])
            self.assertEqual(len(self.reactor.tcpClients), before + 1)
            self.vendor.accept().leave(ConnectionDone())
            self.turn()
            self.assertEqual(listener.failed, "cut")
            self.assertEqual(len(self.reactor.tcpClients), before + 1)

    def test_a_streamed_body_gets_a_connection_of_its_own(self) -> None:
        self.idle()
        self.ask(body=None, headers=[])
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_close_closes_the_idle_and_keeps_none(self) -> None:
        idle = self.idle()
        listener, transport = self.asked(origin="http://127.0.0.1:9001")
        self.pool.close()
        self.turn()
        self.assertFalse(idle.connected)
        self.assertTrue(transport.connected)
        transport.deliver(OK)
        self.assertEqual(listener.told[-1], "end")
        self.turn()
        self.assertFalse(transport.connected)


class Failures(PoolTests):
    def test_a_connection_refused(self) -> None:
        listener = self.ask()
        self.vendor.refuse(ConnectionRefusedError())
        self.assertEqual(listener.failed, "refused")
        self.assertFalse(listener.call.sent)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_no_connection_in_time(self) -> None:
        listener = self.ask()
        self.reactor.advance(9.9)
        self.assertEqual(listener.told, [])
        self.reactor.advance(0.2)
        self.assertEqual(listener.failed, "connect_timeout")
        self.assertNotIn("timeout", listener.told[-1][2])
        self.assertFalse(listener.call.sent)

    def test_silence_is_borne_and_then_not(self) -> None:
        listener, transport = self.asked()
        self.wait(99)
        self.assertEqual(listener.told, [])
        transport.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        self.wait(99)
        transport.deliver(b"x")
        self.wait(99)
        self.assertIsNone(listener.failed)
        self.wait(3)
        self.assertEqual(listener.failed, "silence")
        self.assertNotIn("timeout", listener.told[-1][2])
        self.assertFalse(transport.connected)

    def test_who_is_paused_is_not_silent(self) -> None:
        listener, transport = self.asked()
        transport.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        listener.call.pause()
        self.wait(500)
        listener.call.resume()
        self.wait(99)
        self.assertIsNone(listener.failed)
        transport.deliver(b"0123456789")
        self.assertEqual(listener.told[-1], "end")

    def test_an_abort_while_connecting(self) -> None:
        listener = self.ask()
        listener.call.abort()
        self.turn()
        self.wait(20)
        self.assertEqual(listener.told, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_an_abort_breaks_the_connection_at_once(self) -> None:
        listener, transport = self.asked()
        transport.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        listener.call.pause()
        told = list(listener.told)
        listener.call.abort()
        self.assertTrue(transport.aborted)
        self.turn()
        self.assertFalse(transport.connected)
        self.assertEqual(listener.told, told)
        listener.call.abort()
        listener.call.pause()
        listener.call.resume()
        listener.call.write(b"x")
        listener.call.end()

    def test_nothing_is_left_of_a_call(self) -> None:
        listener, transport = self.asked()
        transport.deliver(OK)
        transport.leave()
        self.turn()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(listener.told[-1], "end")


PIECES = [
    OK,
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 103 Early\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"hello",
    b"\n",
    b"\x00",
]


class AnyAnswer(PoolTests):
    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(st.sampled_from(PIECES), max_size=8),
        st.lists(st.integers(0, 300), max_size=4),
        st.booleans(),
        st.sampled_from([b"GET", b"POST", b"HEAD"]),
    )
    def test_whatever_comes_the_call_ends_once(
        self, pieces: list[bytes], cuts: list[int], clean: bool, method: bytes
    ) -> None:
        self.setUp()
        stream = b"".join(pieces)
        listener, transport = self.asked(method=method)
        edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
        for start, end in itertools.pairwise(edges):
            if start < end and transport.connected:
                transport.deliver(stream[start:end])
                self.turn()
        transport.leave(ConnectionDone() if clean else ConnectionLost())
        self.turn()
        names = [told if isinstance(told, str) else told[0] for told in listener.told]
        self.assertEqual(names.count("end") + names.count("failed"), 1)
        self.assertIn(names[-1], ("end", "failed"))
        self.assertLessEqual(names.count("head"), 1)
        if "end" in names:
            self.assertEqual(names[0], "head")
        for pool_connection in self.pool.connections:
            self.fail(f"left behind: {pool_connection}")
        self.assertEqual(self.reactor.getDelayedCalls(), [])
