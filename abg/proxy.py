"""The corridor: one request from its head to its ledger entry, over any exchange.

read what is asked → identify whose session it is → admit → forward → meter → settle. What can be
decided without a socket is decided elsewhere; here events of the two sides are put in order:
the client (``Handler``), the vendor (``AnswerListener``), and the guard's decisions.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from abg.access import check_access
from abg.attribution import identify
from abg.bodies import BodyRoom
from abg.book import Verdict
from abg.call import Call, Headers
from abg.config import Config
from abg.decompress import Decoder, decoder_for
from abg.dialects import DIALECTS, Dialect, Refusal
from abg.errors import LedgerUnavailable, UnreadableBody
from abg.exchange import Exchange, Handler, Upstreams, VendorCall
from abg.flight import Flight
from abg.guard import Guard
from abg.headers import for_client, for_vendor
from abg.routing import Kind, Route, Router

__all__ = ["Corridor"]

ROOM_FOR_BODIES = 8
"""Request bodies in memory at once, as a multiple of the largest one."""


class Corridor:
    """The application behind every door of abg.

    Args:
        guard: decides, prices, records.
        upstreams: the way to the vendors.
        check_host: False where a mounting site answers for the Host header itself.
    """

    def __init__(
        self,
        guard: Guard,
        router: Router,
        upstreams: Upstreams,
        config: Config,
        *,
        check_host: bool = True,
    ) -> None:
        self.guard = guard
        self.router = router
        self.upstreams = upstreams
        self.config = config
        self.max_body = config.max_body_mb * 1_000_000
        self.room = BodyRoom(self.max_body * ROOM_FOR_BODIES)
        self.bound: tuple[str, int] = (config.host, config.port)
        self._check_host = check_host
        self._open: set[_Passage] = set()
        self.draining = False
        self.on_idle: Callable[[], None] = lambda: None

    def begin(self, exchange: Exchange) -> Handler:
        headers = exchange.headers
        route = self.router.route(exchange.method, exchange.target, headers)
        dialect = DIALECTS[route.dialect]
        reason = check_access(headers, self.config, *self.bound, check_host=self._check_host)
        if reason is not None:
            self.guard.tally.count("forbidden")
            return _say(exchange, dialect.error(403, reason))
        kind = route.kind
        if kind is Kind.MODEL or kind is Kind.UNMETERED:
            return self._enter(PaidCall(self, exchange, route, dialect))
        if kind is Kind.FREE or kind is Kind.PASS:
            return self._enter(FreeCall(self, exchange, route, dialect))
        if kind is Kind.UPGRADE:
            self.guard.tally.count("upgrade_refused")
            return _say(exchange, Refusal(426, b"Upgrade Required", [(b"Upgrade", b"HTTP/1.1")]))
        self.guard.tally.count("rejected")
        status = route.status or 404
        text = route.message or "abg knows no such path; it serves the Anthropic and OpenAI APIs"
        return _say(exchange, dialect.error(status, text))

    def refuse(self, exchange: Exchange, status: int, message: str) -> None:
        """A door refuses a request itself (head too large, …): in the dialect's shape."""
        route = self.router.route(exchange.method, exchange.target, exchange.headers)
        _say(exchange, DIALECTS[route.dialect].error(status, message))

    @property
    def open(self) -> int:
        """Calls that are under way."""
        return len(self._open)

    def shut(self) -> None:
        """Settle and end everything that still runs."""
        for passage in list(self._open):
            passage.shut()

    def _enter(self, passage: _Passage) -> Handler:
        self._open.add(passage)
        passage.start()
        return passage

    def left(self, passage: _Passage) -> None:
        self._open.discard(passage)
        if not self._open:
            self.on_idle()


