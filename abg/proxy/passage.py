"""One request under way: the client's exchange, the vendor's call, and how both may end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from abg.call import Headers
from abg.custody import Grant
from abg.decompress import Decoder, answer_decoder
from abg.errors import UnreadableBody
from abg.exchange import Exchange, Upstreams, VendorCall
from abg.guard import Guard
from abg.headers import for_client, for_vendor
from abg.proxy.answers import say
from abg.proxy.papers import Papers
from abg.routing import Router

__all__ = ["House", "Passage"]

_FAILURES = {
    "silence": "timeout",
    "connect_timeout": "timeout",
    "cut": "upstream_cut",
}


class House(Protocol):
    """What a passage needs of the corridor."""

    guard: Guard
    router: Router
    upstreams: Upstreams

    def left(self, passage: Passage) -> None:
        """The passage has ended."""


class Passage(ABC):
    """What paid and free calls share.

    A passage ends exactly once, by ``_leave``; after that both sides are deaf.
    """

    _metering = False
    """The answer is read: somebody wants to know what it says, and it can be decompressed."""

    def __init__(
        self,
        corridor: House,
        exchange: Exchange,
        papers: Papers,
        headers: Headers,
        grant: Grant | None,
    ) -> None:
        self._corridor = corridor
        self._exchange = exchange
        self._headers = headers
        self._grant = grant
        self._papers = papers
        self._route = papers.route
        self._dialect = papers.dialect
        self._vendor: VendorCall | None = None
        self._answered = False
        self._done = False
        self._decoder: Decoder | None = None
        self._sealed = False
        """The client gets the answer compressed, as it came: nothing is taken out or put in."""

    @abstractmethod
    def start(self) -> None: ...

    # -- from the client -----------------------------------------------------------------------

    def body(self, data: bytes) -> None:
        if self._vendor is not None and not self._done:
            self._vendor.write(data)

    def body_end(self) -> None:
        if self._vendor is not None and not self._done:
            self._vendor.end()

    def gone(self) -> None:
        if not self._done:
            self._abandon("client_gone")

    def pause(self) -> None:
        if self._vendor is not None:
            self._vendor.pause()

    def resume(self) -> None:
        if self._vendor is not None:
            self._vendor.resume()

    # -- from the vendor -----------------------------------------------------------------------

    def answer_head(self, status: int, reason: bytes, headers: Headers, has_body: bool) -> None:
        if self._done:
            return
        self._answered = True
        if has_body and self._metering:
            self._prepare_decoder(headers)
        self._exchange.respond(status, reason, self._client_headers(headers))

    def answer_data(self, data: bytes) -> None:
        if self._done:
            return
        if not self._metering:
            self._exchange.write(data)
        elif self._decoder is None:
            relayed = self._meter(data)
            if relayed:
                self._exchange.write(relayed)
        else:
            self._unpack(self._decoder, data)

    def _unpack(self, decoder: Decoder, data: bytes) -> None:
        try:
            relayed = self._meter(decoder.feed(data))
        except UnreadableBody:
            self._metering = False
            if not self._sealed:
                assert self._vendor is not None
                self._vendor.abort()
                self.answer_failed("malformed", "its compressed answer cannot be read")
                return
            relayed = b""
        if self._sealed:
            self._exchange.write(data)
        elif relayed:
            self._exchange.write(relayed)

    def answer_flush(self) -> None:
        if not self._done:
            self._exchange.flush()

    def answer_end(self) -> None:
        if self._done:
            return
        rest = self._meter_end(True)
        self._land("complete")
        self._leave()
        if rest and not self._sealed:
            self._exchange.write(rest)
        self._exchange.finish()

    def answer_failed(self, kind: str, message: str) -> None:
        if self._done:
            return
        end = _FAILURES.get(kind, "upstream_failed")
        message = f"{self._upstream_name()}: {message}"
        if self._answered:
            rest = self._meter_end(False)
            if rest and not self._sealed:
                self._exchange.write(rest)
            self._land("upstream_cut", reason=message)
            self._leave()
            self._exchange.abort()
            return
        status = 504 if end == "timeout" else 502
        self._land(end, status=status, reason=message)
        self._leave()
        say(self._exchange, self._dialect.error(status, f"[abg] {message}"))

    def upstream_pause(self) -> None:
        if not self._done:
            self._exchange.pause_body()

    def upstream_resume(self) -> None:
        if not self._done:
            self._exchange.resume_body()

    # -- ends ----------------------------------------------------------------------------------

    def shut(self) -> None:
        """abg stops: settle what is known, and break the connection."""
        if not self._done:
            self._abandon("shutdown")
            self._exchange.abort()

    def _abandon(self, end: str) -> None:
        if self._vendor is not None:
            self._vendor.abort()
        self._meter_end(False)
        self._land(end)
        self._leave()

    def _leave(self) -> None:
        self._done = True
        self._corridor.left(self)

    def _upstream_name(self) -> str:
        """The vendor's address for people; a user's name and password in it are not told."""
        scheme, _, place = self._corridor.router.origin(self._route.upstream).partition("://")
        return f"{scheme}://{place.rpartition('@')[2]}"

    # -- what differs --------------------------------------------------------------------------

    @abstractmethod
    def body_left(self) -> None: ...

    @abstractmethod
    def _meter(self, data: bytes) -> bytes: ...

    @abstractmethod
    def _meter_end(self, complete: bool) -> bytes: ...

    @abstractmethod
    def _land(self, end: str, *, status: int = 0, reason: str = "") -> None: ...

    def _client_headers(self, headers: Headers) -> Headers:
        return for_client(headers)

    def _prepare_decoder(self, headers: Headers) -> None:
        coding = b""
        for name, value in headers:
            if len(name) == 16 and name.lower() == b"content-encoding":
                coding += b"," + value
        if coding:
            try:
                self._decoder = answer_decoder(coding)
            except UnreadableBody:
                self._metering = False
            self._sealed = self._decoder is not None

    def _send(self, body: bytes | None) -> None:
        route, router, length = self._route, self._corridor.router, self._exchange.content_length
        outgoing: Headers = self._papers.outgoing
        if self._headers is not self._exchange.headers:
            outgoing = for_vendor(self._headers, router.extra_headers(route.upstream))
        if body is None and length is not None:
            outgoing = [*outgoing, (b"Content-Length", b"%d" % length)]
        self._vendor = self._corridor.upstreams.request(
            router.origin(route.upstream), self._exchange.method, route.target, outgoing, body, self
        )
