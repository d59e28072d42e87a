"""What only the ``Site`` door has: mounting, resources beside the exchanges, the lane behind it."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from abg.test.doors import Application, Client, LaneDoor, MemoryTransport, SiteDoor, whole
from abg.wire import inbound
from abg.wire.limits import Limits
from abg.wire.site import ExchangeResource, GuardSite

GET = b"GET %b HTTP/1.1\r\nHost: abg\r\n\r\n"


class Page(Resource):
    """A resource that is no exchange: it says how much it was sent."""

    isLeaf = True

    def render(self, request: Any) -> bytes:
        return b"%d bytes" % len(request.content.read())


class Both(Resource):
    """Like abg's own: some requests are exchanges, the others pages."""

    isLeaf = True

    def __init__(self, application: Application, clock: Clock) -> None:
        super().__init__()
        self.proxy = ExchangeResource(application, clock)
        self.page = Page()

    def exchanges(self, request: Any) -> ExchangeResource | None:
        return None if request.path.startswith(b"/abg/") else self.proxy

    def render(self, request: Any) -> Any:
        if self.exchanges(request) is None:
            return self.page.render(request)
        return self.proxy.render(request)


class Mounted(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.application = Application()
        self.application.when["end"] = lambda seen: whole(seen, seen.exchange.target)

    def client(self, site: Site) -> MemoryTransport:
        transport = MemoryTransport(self.clock)
        transport.connect(site.buildProtocol(transport.getPeer()))
        return transport

    def test_below_a_path_the_target_begins_behind_it(self) -> None:
        for make in (
            lambda root: Site(root, reactor=self.clock),
            lambda root: GuardSite(root, self.application, reactor=self.clock),
        ):
            root = Resource()
            inner = Resource()
            root.putChild(b"tools", inner)
            inner.putChild(b"llm", ExchangeResource(self.application, self.clock))
            transport = self.client(make(root))
            for asked, told in (
                (b"/tools/llm/v1/messages?beta=true", b"/v1/messages?beta=true"),
                (b"/tools/llm/s/a%2Fb//v1/./x", b"/s/a%2Fb//v1/./x"),
                (b"/tools/llm/", b"/"),
                (b"/tools/llm", b"/"),
                (b"/tools/llm?x", b"/?x"),
                (b"/tools/llm/a?b/c", b"/a?b/c"),
            ):
                for request in (
                    GET % asked,
                    b"POST %b HTTP/1.1\r\nHost: abg\r\nContent-Length: 2\r\n\r\nhi" % asked,
                ):
                    self.application.seen.clear()
                    transport.deliver(request)
                    self.assertEqual(self.application.seen[0].exchange.target, told)

    def test_what_is_elsewhere_is_not_ours(self) -> None:
        root = Resource()
        root.putChild(b"llm", ExchangeResource(self.application, self.clock))
        transport = self.client(GuardSite(root, reactor=self.clock))
        transport.deliver(GET % b"/other")
        transport.deliver(b"POST /other HTTP/1.1\r\nHost: abg\r\nContent-Length: 2\r\n\r\nhi")
        self.assertEqual(transport.received.count(b"HTTP/1.1 404 "), 2)
        self.assertEqual(self.application.seen, [])

    def test_some_requests_are_exchanges_and_others_pages(self) -> None:
        site = GuardSite(Both(self.application, self.clock), self.application, reactor=self.clock)
        transport = self.client(site)
        for target, said in (
            (b"/abg/status", b"2 bytes"),
            (b"/v1/x", b"/v1/x"),
            (b"/abg/status", b"2 bytes"),
        ):
            transport.received = b""
            transport.deliver(
                b"POST %b HTTP/1.1\r\nHost: abg\r\nContent-Length: 2\r\n\r\nhi" % target
            )
            self.assertTrue(transport.received.endswith(said))

    def test_a_page_is_sent_a_megabyte_at_most(self) -> None:
        head = b"POST /abg/reset HTTP/1.1\r\nHost: abg\r\n"
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        for pieces in (
            [head + b"Content-Length: 1048577\r\n\r\n"],
            [head + b"Expect: 100-continue\r\nContent-Length: 1048577\r\n\r\n"],
            [head + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 17],
        ):
            site = GuardSite(
                Both(self.application, self.clock), self.application, reactor=self.clock
            )
            transport = self.client(site)
            for piece in pieces:
                transport.deliver(piece)
            self.assertTrue(transport.received.startswith(b"HTTP/1.1 413 "), transport.received)
            self.assertEqual(transport.received.count(b"HTTP/1.1"), 1)
            self.clock.pump([1] * 20)
            self.assertFalse(transport.connected)

    def test_a_page_may_have_a_megabyte(self) -> None:
        site = GuardSite(Both(self.application, self.clock), self.application, reactor=self.clock)
        transport = self.client(site)
        transport.deliver(
            b"POST /abg/x HTTP/1.1\r\nHost: abg\r\nContent-Length: 1048576\r\n\r\n"
            + b"x" * 1_048_576
        )
        self.assertTrue(transport.received.endswith(b"1048576 bytes"))

    def test_a_resource_that_breaks_is_a_500_and_no_more(self) -> None:
        class Broken(Resource):
            isLeaf = True

            def render(self, request: Any) -> bytes:
                raise RuntimeError("broken")

        transport = self.client(GuardSite(Broken(), reactor=self.clock))
        transport.deliver(GET % b"/")
        self.assertTrue(transport.received.startswith(b"HTTP/1.1 500 "))
        self.assertNotIn(b"broken", transport.received)
        self.flushLoggedErrors(RuntimeError)

    def test_only_http_1_1_is_negotiated(self) -> None:
        self.assertEqual(
            GuardSite(Resource(), reactor=self.clock).acceptableProtocols(), [b"http/1.1"]
        )

    def test_a_refusal_without_an_application_is_plain_text(self) -> None:
        transport = self.client(GuardSite(Resource(), reactor=self.clock))
        transport.deliver(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(transport.received.startswith(b"HTTP/1.1 400 Bad Request\r\n"))
        self.assertTrue(transport.received.endswith(b"the request has no Host header\n"))


class HandedOver(SynchronousTestCase):
    """The fast lane and the ``Site``'s channel take turns on one connection."""

    OWN = GET % b"/abg/status"
    PLAIN = GET % b"/v1/models"

    def door(self, limits: Limits | None = None) -> tuple[LaneDoor, Client]:
        door = LaneDoor(limits) if limits is not None else LaneDoor()
        door.application.when["end"] = lambda seen: whole(seen, seen.exchange.target)
        return door, door.connect()

    def test_fast_and_slow_take_turns(self) -> None:
        door, client = self.door()
        for request in (self.PLAIN, self.PLAIN, self.OWN, self.PLAIN, self.OWN, self.OWN):
            client.send(request)
        self.assertEqual(
            [answer.body for answer in client.answers()],
            [b"/v1/models"] * 2 + [b"/abg/status", b"/v1/models"] + [b"/abg/status"] * 2,
        )
        kinds = [type(seen.exchange).__name__ for seen in door.seen]
        lane, site = "LaneExchange", "SiteExchange"
        self.assertEqual(kinds, [lane, lane, site, lane, site, site])

    def test_also_when_all_comes_at_once(self) -> None:
        door, client = self.door()
        client.send((self.PLAIN + self.OWN) * 50 + self.OWN * 50 + self.PLAIN)
        door.turn()
        for _ in range(30):
            door.turn()
        self.assertEqual(len(client.answers()), 151)

    def test_a_slow_answer_keeps_what_comes_behind_it(self) -> None:
        door, client = self.door()
        del door.application.when["end"]
        client.send(self.OWN + self.PLAIN)
        self.assertEqual(len(door.seen), 1)
        whole(door.seen[0])
        door.turn()
        self.assertEqual(len(door.seen), 2)
        client.leave()
        self.assertEqual(door.seen[1].events, ["end", "gone"])

    def test_any_spelling_of_the_own_path(self) -> None:
        door, client = self.door()
        for target in (b"/abg", b"/abg/", b"/abg?x", b"/abg/status?x"):
            client.send(GET % target)
            self.assertEqual(type(door.seen[-1].exchange).__name__, "SiteExchange")
        client.send(GET % b"/abgx")
        self.assertEqual(type(door.seen[-1].exchange).__name__, "LaneExchange")

    def test_a_client_that_leaves_the_channel_is_gone(self) -> None:
        door, client = self.door()
        del door.application.when["end"]
        client.send(self.OWN)
        client.leave()
        self.assertEqual(door.only.events, ["end", "gone"])
        self.assertEqual(door.factory.lanes, set())
        self.assertEqual(door.site.channels, set())

    def test_draining_ends_what_was_handed_over(self) -> None:
        door, client = self.door()
        del door.application.when["end"]
        client.send(self.OWN)
        drained = door.factory.drain()
        door.turn()
        self.assertNoResult(drained)
        whole(door.only)
        door.turn()
        self.successResultOf(drained)
        self.assertTrue(client.closed)

    def test_draining_with_nobody_there(self) -> None:
        door = LaneDoor()
        self.successResultOf(door.factory.drain())
        late = door.connect()
        late.send(self.PLAIN)
        whole(door.only)
        door.turn()
        self.assertTrue(late.closed)

    def test_what_is_left_can_be_broken(self) -> None:
        door, client = self.door()
        del door.application.when["end"]
        client.send(self.PLAIN)
        other = door.connect()
        other.send(self.OWN)
        door.factory.abort()
        door.turn()
        self.assertTrue(client.transport.aborted)
        self.assertTrue(other.transport.aborted)
        self.assertEqual([seen.events[-1] for seen in door.seen], ["gone", "gone"])

    def test_idle_after_the_way_back(self) -> None:
        door, client = self.door()
        client.send(self.OWN)
        door.wait(115)
        self.assertFalse(client.closed)
        door.wait(10)
        self.assertTrue(client.closed)

    def test_no_timer_stays_behind(self) -> None:
        for door in (LaneDoor(), SiteDoor()):
            door.application.when["end"] = whole
            client = door.connect()
            client.send(self.OWN + self.PLAIN)
            client.leave()
            self.assertEqual(door.clock.getDelayedCalls(), [])

    def test_memory_of_large_bodies_is_given_back_when_it_is_quiet(self) -> None:
        given = []
        self.patch(inbound, "give_back", lambda: given.append(True))
        door, client = self.door()
        client.send(
            b"POST /v1/x HTTP/1.1\r\nHost: abg\r\nContent-Length: 2000000\r\n\r\n"
            + b"x" * 2_000_000
        )
        client.leave()
        door.wait(4)
        self.assertEqual(given, [])
        door.wait(4)
        self.assertEqual(given, [True])
        self.assertEqual(door.clock.getDelayedCalls(), [])

    def test_bytes_behind_a_chunked_body_end_the_connection(self) -> None:
        door, client = self.door()
        client.send(
            b"POST /v1/x HTTP/1.1\r\nHost: abg\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            + self.PLAIN
        )
        self.assertEqual(len(door.seen), 1)
        (answer,) = client.answers()
        self.assertEqual(answer.all("Connection"), ["close"])
        self.assertTrue(client.closed)
