"""Both doors of abg in memory: a client's transport, an application that does as it is told."""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.server import Site
from zope.interface import implementer

from abg.call import Headers
from abg.wire.framing import plain_refusal
from abg.wire.inbound import FastLaneFactory
from abg.wire.limits import DEFAULT_LIMITS, Limits
from abg.wire.site import ExchangeResource, GuardSite

__all__ = [
    "Answer",
    "Application",
    "Client",
    "LaneDoor",
    "MemoryTransport",
    "MountedDoor",
    "Seen",
    "SiteDoor",
    "fields",
    "whole",
]


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """A socket of which the test holds the other end."""

    ROOM = 65_536

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.protocol: Any = None
        self.received = b""
        self.writes: list[bytes] = []
        self.connected = True
        self.disconnecting = False
        self.aborted = False
        self.taking = True
        self.reading = True
        self._queue: list[bytes] = []
        self._incoming: list[bytes] = []
        self.producer: Any = None
        self._producer_paused = False
        self.never_reads_end = False

    def connect(self, protocol: Any) -> None:
        self.protocol = protocol
        protocol.makeConnection(self)

    # The far end

    def deliver(self, data: bytes) -> None:
        self._incoming.append(data)
        self._pass_on()

    def _pass_on(self) -> None:
        while self._incoming and self.reading and self.connected:
            self.protocol.dataReceived(self._incoming.pop(0))

    @property
    def undelivered(self) -> int:
        return sum(map(len, self._incoming))

    def leave(self, reason: BaseException | None = None) -> None:
        """The far end closes, or is lost."""
        self._lose(reason or ConnectionDone())

    def take(self, on: bool) -> None:
        """Whether the far end reads what is written."""
        self.taking = on
        if on:
            self.received += b"".join(self._queue)
            self._queue.clear()
            if self.producer is not None and self._producer_paused:
                self._producer_paused = False
                self.producer.resumeProducing()
            self._maybe_close()

    # The near end

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if not self.connected or not data:
            return
        self.writes.append(data)
        if self.taking:
            self.received += data
            return
        self._queue.append(data)
        if self.producer is not None and sum(map(len, self._queue)) > self.ROOM:
            self._producer_paused = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        if self.producer is not None:
            raise RuntimeError("there is a producer already")
        if self.connected:
            self.producer = producer
        else:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        self.producer = None
        self._producer_paused = False
        self._maybe_close()

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        if self.connected and not self.disconnecting:
            self.reading = True
            self.clock.callLater(0, self._pass_on)

    def stopProducing(self) -> None:
        self.loseConnection()

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self.reading = False
            self._maybe_close()

    def _maybe_close(self) -> None:
        if self.disconnecting and self.connected and not self._queue and self.producer is None:
            self.clock.callLater(0, self._lose, ConnectionDone())

    def abortConnection(self) -> None:
        if self.connected:
            self.aborted = True
            self.reading = False
            self.clock.callLater(0, self._lose, ConnectionAborted())

    def _lose(self, reason: BaseException) -> None:
        if not self.connected:
            return
        self.connected = False
        if self.producer is not None:
            self.producer.stopProducing()
            self.producer = None
        self.protocol.connectionLost(Failure(reason))

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 54321)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 8788)


@define
class Seen:
    """What the application was told of one exchange."""

    exchange: Any
    body: bytes = b""
    pieces: list[bytes] = field(factory=list)
    events: list[str] = field(factory=list)

    @property
    def ended(self) -> bool:
        return "end" in self.events


class Handler:
    """Notes what it is told; ``Application.when`` acts on it."""

    def __init__(self, application: Application, seen: Seen) -> None:
        self._application = application
        self._seen = seen

    def body(self, data: bytes) -> None:
        assert data
        self._seen.body += data
        self._seen.pieces.append(data)
        self._told("body")

    def body_end(self) -> None:
        self._told("end")

    def gone(self) -> None:
        self._told("gone")

    def pause(self) -> None:
        self._told("pause")

    def resume(self) -> None:
        self._told("resume")

    def _told(self, event: str) -> None:
        application = self._application
        assert not application.calling, f"{event} was told inside a call of the handler's own"
        self._seen.events.append(event)
        act = application.when.get(event)
        if act is not None:
            act(self._seen)


