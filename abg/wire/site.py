"""twisted.web's side: the resource that makes exchanges, and our own ``Site`` around it.

``ExchangeResource`` works in anybody's ``Site``, at the root or under a path; there a request's
body is whole when ``render`` is called, and limits are the Site's own. ``GuardSite`` has the fast
lane's rules and limits, and begins an exchange when the head is there: the application sees a
body that is too large, or comes under ``Expect: 100-continue``, before a byte of it was read.
"""

# twisted.web has no types of its own.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IAddress
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from abg.call import Headers
from abg.exchange import Application
from abg.wire.channel import GuardChannel
from abg.wire.framing import plain_refusal
from abg.wire.head import BadRequest, RequestHead
from abg.wire.limits import DEFAULT_LIMITS, Limits
from abg.wire.site_exchange import SiteExchange

__all__ = ["ExchangeResource", "GuardRequest", "GuardSite", "below_mount"]

_OWN_BODY_BYTES = 1_048_576
"""The largest body that a resource other than an exchange's is given."""


class ExchangeResource(Resource):
    """A leaf that gives every request below it to an application.

    A resource that does so only for some of its requests has a method ``exchanges`` like this one.

    Args:
        application: what answers.
        reactor: for deferred calls; the global one by default.
    """

    isLeaf = True

    def __init__(self, application: Application, reactor: Any = None) -> None:
        super().__init__()
        if reactor is None:
            from twisted.internet import reactor
        self.application = application
        self.reactor: Any = reactor

    def exchanges(self, request: Request) -> ExchangeResource | None:
        """What takes ``request`` as an exchange; None: it is rendered like any other."""
        return self

    def begin(self, request: Request, target: bytes, length: int | None) -> SiteExchange:
        """Begin the exchange of a request whose head is complete."""
        exchange = SiteExchange(request, target, length, self.reactor)
        exchange.begin(self.application)
        return exchange

    def render(self, request: Request) -> int:
        return self.render_target(request, below_mount(request))

    def render_target(self, request: Request, target: bytes) -> int:
        """Answer a request that has come whole."""
        content: Any = request.content
        body: bytes = content.read()
        exchange = self.begin(request, target, len(body))
        exchange.take_body(body)
        exchange.take_body_end()
        return NOT_DONE_YET


def below_mount(request: Request) -> bytes:
    """The request's target below its resource's own place, spelt as it came."""
    uri: bytes = request.uri
    depth = len(request.prepath or ())
    if depth == 0 or not uri.startswith(b"/"):
        return uri
    path, mark, query = uri.partition(b"?")
    return b"/" + b"/".join(path.split(b"/")[1 + depth :]) + mark + query


class GuardRequest(Request):
    """A request whose exchange begins with its head, where an ``ExchangeResource`` answers it."""

    channel: Any
    exchange: SiteExchange | None = None
    fields: Headers | None = None
    body_ended = False

    def gotLength(self, length: int | None) -> None:
        head: RequestHead = self.channel.head
        self.fields = head.headers
        if length == 0:
            self.content = BytesIO()
            return
        resource = self._find(head)
        if resource is None:
            if length is not None and length > _OWN_BODY_BYTES:
                self.channel.refuse(BadRequest("body"))
                length = 0
            super().gotLength(length)
            return
        self.content = None
        self.exchange = resource.begin(self, below_mount(self), head.content_length)

    def _find(self, head: RequestHead) -> ExchangeResource | None:
        """The resource that answers, if it takes exchanges; looked up as ``process`` will."""
        self.method, self.uri = head.method, head.target
        self.clientproto = b"HTTP/1.1" if head.current else b"HTTP/1.0"
        self.path = self.uri.split(b"?", 1)[0]
        self.site = self.channel.site
        self.prepath: list[bytes] = []
        self.postpath = [unquote_to_bytes(part) for part in self.path[1:].split(b"/")]
        if self.path == b"*":
            return None
        found: Any = self.site.getResourceFor(self)
        take = getattr(found, "exchanges", None)
        return None if take is None else take(self)

    def handleContentChunk(self, data: bytes) -> None:
        if self.exchange is not None:
            self.exchange.take_body(data)
        elif self.content is not None:
            if self.content.tell() + len(data) > _OWN_BODY_BYTES:
                self.channel.refuse(BadRequest("body"))
                return
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self.body_ended = True
        if self.exchange is not None:
            self.exchange.take_body_end()
        else:
            super().requestReceived(command, path, version)

    def read_body(self, on: bool) -> None:
        """Read on, or stop reading, from the client (``SiteExchange``)."""
        self.channel.read_body(on)

    def about_to_respond(self) -> None:
        """The answer's head is about to be written (``SiteExchange``)."""
        if self.channel.ends_after(self):
            self.responseHeaders.setRawHeaders(b"Connection", [b"close"])


class GuardSite(Site):
    """A ``Site`` with the fast lane's limits, for its odd requests and for embedders.

    Args:
        resource: the root.
        application: answers what the wire refuses; without one the answer is plain text.
    """

    displayTracebacks = False

    def __init__(
        self,
        resource: IResource,
        application: Application | None = None,
        limits: Limits = DEFAULT_LIMITS,
        reactor: Any = None,
    ) -> None:
        super().__init__(
            resource, requestFactory=GuardRequest, timeout=limits.idle_seconds, reactor=reactor
        )
        self.limits = limits
        self.channels: set[GuardChannel] = set()
        self.draining = False
        self.refuse = plain_refusal if application is None else application.refuse

    def buildProtocol(self, addr: IAddress | None) -> Any:
        channel: Any = GuardChannel()
        channel.factory = channel.site = self
        channel.requestFactory = self.requestFactory
        channel.callLater = self.reactor.callLater
        channel.timeOut = self.timeOut
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """No access log: the ledger and the console say what there is to say."""

    def drain(self) -> None:
        """Keep no connection alive; idle ones are closed at once."""
        self.draining = True
        for channel in list(self.channels):
            channel.drain()
