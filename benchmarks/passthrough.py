"""The wire alone: a proxy that passes every request on and counts nothing.

Usage: ``python benchmarks/passthrough.py PORT UPSTREAM_ORIGIN``, e.g. ``8800
http://127.0.0.1:8801``. What abg costs above it is its corridor.
"""

from __future__ import annotations

import sys
from typing import Any

from abg.call import Headers
from abg.exchange import Exchange, Handler, VendorCall
from abg.wire.framing import plain_refusal
from abg.wire.inbound import FastLaneFactory
from abg.wire.outbound import Pool
from abg.wire.site import ExchangeResource, GuardSite

_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_NOT_FORWARDED = _HOP_BY_HOP | {b"host", b"expect", b"content-length"}


class PassThrough:
    """One request on its way: handler of the client's side, listener of the vendor's."""

    __slots__ = ("_body", "answered", "application", "call", "exchange")

    def __init__(self, application: PassThroughApplication, exchange: Exchange) -> None:
        self.application = application
        self.exchange = exchange
        self._body: list[bytes] = []
        self.call: VendorCall | None = None
        self.answered = False

    def body(self, data: bytes) -> None:
        self._body.append(data)

    def body_end(self) -> None:
        exchange = self.exchange
        headers = [header for header in exchange.headers if header[0].lower() not in _NOT_FORWARDED]
        application = self.application
        body = b"".join(self._body)
        self._body.clear()
        self.call = application.pool.request(
            application.origin,
            exchange.method,
            exchange.target,
            headers,
            body,
            self,
        )

    def gone(self) -> None:
        if self.call is not None:
            self.call.abort()

    def pause(self) -> None:
        if self.call is not None:
            self.call.pause()

    def resume(self) -> None:
        if self.call is not None:
            self.call.resume()

    def answer_head(self, status: int, reason: bytes, headers: Headers, has_body: bool) -> None:
        self.answered = True
        self.exchange.respond(
            status,
            reason,
            [header for header in headers if header[0].lower() not in _HOP_BY_HOP],
        )

    def answer_end(self) -> None:
        self.exchange.finish()

    def answer_failed(self, kind: str, message: str) -> None:
        if self.answered:
            self.exchange.abort()
            return
        body = f"{kind}: {message}\n".encode()
        self.exchange.respond(502, b"Bad Gateway", [(b"Content-Length", b"%d" % len(body))])
        self.exchange.write(body)
        self.exchange.finish()

    def upstream_pause(self) -> None:
        self.exchange.pause_body()

    def body_left(self) -> None: ...

    def upstream_resume(self) -> None:
        self.exchange.resume_body()

    def answer_data(self, data: bytes) -> None:
        self.exchange.write(data)

    def answer_flush(self) -> None:
        self.exchange.flush()


class PassThroughApplication:
    """Begins a ``PassThrough`` for each request."""

    def __init__(self, pool: Pool, origin: str) -> None:
        self.pool = pool
        self.origin = origin

    def begin(self, exchange: Exchange) -> Handler:
        return PassThrough(self, exchange)

    def refuse(self, exchange: Exchange, status: int, message: str) -> None:
        plain_refusal(exchange, status, message)


def main() -> None:
    from abg.wire.epoll import install

    install()
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    port, origin = int(sys.argv[1]), sys.argv[2]
    application = PassThroughApplication(Pool(reactor), origin)
    site = GuardSite(ExchangeResource(application, reactor), application, reactor=reactor)
    lane = FastLaneFactory(application, site, reactor=reactor)
    reactor.listenTCP(port, lane, backlog=2048, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