class Application:
    """Begins, notes, and does what the test wants.

    Attributes:
        seen: the exchanges, in order.
        when: what to do at ``begin``, ``body``, ``end``, ``gone``, ``pause``, ``resume``.
        refused: status and message of what the wire refused.
        calling: a call of a handler to its exchange is running (set by ``inside``).
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.when: dict[str, Callable[[Seen], None]] = {}
        self.refused: list[tuple[int, str]] = []
        self.calling = False

    def begin(self, exchange: Any) -> Handler:
        seen = Seen(exchange)
        self.seen.append(seen)
        handler = Handler(self, seen)
        act = self.when.get("begin")
        if act is not None:
            act(seen)
        return handler

    def refuse(self, exchange: Any, status: int, message: str) -> None:
        self.refused.append((status, message))
        plain_refusal(exchange, status, message)

    def inside(self, call: Callable[[], None]) -> None:
        self.calling = True
        try:
            call()
        finally:
            self.calling = False


def whole(seen: Seen, body: bytes = b"hello", status: int = 200) -> None:
    """A whole answer of counted length."""
    exchange = seen.exchange
    exchange.respond(status, b"Fine", [(b"Content-Length", b"%d" % len(body))])
    exchange.write(body)
    exchange.finish()


class _File(io.BytesIO):
    def makefile(self, *_: Any) -> _File:
        return self

    def close(self) -> None:
        """``http.client`` closes what it has read to the end; the next answer is behind it."""


@define
class Answer:
    """An answer as a client reads it."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Client:
    """One connection to a door."""

    def __init__(self, door: LaneDoor | SiteDoor, transport: MemoryTransport) -> None:
        self.door = door
        self.transport = transport

    def send(self, data: bytes) -> None:
        self.transport.deliver(data)
        self.door.turn()

    def leave(self) -> None:
        self.transport.leave(ConnectionLost())
        self.door.turn()

    @property
    def received(self) -> bytes:
        return self.transport.received

    @property
    def closed(self) -> bool:
        return not self.transport.connected

    def answers(self, *methods: str) -> list[Answer]:
        """All answers that came, each to the method at its place (GET by default)."""
        file = _File(self.received)
        found = []
        while file.tell() < len(self.received):
            method = methods[len(found)] if len(found) < len(methods) else "GET"
            response = http.client.HTTPResponse(file, method=method)  # type: ignore[arg-type]
            response.begin()
            body = response.read()
            found.append(Answer(response.status, response.reason, response.getheaders(), body))
        return found


class _Door:
    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.clock = Clock()
        self.application = Application()
        self.site = GuardSite(
            ExchangeResource(self.application, self.clock), self.application, limits, self.clock
        )

    def protocol(self) -> Any:
        raise NotImplementedError

    def connect(self) -> Client:
        transport = MemoryTransport(self.clock)
        transport.connect(self.protocol())
        return Client(self, transport)  # type: ignore[arg-type]

    def turn(self) -> None:
        """Let everything happen that is due now."""
        for _ in range(20):
            self.clock.advance(0)

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self.turn()

    @property
    def seen(self) -> list[Seen]:
        return self.application.seen

    @property
    def only(self) -> Seen:
        (seen,) = self.application.seen
        return seen


class LaneDoor(_Door):
    """The fast lane, with a ``GuardSite`` behind it."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(limits)
        self.factory = FastLaneFactory(self.application, self.site, limits, self.clock)

    def protocol(self) -> Any:
        return self.factory.buildProtocol(None)

    def drain(self) -> None:
        self.factory.drain()
        self.site.drain()


class SiteDoor(_Door):
    """Our own ``Site`` alone."""

    def protocol(self) -> Any:
        return self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 54321))

    def drain(self) -> None:
        self.site.drain()


class MountedDoor(_Door):
    """The resource in a bare ``Site`` of somebody else."""

    def protocol(self) -> Any:
        resource = ExchangeResource(self.application, self.clock)
        site = Site(resource, reactor=self.clock)
        return site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 54321))


def fields(headers: Headers) -> dict[bytes, list[bytes]]:
    """Fields by lower-case name, the order kept per name: what *same* means (contract 22)."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return found
