"""The second door: an exchange over a twisted.web request."""

# Twisted's are untyped in part.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from abg.call import Headers
from abg.exchange import Application, Exchange, Handler, Kin
from abg.wire.framing import bodiless, declared_length
from abg.wire.valve import Valve

__all__ = ["SiteExchange"]

_LINGER_SECONDS = 15.0
"""How long a broken-off answer may take to go out to the client."""


def _headers_of(request: Request) -> Headers:
    """All fields, as they came where the channel kept them, else in canonical case."""
    kept: Headers | None = getattr(request, "fields", None)
    if kept is not None:
        return kept
    return [
        (name, value)
        for name, values in request.requestHeaders.getAllRawHeaders()
        for value in values
    ]


@implementer(IPushProducer)
class SiteExchange:
    """See ``abg.exchange.Exchange``."""

    def __init__(
        self, request: Request, target: bytes, content_length: int | None, reactor: Any
    ) -> None:
        self._request: Any = request
        self._reactor: Any = reactor
        self.method: bytes = request.method
        self.target = target
        self.headers = _headers_of(request)
        client = request.getClientAddress()
        self.peer: str = getattr(client, "host", "") or str(client)
        self.content_length = content_length
        self.kin = Kin()
        self.handler: Handler | None = None
        self.responded = False
        self._out: list[bytes] = []
        self._bodiless = False
        self._left: int | None = None
        # The request's body: what came while the handler wanted none.
        self._body_paused = False
        self._held: list[bytes] = []
        self._body_ended = False
        self._releasing: IDelayedCall | None = None
        self._valve = Valve(reactor, self._full)
        self._breaking: IDelayedCall | None = None

    # The request's side

    def begin(self, application: Application) -> None:
        self._request.notifyFinish().addCallbacks(self._over, self._lost)
        handler = application.begin(self)
        if self._request is not None:
            self.handler = handler

    def take_body(self, data: bytes) -> None:
        """A piece of the request's body has come."""
        if not data or self.handler is None:
            return
        if self._body_paused or self._held:
            self._held.append(data)
        else:
            self.handler.body(data)

    def take_body_end(self) -> None:
        self._body_ended = True
        if self.handler is not None and not self._held:
            self.handler.body_end()

    @property
    def open(self) -> bool:
        """Neither finished nor aborted nor lost."""
        return self._request is not None

    def _over(self, _: object) -> None:
        """The request has ended as it should."""

    def _lost(self, _: Failure) -> None:
        """The connection was lost."""
        if self._breaking is not None:
            self._breaking.cancel()
            self._breaking = None
        handler = self.handler
        self._leave()
        if handler is not None:
            handler.gone()

    def cut_short(self) -> None:
        """The request's body will never be whole: the channel answers for us."""
        handler = self.handler
        self._leave()
        if handler is not None:
            handler.gone()

    def _leave(self) -> Any:
        request, self._request, self.handler = self._request, None, None
        self._out.clear()
        self._held.clear()
        self._valve.stop()
        if self._releasing is not None:
            self._releasing.cancel()
            self._releasing = None
        return request

    # The corridor's side

    def pause_body(self) -> None:
        if self._request is not None and not self._body_paused:
            self._body_paused = True
            self._read(False)

    def resume_body(self) -> None:
        if self._request is not None and self._body_paused:
            self._body_paused = False
            if self._held:
                if self._releasing is None:
                    self._releasing = self._reactor.callLater(0, self._release)
            else:
                self._read(True)

    def _release(self) -> None:
        self._releasing = None
        if self._body_paused or self.handler is None:
            return
        data = b"".join(self._held)
        self._held.clear()
        self._read(True)
        self.handler.body(data)
        if self._body_ended and self.handler is not None:
            self.handler.body_end()

    def _read(self, on: bool) -> None:
        read = getattr(self._request, "read_body", None)
        if read is not None:
            read(on)

    def respond(self, status: int, reason: bytes, headers: Headers) -> None:
        request = self._request
        if request is None or self.responded:
            return
        self.responded = True
        request.setResponseCode(status, reason)
        request.defaultContentType = None
        fields = request.responseHeaders
        # Twisted's own; the vendor's come instead, if it sent any.
        fields.removeHeader(b"server")
        fields.removeHeader(b"date")
        for name, value in headers:
            fields.addRawHeader(name, value)
        self._bodiless = bodiless(self.method, status)
        if not self._bodiless:
            self._left = declared_length(headers)
        about_to = getattr(request, "about_to_respond", None)
        if about_to is not None:
            about_to()
        request.registerProducer(self, True)

    def write(self, data: bytes) -> None:
        if self._request is not None and self.responded and data and not self._bodiless:
            if self._left is not None:
                data = data[: self._left]
                self._left -= len(data)
            self._out.append(data)

    def flush(self) -> None:
        if self._request is not None and self.responded:
            data = b"".join(self._out)
            self._out.clear()
            self._request.write(data)

    def finish(self) -> None:
        if self._request is None or not self.responded:
            return
        if self._left:
            # Less than was declared: the client must see that something is missing.
            self.abort()
            return
        self.flush()
        request = self._leave()
        request.unregisterProducer()
        request.finish()

    def abort(self) -> None:
        request = self._request
        if request is None:
            return
        channel = request.channel
        marked = self._left is not None or request.clientproto == b"HTTP/1.1"
        if self.responded:
            self.flush()
            request.unregisterProducer()
        self._leave()
        abort = getattr(channel, "abortConnection", None)
        if abort is not None:
            abort()
        elif marked:
            # What came so far goes out, and its end is missing.
            self._breaking = self._reactor.callLater(_LINGER_SECONDS, self._break, channel)
            channel.loseConnection()
        else:
            channel.transport.abortConnection()

    def _break(self, channel: Any) -> None:
        self._breaking = None
        channel.transport.abortConnection()

    # The client's socket

    def pauseProducing(self) -> None:
        self._valve.set(True)

    def resumeProducing(self) -> None:
        self._valve.set(False)

    def stopProducing(self) -> None:
        """The connection is lost; the request tells of it."""

    def _full(self, full: bool) -> None:
        if self.handler is None:
            return
        if full:
            self.handler.pause()
        else:
            self.handler.resume()


_check: type[Exchange] = SiteExchange
