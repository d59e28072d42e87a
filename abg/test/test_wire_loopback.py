"""What only real sockets show: one write for an answer, TLS, half-closed ends, stale connections.

Everything is on 127.0.0.1; each test ends within seconds.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet import reactor as global_reactor
from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from abg.errors import ConfigError
from abg.test.certificates import Authority
from abg.test.doors import Application, Seen, whole
from abg.test.test_outbound import OK, Listener
from abg.wire import outlet, tcpstate
from abg.wire.inbound import FastLaneFactory
from abg.wire.outbound import Pool
from abg.wire.site import ExchangeResource, GuardSite
from abg.wire.tunnel import Proxies

reactor: Any = global_reactor
GET = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = b"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n"
CHUNKED = POST.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked")


def folder_for(test: TestCase) -> Path:
    """A folder that goes with the test."""
    folder = tempfile.mkdtemp()
    test.addCleanup(shutil.rmtree, folder)
    return Path(folder)


class Served(TestCase):
    """A port with the fast lane, and blocking clients in threads."""

    timeout = 20

    def setUp(self) -> None:
        self.application = Application()
        site = GuardSite(
            ExchangeResource(self.application, reactor), self.application, reactor=reactor
        )
        self.factory = FastLaneFactory(self.application, site, reactor=reactor)

    def listen(self, description: str = "tcp:0:interface=127.0.0.1") -> Deferred[int]:
        def listening(port: Any) -> int:
            self.addCleanup(port.stopListening)
            number: int = port.getHost().port
            return number

        return serverFromString(reactor, description).listen(self.factory).addCallback(listening)

    def tearDown(self) -> Any:
        drained = self.factory.drain()
        self.factory.abort()
        return drained


def noted_sends(case: TestCase) -> list[bytes]:
    """What is sent from now on; all of it goes to the kernel, and nothing waits for a queue."""
    sends: list[bytes] = []
    send = outlet._send

    def noted(direct: Any, data: bytes) -> None:
        sends.append(data)
        send(direct, data)
        assert direct not in reactor.getWriters()

    case.patch(outlet, "_send", noted)
    return sends


class Sockets(Served):
    async def test_an_answer_is_one_write_at_once(self) -> None:
        self.application.when["end"] = whole
        port = await self.listen()
        sends = noted_sends(self)
        got = await deferToThread(talk, port, GET, 1)
        self.assertIn(b"\r\n\r\nhello", got)
        self.assertEqual(len(sends), 1)

    async def test_a_slow_reader_gets_every_byte(self) -> None:
        body = bytes(range(256)) * 16_000

        def answer(seen: Seen) -> None:
            seen.exchange.respond(200, b"OK", [(b"Content-Length", b"%d" % len(body))])
            for at in range(0, len(body), 50_000):
                seen.exchange.write(body[at : at + 50_000])
                seen.exchange.flush()
            seen.exchange.finish()

        self.application.when["end"] = answer
        port = await self.listen()
        got = await deferToThread(talk, port, GET + GET, 2, pause=0.3)
        for answer_body in (got.split(b"\r\n\r\n", 1)[1][: len(body)], got[-len(body) :]):
            self.assertTrue(answer_body == body)

    async def test_who_is_refused_while_sending_reads_the_refusal(self) -> None:
        for start in (
            b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 20000000\r\n\r\n",
            b"POST /v1/messages HTTP/1.0\r\nContent-Length: 20000000\r\n\r\n",
            b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ):
            self.application.when["begin"] = lambda seen: whole(seen, b"too large", 413)
            port = await self.listen()
            got = await deferToThread(send_all_then_read, port, start, 20_000_000)
            self.assertRegex(got, rb"^HTTP/1.[01] (413|400) ")
            self.assertIn(b"Connection: close", got)

    async def test_who_leaves_is_gone(self) -> None:
        gone: Deferred[None] = Deferred()

        def begin(seen: Seen) -> None:
            seen.exchange.respond(200, b"OK", [])
            seen.exchange.flush()

        self.application.when["end"] = begin
        self.application.when["gone"] = lambda seen: gone.callback(None)
        port = await self.listen()
        await deferToThread(connect_and_leave, port, GET)
        await gone
        self.assertEqual(self.application.seen[0].events, ["end", "gone"])

    async def test_who_leaves_while_his_body_is_not_read_is_gone_too(self) -> None:
        # Nobody reads, so nobody is told; a call that waits would hold its place for ever.
        expects = POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        self.application.when["begin"] = lambda seen: seen.exchange.pause_body()
        port = await self.listen()
        for request in (POST, CHUNKED, expects):
            for reset in (False, True):
                gone: Deferred[None] = Deferred()
                self.application.when["gone"] = lambda seen, gone=gone: gone.callback(None)
                await deferToThread(send_and_leave, port, request + b"5\r\nhello\r\n", reset)
                await gone

    async def test_who_stays_while_his_body_is_not_read_is_kept(self) -> None:
        self.application.when["begin"] = lambda seen: seen.exchange.pause_body()
        self.application.when["end"] = whole
        port = await self.listen()
        for request in (POST, POST.replace(b"HTTP/1.1", b"HTTP/1.0")):
            talking = deferToThread(talk, port, request + b"hello", 1)
            await deferLater(reactor, 2.5, lambda: None)
            self.application.seen[-1].exchange.resume_body()
            self.assertIn(b"\r\n\r\nhello", await talking)

    async def test_the_lane_hands_over_and_takes_back(self) -> None:
        self.application.when["end"] = lambda seen: whole(seen, seen.exchange.target)
        port = await self.listen()
        own = GET.replace(b"/v1/models", b"/abg/status")
        got = await deferToThread(talk, port, GET + GET + own + GET + own + GET, 6)
        self.assertEqual(got.count(b"/v1/models"), 4)
        self.assertEqual(got.count(b"/abg/status"), 2)

    async def test_tls_never_sends_in_clear(self) -> None:
        authority = Authority(folder_for(self))
        certificate = authority.issue("127.0.0.1")
        secret = b"the answer's secret"

        def answer(seen: Seen) -> None:
            seen.exchange.respond(200, b"OK", [])
            for _ in range(5):
                seen.exchange.write(secret)
                seen.exchange.flush()
            seen.exchange.finish()

        self.application.when["end"] = answer
        port = await self.listen(
            f"ssl:0:interface=127.0.0.1:privateKey={certificate}:certKey={certificate}"
        )
        own = GET.replace(b"/v1/models", b"/abg/status")
        refused = GET.replace(b"Host", b"Ho st")
        for requests in (GET + GET, GET + own + GET, refused):
            raw, clear = await deferToThread(talk_tls, port, requests, str(authority.file))
            self.assertIn(b"HTTP/1.1 ", clear)
            if requests is not refused:
                self.assertIn(secret, clear)
            self.assertNotIn(b"HTTP/1.", raw)
            self.assertNotIn(secret, raw)

    async def test_draining_waits_for_the_last_byte(self) -> None:
        body = b"x" * 3_000_000
        self.application.when["end"] = lambda seen: whole(seen, body)
        port = await self.listen()
        reading = deferToThread(talk, port, GET, 1, pause=0.5)
        while not self.application.seen:
            await deferLater(reactor, 0.01)
        await self.factory.drain()
        got = await reading
        self.assertTrue(got.endswith(body))


def talk(port: int, requests: bytes, answers: int, pause: float = 0.0) -> bytes:
    """Send, and read until that many answers and their bodies have come."""
    import time

    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(requests)
        time.sleep(pause)
        got = b""
        while not _has(got, answers):
            data = client.recv(1 << 20)
            if not data:
                break
            got += data
        return got


def _has(got: bytes, answers: int) -> bool:
    for _ in range(answers):
        head, blank, got = got.partition(b"\r\n\r\n")
        if not blank:
            return False
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(got) < length:
            return False
        got = got[length:]
    return True


def send_all_then_read(port: int, start: bytes, size: int) -> bytes:
    """What a simple client does: it reads nothing before it has sent everything."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(start)
        piece = b"x" * 100_000
        for _ in range(size // len(piece)):
            client.sendall(piece)
        got = b""
        while data := client.recv(65536):
            got += data
        return got


def connect_and_leave(port: int, request: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        client.recv(10)


def send_and_leave(port: int, request: bytes, reset: bool) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        time.sleep(0.1)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def talk_tls(port: int, requests: bytes, ca_file: str) -> tuple[bytes, bytes]:
    """Speak TLS by hand; what came over the socket, and what it said."""
    context = ssl.create_default_context(cafile=ca_file)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    raw = clear = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.settimeout(0.5)

        def more() -> bool:
            nonlocal raw
            client.sendall(outgoing.read())
            try:
                data = client.recv(65536)
            except TimeoutError:
                return False
            raw += data
            incoming.write(data)
            return bool(data)

        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                assert more()
        tls.write(requests)
        while True:
            try:
                data = tls.read(65536)
            except ssl.SSLWantReadError:
                if not more():
                    break
            except ssl.SSLZeroReturnError:
                break
            else:
                if not data:
                    break
                clear += data
        return raw, clear


def unsuspecting(connection: tcp.Connection, read: int | None) -> tuple[bool, int | None]:
    """``tcpstate.look``, before there was anything to see."""
    return True, tcpstate.look(connection, read)[1]


class VendorProtocol(Protocol):
    """A vendor that answers what its factory says."""

    factory: FakeVendor

    def connectionMade(self) -> None:
        self.factory.connections.append(self)
        self.open = True
        transport: Any = self.transport
        transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.factory.requests.append(data)
        self.factory.asked(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.open = False


class FakeVendor(Factory):
    protocol = VendorProtocol
    noisy = False

    def __init__(self) -> None:
        self.connections: list[Any] = []
        self.requests: list[bytes] = []
        self.asked: Any = lambda connection: connection.transport.write(OK)


class Vendors(TestCase):
    timeout = 20

    async def listen(self, description: str = "tcp:0:interface=127.0.0.1") -> int:
        self.vendor = FakeVendor()
        port: Any = await serverFromString(reactor, description).listen(self.vendor)
        self.addCleanup(self.stop, port)
        number: int = port.getHost().port
        return number

    async def stop(self, port: Any) -> None:
        for pool in self.pools:
            pool.close()
        for connection in self.vendor.connections:
            if connection.open:
                connection.transport.abortConnection()
        await port.stopListening()
        for _ in range(100):
            if not any(connection.open for connection in self.vendor.connections) and not any(
                pool.connections for pool in self.pools
            ):
                break
            await deferLater(reactor, 0.01)

    def setUp(self) -> None:
        self.pools: list[Pool] = []
        self.authority = Authority(folder_for(self))

    def pool(self, **how: Any) -> Pool:
        pool = Pool(reactor, **how)
        self.pools.append(pool)
        return pool

    async def ask(self, pool: Pool, origin: str, method: bytes = b"POST") -> Listener:
        """A call, when it has ended."""
        listener = Listener()
        listener.call = pool.request(origin, method, b"/v1/x", [], b"", listener)
        for _ in range(1000):
            if listener.told and (listener.told[-1] == "end" or listener.failed):
                break
            await deferLater(reactor, 0.01)
        return listener

    # The request's way out

    async def test_a_request_is_one_write_at_once(self) -> None:
        sends = noted_sends(self)
        port = await self.listen()
        pool, origin = self.pool(), f"http://127.0.0.1:{port}"
        for _ in range(2):
            await self.ask(pool, origin)
        self.assertEqual(sends, self.vendor.requests)
        self.assertEqual(len(sends), 2)

    async def test_a_large_body_goes_as_the_vendor_reads(self) -> None:
        port = await self.listen()
        body = bytes(range(256)) * 40_000
        got = self.vendor.requests

        def asked(connection: Any) -> None:
            connection.transport.pauseProducing()
            reactor.callLater(0.001, connection.transport.resumeProducing)
            if b"".join(got).endswith(body[-256:] + b"!"):
                connection.transport.write(OK)

        self.vendor.asked = asked
        pool, listener = self.pool(), Listener()
        sent = body + b"!"
        pool.request(f"http://127.0.0.1:{port}", b"POST", b"/v1/x", [], sent, listener)
        await self.ended(listener)
        self.assertTrue(b"".join(got).split(b"\r\n\r\n", 1)[1] == sent)

    async def test_a_call_over_tls_never_goes_out_in_clear(self) -> None:
        relay_port, said = await self.proxy(await self.serve_tls(), b"through")
        origin = f"https://127.0.0.1:{relay_port}"
        pool = self.pool(ca_file=str(self.authority.file))
        secret = b"the call's secret"
        for body in (secret, secret, secret * 20_000, None):
            self.vendor.requests.clear()

            def asked(connection: Any, end: bytes | None = body) -> None:
                if b"".join(self.vendor.requests).endswith(end or b"\r\n0\r\n\r\n"):
                    connection.transport.write(OK)

            self.vendor.asked = asked
            listener = Listener()
            call = pool.request(origin, b"POST", b"/v1/x", [], body, listener)
            if body is None:
                call.write(secret)
                call.end()
            await self.ended(listener)
            self.assertIn(secret, b"".join(self.vendor.requests))
        self.assertEqual(said[0][0], 22)  # A record of the handshake.
        self.assertNotIn(b"secret", b"".join(said))
        self.assertNotIn(b"HTTP/1.1", b"".join(said))

    async def ended(self, listener: Listener) -> None:
        await self.until(lambda: listener.told[-1:] == ["end"])

    # Connections that the vendor closed meanwhile

    async def test_a_connection_closed_while_idle_is_not_used(self) -> None:
        port = await self.listen()
        pool, origin = self.pool(), f"http://127.0.0.1:{port}"
        await self.ask(pool, origin)
        # The end lies in the socket, and the reactor has not had a turn to read it.
        self.vendor.connections[0].transport.socket.shutdown(socket.SHUT_WR)
        listener = Listener()
        pool.request(origin, b"POST", b"/v1/x", [], b"", listener)
        while not listener.told:
            await deferLater(reactor, 0.01)
        self.assertEqual(listener.told[-1], "end")
        self.assertEqual(len(self.vendor.connections), 2)
        self.assertEqual(len(self.vendor.requests), 2)

    async def test_a_paid_call_that_was_not_received_goes_again(self) -> None:
        if sys.platform != "linux":
            return
        port = await self.listen()
        pool, origin = self.pool(), f"http://127.0.0.1:{port}"
        await self.ask(pool, origin)
        # The vendor has closed, and reads no more; its end is on the way.
        transport = self.vendor.connections[0].transport
        transport.pauseProducing()
        transport.socket.shutdown(socket.SHUT_WR)
        listener = Listener()
        with mock.patch("abg.wire.vendor.look", unsuspecting):
            pool.request(origin, b"POST", b"/v1/x", [], b"{}", listener)
        while not listener.told:
            await deferLater(reactor, 0.01)
        self.assertEqual(listener.told[-1], "end")
        self.assertEqual(len(self.vendor.requests), 2)

    async def test_one_system_call_finds_a_connection_at_rest(self) -> None:
        if sys.platform != "linux":
            return
        port = await self.listen()
        pool, origin = self.pool(), f"http://127.0.0.1:{port}"
        self.vendor.asked = lambda connection: connection.transport.write(OK)
        with mock.patch("abg.wire.tcpstate._quiet", lambda _: self.fail("looked twice")):
            for _ in range(3):
                await self.ask(pool, origin)
        self.assertEqual(len(self.vendor.connections), 1)
        # Something that nobody has read yet, or a kernel that does not count: a second look.
        raw = self.vendor.connections[0].transport.socket
        below = next(iter(pool.connections))._tcp
        assert below is not None
        self.assertTrue(tcpstate.look(below, None)[0])
        read = len(OK) * 3
        self.assertEqual(tcpstate.look(below, read), tcpstate.look(below, 0))
        raw.send(b"x")
        self.assertFalse(tcpstate.look(below, read)[0])

    async def test_a_kernel_that_does_not_count_proves_nothing(self) -> None:
        port = await self.listen()
        pool, origin = self.pool(), f"http://127.0.0.1:{port}"
        await self.ask(pool, origin)
        self.vendor.asked = lambda connection: connection.transport.loseConnection()
        with mock.patch("abg.wire.tcpstate._tcp_info", lambda _: (1, 0, 0)):
            listener = await self.ask(pool, origin)
        self.assertEqual(listener.failed, "cut")
        self.assertEqual(len(self.vendor.requests), 2)

    async def test_a_paid_call_that_was_received_does_not(self) -> None:
        port = await self.listen()
        pool, origin = self.pool(), f"http://127.0.0.1:{port}"
        await self.ask(pool, origin)
        for end in ("abortConnection", "loseConnection"):
            self.vendor.asked = lambda connection: connection.transport.write(OK)
            await self.ask(pool, origin)
            self.vendor.requests.clear()
            before = len(self.vendor.connections)
            self.vendor.asked = lambda connection, end=end: getattr(connection.transport, end)()
            listener = await self.ask(pool, origin)
            self.assertEqual(listener.failed, "cut")
            self.assertTrue(listener.call.sent)
            self.assertEqual(len(self.vendor.requests), 1)
            self.assertEqual(len(self.vendor.connections), before)

    async def test_nothing_listens(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.vendor = FakeVendor()
        listener = await self.ask(self.pool(), f"http://127.0.0.1:{port}")
        self.assertEqual(listener.failed, "refused")
        self.assertFalse(listener.call.sent)

    async def test_a_name_that_nobody_knows(self) -> None:
        listener = await self.ask(self.pool(), "http://nowhere.invalid")
        self.assertEqual(listener.failed, "dns")

    # TLS

    async def serve_tls(self, name: str = "127.0.0.1") -> int:
        file = self.authority.issue(name)
        return await self.listen(f"ssl:0:interface=127.0.0.1:privateKey={file}:certKey={file}")

    async def test_tls_with_a_root_of_ones_own(self) -> None:
        port = await self.serve_tls()
        pool, origin = self.pool(ca_file=str(self.authority.file)), f"https://127.0.0.1:{port}"
        for _ in range(3):
            listener = await self.ask(pool, origin)
            self.assertEqual(listener.body, b"hello")
        self.assertEqual(len(self.vendor.connections), 1)

    async def test_tls_with_a_root_from_the_environment(self) -> None:
        port = await self.serve_tls()
        with mock.patch.dict("os.environ", {"SSL_CERT_FILE": str(self.authority.file)}):
            listener = await self.ask(self.pool(), f"https://127.0.0.1:{port}")
        self.assertEqual(listener.body, b"hello")

    async def test_a_vendor_that_nobody_vouches_for(self) -> None:
        port = await self.serve_tls()
        listener = await self.ask(self.pool(), f"https://127.0.0.1:{port}")
        self.assertEqual(listener.failed, "tls")
        self.assertIn("certificate", listener.told[-1][2])
        self.assertIn("ca_file", listener.told[-1][2])
        self.assertFalse(listener.call.sent)
        self.assertEqual(self.vendor.requests, [])

    async def test_a_certificate_for_somebody_else(self) -> None:
        port = await self.serve_tls("vendor.test")
        pool = self.pool(ca_file=str(self.authority.file))
        listener = await self.ask(pool, f"https://127.0.0.1:{port}")
        self.assertEqual(listener.failed, "tls")
        self.assertIn("name", listener.told[-1][2])
        self.assertEqual(self.vendor.requests, [])

    async def test_a_vendor_that_speaks_no_tls(self) -> None:
        port = await self.listen()
        self.vendor.asked = lambda connection: connection.transport.write(b"<html>no TLS</html>")
        listener = await self.ask(self.pool(), f"https://127.0.0.1:{port}")
        self.assertEqual(listener.failed, "tls")
        self.assertIn("speaks no TLS", listener.told[-1][2])

    async def test_a_vendor_that_closes_instead_of_shaking_hands(self) -> None:
        port = await self.listen()
        self.vendor.asked = lambda connection: connection.transport.loseConnection()
        listener = await self.ask(self.pool(), f"https://127.0.0.1:{port}")
        self.assertEqual(listener.failed, "tls")
        self.assertFalse(listener.call.sent)

    async def test_a_vendor_that_never_shakes_hands(self) -> None:
        port = await self.listen()
        self.vendor.asked = lambda connection: None
        pool = self.pool(connect_seconds=0.2)
        listener = await self.ask(pool, f"https://127.0.0.1:{port}")
        self.assertEqual(listener.failed, "connect_timeout")
        await self.until(lambda: not pool.connections)

    async def test_an_abort_inside_the_handshake_leaves_nothing(self) -> None:
        port = await self.listen()
        self.vendor.asked = lambda connection: None
        pool, listener = self.pool(), Listener()
        call = pool.request(f"https://127.0.0.1:{port}", b"POST", b"/", [], b"", listener)
        await self.until(lambda: bool(pool.connections and self.vendor.requests))
        call.abort()
        await self.until(lambda: not pool.connections)
        self.assertEqual(listener.told, [])

    async def test_what_is_said_before_the_call_was_seen_is_no_answer(self) -> None:
        if sys.platform != "linux":
            return
        port = await self.listen()
        pool, origin = self.pool(), f"http://127.0.0.1:{port}"
        await self.ask(pool, origin)
        raw = self.vendor.connections[0].transport.socket
        raw.send(b"HTTP/1.1 408 Too Late\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        with mock.patch("abg.wire.vendor.look", unsuspecting):
            listener = await self.ask(pool, origin)
        self.assertEqual(listener.body, b"hello")
        self.assertEqual(len(self.vendor.connections), 2)

    async def until(self, condition: Any) -> None:
        for _ in range(500):
            if condition():
                return
            await deferLater(reactor, 0.01)
        self.fail("it never came true")

    def test_a_ca_file_that_is_none(self) -> None:
        empty = self.authority.folder / "empty.pem"
        empty.write_text("nothing")
        for file in (self.authority.folder / "missing.pem", empty):
            error = self.assertRaises(ConfigError, self.pool, ca_file=str(file))
            self.assertIn(str(file), str(error))

    async def test_a_stale_tls_connection_is_no_users_error(self) -> None:
        port = await self.serve_tls()
        pool, origin = self.pool(ca_file=str(self.authority.file)), f"https://127.0.0.1:{port}"
        await self.ask(pool, origin)
        # The vendor has said goodbye, and reads no more; it is unseen when the next call goes out.
        tls = self.vendor.connections[0].transport
        tls.transport.pauseProducing()
        tls.getHandle().shutdown()
        tls.transport.socket.send(tls.getHandle().bio_read(1000))
        with mock.patch("abg.wire.vendor.look", unsuspecting):
            listener = await self.ask(pool, origin)
        self.assertEqual(listener.body, b"hello")
        self.assertEqual(len(self.vendor.connections), 2)
        self.assertEqual(len(self.vendor.requests), 2)

    # Through a proxy

    async def test_a_tunnel_to_a_vendor_only_the_proxy_knows(self) -> None:
        port = await self.serve_tls("vendor.test")
        proxy_port, seen = await self.proxy(port)
        proxies = Proxies.from_environment(
            {"HTTPS_PROXY": f"http://me:p%40ss@127.0.0.1:{proxy_port}"}
        )
        pool = self.pool(ca_file=str(self.authority.file), proxies=proxies)
        for _ in range(2):
            listener = await self.ask(pool, "https://vendor.test")
            self.assertEqual(listener.body, b"hello")
        self.assertEqual(
            seen,
            [
                b"CONNECT vendor.test:443 HTTP/1.1\r\nHost: vendor.test:443\r\n"
                b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n"
            ],
        )

    async def test_what_a_proxy_may_say_beside_its_yes(self) -> None:
        port = await self.serve_tls("vendor.test")
        for said in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 X\r\nA: b\r\n\r\nHTTP/1.1 204 OK\r\n\r\n",
        ):
            proxy_port, _ = await self.proxy(port, yes=said)
            proxies = Proxies.from_environment({"https_proxy": f"127.0.0.1:{proxy_port}"})
            pool = self.pool(ca_file=str(self.authority.file), proxies=proxies)
            listener = await self.ask(pool, "https://vendor.test")
            self.assertEqual(listener.body, b"hello")

    async def test_a_proxy_that_will_not(self) -> None:
        await self.listen()
        for said, words in (
            (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "407"),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "101"),
            (b"what?\r\n\r\n", "HTTP"),
            (b"", "without an answer"),
            (b"HTTP/1.1 200 OK\r\n\r\nsurplus", "more than"),
            (b"what?", "HTTP"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "too large"),
        ):
            proxy_port, _ = await self.proxy(0, said)
            proxies = Proxies.from_environment({"https_proxy": f"127.0.0.1:{proxy_port}"})
            listener = await self.ask(self.pool(proxies=proxies), "https://vendor.test")
            self.assertEqual(listener.failed, "refused")
            self.assertIn(words, listener.told[-1][2])
            self.assertFalse(listener.call.sent)

    async def test_a_proxy_that_is_not_there(self) -> None:
        # Not the vendor: his name and his address are beyond doubt.
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            closed = f"127.0.0.1:{nobody.getsockname()[1]}"
            for place, kind, words in (
                (closed, "refused", "the connection was refused"),
                ("proxy.invalid:3128", "dns", "its name cannot be resolved"),
            ):
                proxies = Proxies.from_environment({"https_proxy": place})
                listener = await self.ask(self.pool(proxies=proxies), "https://vendor.test")
                self.assertEqual(listener.failed, kind)
                told = f"the proxy {place} cannot be reached: {words}"
                self.assertEqual(listener.told[-1][2], told)

    async def test_a_proxy_that_says_nothing(self) -> None:
        await self.listen()
        proxy_port, _ = await self.proxy(0, None)
        proxies = Proxies.from_environment({"https_proxy": f"127.0.0.1:{proxy_port}"})
        pool = self.pool(proxies=proxies, connect_seconds=0.2)
        listener = await self.ask(pool, "https://vendor.test")
        self.assertEqual(listener.failed, "connect_timeout")

    async def proxy(
        self,
        port: int,
        said: bytes | None = b"go",
        yes: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n",
    ) -> tuple[int, list[bytes]]:
        """A proxy that leads to ``port`` (``through``: without being asked), or says something
        else; and what it was told."""
        seen: list[bytes] = []
        factory = Factory.forProtocol(lambda: ProxyProtocol(seen, port, said, yes))
        factory.noisy = False
        listening: Any = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(
            factory
        )
        self.addCleanup(listening.stopListening)
        number: int = listening.getHost().port
        return number, seen


class ProxyProtocol(Protocol):
    def __init__(self, seen: list[bytes], port: int, said: bytes | None, yes: bytes) -> None:
        self._seen = seen
        self._port = port
        self._said = said
        self._yes = yes
        self._first = b""
        self._other: Any = None

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        if self._other is None or self._said == b"through":
            self._seen.append(data)
        if self._other is not None:
            self._other.transport.write(data)
            return
        if self._said in (b"go", b"through"):
            self._first = data
            transport.pauseProducing()
            factory = Factory.forProtocol(lambda: _Back(self))
            factory.noisy = False
            from twisted.internet.endpoints import TCP4ClientEndpoint

            TCP4ClientEndpoint(reactor, "127.0.0.1", self._port).connect(factory).addCallback(
                self._through
            )
        elif self._said is not None:
            transport.write(self._said)
            transport.loseConnection()

    def _through(self, other: Any) -> None:
        transport: Any = self.transport
        self._other = other
        if self._said == b"through":
            other.transport.write(self._first)
        else:
            transport.write(self._yes)
        transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._other is not None:
            self._other.transport.loseConnection()


class _Back(Protocol):
    def __init__(self, client: ProxyProtocol) -> None:
        self._client = client

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self._client.transport
        transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        transport: Any = self._client.transport
        transport.loseConnection()