def _say(exchange: Exchange, refusal: Refusal) -> Handler:
    """Answer with abg's own words; whatever the client still sends is ignored."""
    headers: Headers = [*refusal.headers, (b"Content-Length", b"%d" % len(refusal.body))]
    exchange.respond(refusal.status, refusal.reason, headers)
    if refusal.body and exchange.method != b"HEAD":
        exchange.write(refusal.body)
    exchange.finish()
    return _DEAF


class _Deaf:
    """The handler of an exchange that has been answered: nothing matters any more."""

    def body(self, data: bytes) -> None: ...

    def body_end(self) -> None: ...

    def gone(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


_DEAF = _Deaf()


class _Passage:
    """What paid and free calls share: the client's exchange, the vendor's call, and their ends.

    A passage ends exactly once, by ``_leave``; after that both sides are deaf.
    """

    def __init__(
        self, corridor: Corridor, exchange: Exchange, route: Route, dialect: Dialect
    ) -> None:
        self._corridor = corridor
        self._exchange = exchange
        self._route = route
        self._dialect = dialect
        self._vendor: VendorCall | None = None
        self._answered = False
        self._done = False
        self._decoder: Decoder | None = None
        self._readable = True

    def start(self) -> None:
        raise NotImplementedError

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
        if has_body and self._metered():
            self._prepare_decoder(headers)
        self._exchange.respond(status, reason, self._client_headers(headers))

    def answer_data(self, data: bytes) -> None:
        if self._done:
            return
        if not self._readable or not self._metered():
            self._exchange.write(data)
        elif self._decoder is None:
            relayed = self._meter(data)
            if relayed:
                self._exchange.write(relayed)
        else:
            try:
                self._meter(self._decoder.feed(data))
            except UnreadableBody:
                self._readable = False
            self._exchange.write(data)

    def answer_flush(self) -> None:
        if not self._done:
            self._exchange.flush()

    def answer_end(self) -> None:
        if self._done:
            return
        rest = self._meter_end(True)
        if rest and self._decoder is None:
            self._exchange.write(rest)
        self._land("complete")
        self._leave()
        self._exchange.finish()

    def answer_failed(self, kind: str, message: str) -> None:
        if self._done:
            return
        end = _FAILURES.get(kind, "upstream_failed")
        if self._answered:
            rest = self._meter_end(False)
            if rest and self._decoder is None:
                self._exchange.write(rest)
            self._land("upstream_cut", reason=message)
            self._leave()
            self._exchange.abort()
            return
        status = 504 if end == "timeout" else 502
        self._land(end, status=status, reason=message)
        self._leave()
        _say(self._exchange, self._dialect.error(status, f"[abg] {message}"))

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

    # -- what differs --------------------------------------------------------------------------

    def _metered(self) -> bool:
        raise NotImplementedError

    def _meter(self, data: bytes) -> bytes:
        raise NotImplementedError

    def _meter_end(self, complete: bool) -> bytes:
        raise NotImplementedError

    def _land(self, end: str, *, status: int = 0, reason: str = "") -> None:
        raise NotImplementedError

    def _client_headers(self, headers: Headers) -> Headers:
        return for_client(headers)

    def _prepare_decoder(self, headers: Headers) -> None:
        for name, value in headers:
            if name.lower() == b"content-encoding":
                try:
                    self._decoder = decoder_for(value)
                except UnreadableBody:
                    self._readable = False

    def _send(self, headers: Headers, body: bytes | None) -> None:
        route, router, length = self._route, self._corridor.router, self._exchange.content_length
        outgoing = for_vendor(headers, router.extra_headers(route.upstream))
        if body is None and length is not None:
            outgoing.append((b"Content-Length", b"%d" % length))
        self._vendor = self._corridor.upstreams.request(
            router.origin(route.upstream), self._exchange.method, route.target, outgoing, body, self
        )


_FAILURES = {
    "silence": "timeout",
    "connect_timeout": "timeout",
    "cut": "upstream_cut",
}


class PaidCall(_Passage):
    """A call that costs money: read whole, admitted, forwarded, metered, settled."""

    def __init__(
        self, corridor: Corridor, exchange: Exchange, route: Route, dialect: Dialect
    ) -> None:
        super().__init__(corridor, exchange, route, dialect)
        self._guard = corridor.guard
        self._flight: Flight | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._room = 0
        self._body: bytes | None = None
        self._added_usage = False

    # -- read ----------------------------------------------------------------------------------

    def start(self) -> None:
        exchange, corridor = self._exchange, self._corridor
        length = exchange.content_length
        if not _reads_whole(self._route, exchange.headers):
            exchange.pause_body()
            self._ask(b"")
            return
        if length is not None and length > corridor.max_body:
            self._too_large()
            return
        wanted = corridor.max_body if length is None else length
        if corridor.room.take(wanted, self._room_ready):
            self._room = wanted
        else:
            self._room = -wanted
            exchange.pause_body()

    def _room_ready(self) -> None:
        self._room = -self._room
        self._exchange.resume_body()

    def body(self, data: bytes) -> None:
        if self._done:
            return
        if self._vendor is not None:
            self._vendor.write(data)
            return
        self._size += len(data)
        if self._size > self._corridor.max_body:
            self._too_large()
            return
        self._chunks.append(data)

    def body_end(self) -> None:
        if self._done:
            return
        if self._vendor is not None:
            self._vendor.end()
            return
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self._ask(body)

    def _too_large(self) -> None:
        corridor = self._corridor
        limit = corridor.config.max_body_mb
        corridor.guard.tally.count("too_large")
        self._leave()
        text = f"[abg] The request body is larger than max_body_mb allows ({limit} MB)"
        _say(self._exchange, self._dialect.error(413, text))

    # -- identify, admit -----------------------------------------------------------------------

    def _ask(self, body: bytes) -> None:
        call = self._read_call(body)
        session = identify(self._route.session, self._exchange.headers, call)
        self._body = body
        self._flight = flight = self._guard.ask(self._dialect, call, session, self._decided)
        self._decided(flight)

    def _read_call(self, body: bytes) -> Call:
        endpoint = self._route.endpoint
        encoding = _header(self._exchange.headers, b"content-encoding")
        if not encoding or not body:
            return self._dialect.read_call(endpoint, body)
        try:
            decoder = decoder_for(encoding)
            plain = body if decoder is None else decoder.feed(body) + decoder.end()
        except UnreadableBody:
            call = self._dialect.read_call(endpoint, b"")
            return evolve(call, readable=False, body_bytes=len(body) * 4)
        call = self._dialect.read_call(endpoint, plain)
        # Such a body is forwarded as it came: abg adds nothing to it.
        return evolve(call, include_usage=True)

    def _decided(self, flight: Flight) -> None:
        if self._done or flight.decision is None:
            return
        verdict = flight.decision.verdict
        if verdict is Verdict.WAIT:
            return
        if verdict is Verdict.BLOCK:
            self._leave()
            _say(self._exchange, self._guard.refusal(flight))
            return
        try:
            self._guard.depart(flight)
        except LedgerUnavailable as error:
            self._leave()
            text = f"[abg] Ledger cannot be written: {error}"
            _say(
                self._exchange,
                self._dialect.refusal(text, kind="ledger", request_id=flight.id),
            )
            return
        flight.on_void = self._voided
        self._forward(flight)

    # -- forward -------------------------------------------------------------------------------

    def _forward(self, flight: Flight) -> None:
        exchange, body = self._exchange, self._body
        self._body = None
        if not _reads_whole(self._route, exchange.headers):
            headers = exchange.headers
            self._send(headers, None if exchange.content_length != 0 else b"")
            exchange.resume_body()
            return
        if not flight.call.include_usage:
            assert body is not None
            body = self._dialect.ask_for_usage(body)
            self._added_usage = True
        self._send(exchange.headers, body)
        self._free_room()

    def _client_headers(self, headers: Headers) -> Headers:
        kept = for_client(headers)
        if self._added_usage:
            # A chunk is taken out again, so that the vendor's length no longer holds.
            kept = [(n, v) for n, v in kept if n.lower() != b"content-length"]
        return kept

    def answer_head(self, status: int, reason: bytes, headers: Headers, has_body: bool) -> None:
        if self._flight is not None:
            self._guard.answered(self._flight, status)
        super().answer_head(status, reason, headers, has_body)

    # -- meter, settle -------------------------------------------------------------------------

    def _metered(self) -> bool:
        return True

    def _meter(self, data: bytes) -> bytes:
        flight = self._flight
        assert flight is not None
        relayed = flight.feed(data)
        if flight.metered and not flight.ended:
            # The usage is settled before the client sees it: Codex hangs up right after.
            self._land("complete")
        return relayed

    def _meter_end(self, complete: bool) -> bytes:
        flight = self._flight
        if flight is None or flight.meter is None:
            return b""
        if self._decoder is not None and self._readable:
            try:
                flight.feed(self._decoder.end())
            except UnreadableBody:
                self._readable = False
        return flight.meter.end(complete)

    def _land(self, end: str, *, status: int = 0, reason: str = "") -> None:
        flight = self._flight
        if flight is None:
            return
        if flight.waiting:
            self._guard.leave(flight)
            return
        if self._vendor is not None:
            flight.sent = self._vendor.sent
        self._guard.land(flight, end, status=status, reason=reason)

    def _voided(self) -> None:
        if self._vendor is not None and not self._done:
            flight = self._flight
            assert flight is not None
            flight.sent = self._vendor.sent
            self._vendor.abort()
            self._meter_end(False)
            self._leave()
            self._exchange.abort()

    def _leave(self) -> None:
        self._free_room()
        super()._leave()

    def _free_room(self) -> None:
        if self._room < 0:
            self._corridor.room.forget(self._room_ready)
        elif self._room:
            self._corridor.room.give_back(self._room)
        self._room = 0


class FreeCall(_Passage):
    """A call that costs nothing: it streams through. Its answer is read only if it may carry
    the usage of a background call that is still open."""

    def start(self) -> None:
        exchange = self._exchange
        self._meter_of: tuple[str, object] | None = None
        guard = self._corridor.guard
        guard.tally.count("free")
        self._open_id = None
        if len(guard.opened) and exchange.method == b"GET":
            self._look_for_open_id()
        if exchange.content_length == 0:
            self._send(exchange.headers, b"")
        else:
            self._send(exchange.headers, None)

    def _look_for_open_id(self) -> None:
        opened = self._corridor.guard.opened
        path = self._route.target.partition(b"?")[0].decode("ascii", "replace")
        for segment in path.split("/"):
            found = opened.get(segment)
            if found is not None:
                call = Call(self._dialect.name, found.endpoint, found.model)
                self._open_id = segment
                self._open_meter = self._dialect.meter(call)

    _open_id: str | None

    def _metered(self) -> bool:
        return self._open_id is not None

    def _meter(self, data: bytes) -> bytes:
        return self._open_meter.feed(data)

    def _meter_end(self, complete: bool) -> bytes:
        return self._open_meter.end(complete) if self._open_id is not None else b""

    def _land(self, end: str, *, status: int = 0, reason: str = "") -> None:
        if self._open_id is not None:
            self._corridor.guard.observe(self._open_id, self._dialect, self._open_meter)
        if status:
            self._corridor.guard.tally.count(end)


def _reads_whole(route: Route, headers: Headers) -> bool:
    """Bodies of metered calls, and JSON ones; an upload to an unmetered path streams."""
    if route.kind is Kind.MODEL:
        return True
    return b"json" in _header(headers, b"content-type").lower()


def _header(headers: Headers, name: bytes) -> bytes:
    for key, value in headers:
        if key.lower() == name:
            return value
    return b""
