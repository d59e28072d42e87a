"""What one gets from Twisted without thinking: ``Site`` in front, ``Agent`` behind.

Usage: ``python benchmarks/bare_twisted.py PORT UPSTREAM_ORIGIN``. It streams both ways, keeps its
connections to the vendor, and counts nothing: abg's cost is measured against it.
"""

from __future__ import annotations

import sys
from io import BytesIO
from typing import Any

from twisted.internet import protocol
from twisted.internet import reactor as global_reactor
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

__all__ = ["main"]

HOP_BY_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"host",
    b"content-length",
}


class Relay(protocol.Protocol):
    """The vendor's body, written to the client as it comes."""

    def __init__(self, request: Any) -> None:
        self.request = request

    def connectionMade(self) -> None:
        self.request.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self.request.write(data)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        if not self.request._disconnected:
            self.request.unregisterProducer()
            self.request.finish()


class Proxy(Resource):
    isLeaf = True

    def __init__(self, agent: Agent, origin: bytes) -> None:
        super().__init__()
        self.agent = agent
        self.origin = origin

    def render(self, request: Any) -> int:
        headers = Headers()
        for name, values in request.requestHeaders.getAllRawHeaders():
            if name.lower() not in HOP_BY_HOP:
                headers.setRawHeaders(name, values)
        body = request.content.read()
        producer = FileBodyProducer(BytesIO(body)) if body else None
        calling = self.agent.request(request.method, self.origin + request.uri, headers, producer)
        gone = request.notifyFinish()
        gone.addErrback(lambda _: calling.cancel())
        calling.addCallbacks(self._answer, self._failed, (request,), None, (request,))
        return NOT_DONE_YET

    def _answer(self, response: Any, request: Any) -> None:
        request.setResponseCode(response.code, response.phrase)
        for name, values in response.headers.getAllRawHeaders():
            if name.lower() not in HOP_BY_HOP:
                request.responseHeaders.setRawHeaders(name, values)
        response.deliverBody(Relay(request))

    def _failed(self, failure: Any, request: Any) -> None:
        if not request._disconnected:
            request.setResponseCode(502)
            request.finish()


def main() -> None:
    reactor: Any = global_reactor
    port, origin = int(sys.argv[1]), sys.argv[2].encode("ascii")
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = 1024
    agent = Agent(reactor, pool=pool)
    reactor.listenTCP(port, Site(Proxy(agent, origin)), backlog=2048, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
