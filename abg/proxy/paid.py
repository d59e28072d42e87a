"""A call that costs money: read whole, admitted, forwarded, metered, settled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import evolve

from abg.attribution import Attribution, safe_model
from abg.bodies import BodyRooms, Place
from abg.book import Verdict
from abg.call import Headers
from abg.custody import Grant
from abg.decompress import decoder_for
from abg.errors import LedgerUnavailable, UnreadableBody
from abg.exchange import Exchange
from abg.flight import Flight
from abg.gate import Gate
from abg.headers import for_client, without
from abg.proxy.answers import say
from abg.proxy.ending import Ending
from abg.proxy.papers import Papers, header
from abg.proxy.passage import Passage
from abg.proxy.strict import Strict, StrictHouse

__all__ = ["PaidCall"]

SMALL = 65_536
"""Bytes of a body that are not counted any more once it is on its way to the vendor."""
PLAIN, PLAIN_TIMES = 16_000_000, 100
"""How large a compressed body may become: so many bytes, or so many times its own; never more
than ``max_body_mb``. Eight kilobytes that became 100 MB of JSON took ten seconds and 2 GB."""
UNPACKED = 8
"""How much larger a compressed body that nobody can read is taken to be at least."""


class PaidHouse(StrictHouse, Protocol):
    """What a paid call needs of the corridor."""

    attribution: Attribution
    rooms: BodyRooms
    max_body: int
    durable: Callable[[Callable[[], None]], None] | None

    def watch_streams(self) -> None:
        """A stream has begun that may have to be cut."""


class PaidCall(Passage):
    """A call that costs money: read whole, admitted, forwarded, metered, settled."""

    _corridor: PaidHouse
    _metering = True

    def __init__(
        self,
        corridor: PaidHouse,
        exchange: Exchange,
        papers: Papers,
        headers: Headers,
        grant: Grant | None,
    ) -> None:
        self._gate = None if corridor.durable is None else Gate(exchange)
        super().__init__(corridor, self._gate or exchange, papers, headers, grant)
        self._guard = corridor.guard
        self._flight: Flight | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._place: Place | None = None
        self._body: bytes | None = None
        self._body_ended = False
        self._added_usage = False
        self._strict: Strict | None = None
        self._ending = Ending() if corridor.config.cut_streams else None

    # -- read ----------------------------------------------------------------------------------

    def start(self) -> None:
        exchange, corridor = self._exchange, self._corridor
        length = exchange.content_length
        if not self._papers.whole:
            exchange.pause_body()
            self._ask(b"")
            return
        if length is not None and length > corridor.max_body:
            self._too_large()
            return
        self._place = Place(
            corridor.rooms, length, exchange.pause_body, exchange.resume_body, self._too_slow
        )

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
        if self._place is not None:
            self._place.grew(self._size)

    def body_end(self) -> None:
        if self._done:
            return
        if self._vendor is not None:
            self._vendor.end()
            return
        if not self._papers.whole:
            # Asked when it began; an empty body ends also while none is read.
            self._body_ended = True
            return
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        if self._place is not None:
            self._place.whole(len(body))
        self._ask(body)

    def _too_large(self) -> None:
        limit = self._corridor.config.max_body_mb
        text = f"The request body is larger than max_body_mb allows ({limit} MB)"
        self._turn_away("too_large", 413, text)

    def _too_slow(self) -> None:
        text = "The request body comes too slowly while others wait for its room in memory"
        self._turn_away("rejected", 408, text)

    def _turn_away(self, word: str, status: int, text: str) -> None:
        self._corridor.guard.tally.count(word)
        self._leave()
        say(self._exchange, self._dialect.error(status, f"[abg] {text}"))

    # -- identify, admit -----------------------------------------------------------------------

    def _ask(self, body: bytes) -> None:
        corridor, dialect = self._corridor, self._dialect
        config = corridor.config
        plain, size = self._plain(body)
        call = dialect.read_call(self._route.endpoint, plain or b"")
        model = safe_model(call.model)
        if model is not call.model:
            call = evolve(call, model=model)
        if plain is None:
            call = evolve(call, readable=False, body_bytes=size)
        elif plain is not body:
            # A compressed body is forwarded as it came: abg adds nothing to it.
            call = evolve(call, include_usage=True)
        if config.max_identical_requests is not None and plain:
            call = evolve(call, fingerprint=dialect.fingerprint(plain))
        route = self._route
        session = corridor.attribution.identify(
            route.session, self._papers.said, call, route.upstream
        )
        if self._grant is not None:
            session = self._guard.granted(session, self._grant)
        self._body = body
        if config.enforcement != "strict":
            self._admit(self._guard.ask(dialect, call, session, self._decided))
            return
        self._strict = Strict(
            corridor, route, dialect, call, self._headers, body, plain, self._plain, self._more_room
        )
        self._strict.ask(session, self._decided, self._admit)

    def _admit(self, flight: Flight) -> None:
        self._flight = flight
        self._decided(flight)

    def _plain(self, body: bytes) -> tuple[bytes | None, int]:
        """The body, decompressed; if nobody can, None and the size that it is taken to have."""
        encoding = self._papers.coding
        if not encoding or not body:
            return body, len(body)
        try:
            most = min(self._corridor.max_body, max(PLAIN, PLAIN_TIMES * len(body)))
            decoder = decoder_for(encoding, most)
            plain = body if decoder is None else decoder.feed(body) + decoder.end()
        except UnreadableBody as error:
            return None, max(len(body) * UNPACKED, error.unpacked)
        return plain, len(plain)

    def _decided(self, flight: Flight) -> None:
        if self._done or flight.decision is None:
            return
        verdict = flight.decision.verdict
        if verdict is Verdict.WAIT:
            return
        if verdict is Verdict.BLOCK:
            self._leave()
            say(self._exchange, self._guard.refusal(flight))
            return
        try:
            self._guard.depart(flight)
        except LedgerUnavailable as error:
            self._leave()
            text = f"[abg] Ledger cannot be written: {error}"
            say(
                self._exchange,
                self._dialect.refusal(text, kind="ledger", request_id=flight.id),
            )
            return
        flight.on_void = self._voided
        if self._ending is not None:
            flight.on_cut = self._cut
        self._forward(flight)

    # -- forward -------------------------------------------------------------------------------

    def _forward(self, flight: Flight) -> None:
        exchange, body = self._exchange, self._body
        self._body = None
        if not self._papers.whole:
            self._send(None if exchange.content_length != 0 else b"")
            if self._body_ended and self._vendor is not None:
                self._vendor.end()
            exchange.resume_body()
            return
        assert body is not None
        if self._strict is not None:
            lowered = self._strict.lowered(flight)
            if lowered is not None:
                body = lowered
                self._headers = without(self._headers, b"content-encoding")
        if not flight.call.include_usage:
            body = self._dialect.ask_for_usage(body)
            self._added_usage = True
        self._send(body)
        if len(body) <= SMALL:
            self._free_place()

    def body_left(self) -> None:
        self._free_place()

    def _client_headers(self, headers: Headers) -> Headers:
        kept = for_client(headers)
        if self._added_usage or (
            self._ending is not None and b"event-stream" in header(kept, b"content-type")
        ):
            # A chunk is taken out again, or a last one put in: the vendor's length is not ours.
            kept = without(kept, b"content-length")
        if self._decoder is not None and not self._sealed:
            kept = without(kept, b"content-encoding")
        return kept

    def _prepare_decoder(self, headers: Headers) -> None:
        super()._prepare_decoder(headers)
        # The chunk that was not asked for by the client is taken out again: he gets it unpacked.
        self._sealed = self._sealed and not self._added_usage

    def answer_head(self, status: int, reason: bytes, headers: Headers, has_body: bool) -> None:
        if self._flight is not None:
            self._guard.answered(self._flight, status)
            if self._ending is not None:
                self._corridor.watch_streams()
        super().answer_head(status, reason, headers, has_body)

    # -- meter, settle -------------------------------------------------------------------------

    def _meter(self, data: bytes) -> bytes:
        flight = self._flight
        assert flight is not None
        ending = self._ending
        if ending is not None:
            if ending.message and not self._sealed:
                return self._feed_last(flight, ending, data)
            ending.last = data
        relayed = flight.feed(data)
        if flight.ended:
            return relayed
        if self._gate is not None:
            self._hold_back(self._gate, flight)
        if flight.metered:
            # The usage is settled before the client sees it: Codex hangs up right after.
            self._land("complete")
        return relayed

    def _hold_back(self, gate: Gate, flight: Flight) -> None:
        """``ledger_sync: always``: nobody knows which byte of a JSON answer is its last, so all
        of it waits for its entry; of a stream only the event that carries the usage."""
        if flight.meter is not None and flight.meter.streaming:
            gate.open()
        else:
            gate.close()

    def _await_disk(self) -> None:
        gate, durable = self._gate, self._corridor.durable
        if gate is None or durable is None:
            return
        gate.close()
        if self._vendor is not None:
            self._vendor.pause()
        durable(self._open_gate)

    def _open_gate(self) -> None:
        assert self._gate is not None
        if self._vendor is not None and not self._done:
            self._vendor.resume()
        self._gate.open()

    def _meter_end(self, complete: bool) -> bytes:
        flight = self._flight
        if flight is None or flight.meter is None:
            return b""
        if self._decoder is not None and self._metering:
            try:
                flight.feed(self._decoder.end())
            except UnreadableBody:
                self._metering = False
        return flight.finish(complete)

    def _land(self, end: str, *, status: int = 0, reason: str = "") -> None:
        flight = self._flight
        if flight is None:
            return
        if flight.waiting:
            self._guard.leave(flight)
            return
        if self._vendor is not None:
            flight.sent = self._vendor.sent
        if not flight.ended:
            self._guard.land(flight, end, status=status, reason=reason)
            if end in ("complete", "cut"):
                self._await_disk()

    # -- cut -----------------------------------------------------------------------------------

    def _cut(self, message: str, reason: str) -> None:
        """A budget is used up by what streams: end here, or with the event that has begun."""
        ending = self._ending
        if self._done or ending is None or ending.message:
            return
        ending.message, ending.reason = message, reason
        if ending.between or self._sealed:
            self._end_stream(ending)

    def _feed_last(self, flight: Flight, ending: Ending, data: bytes) -> bytes:
        size = ending.up_to_event(data)
        relayed = flight.feed(data if size is None else data[:size])
        if flight.metered:
            # It has come to its own end, too soon to be cut.
            ending.message = ""
            self._land("complete")
            rest = b"" if size is None else data[size:]
            return relayed + flight.feed(rest) if rest else relayed
        if size is None:
            return relayed
        if relayed:
            self._exchange.write(relayed)
        self._end_stream(ending)
        return b""

    def _end_stream(self, ending: Ending) -> None:
        """Settle, leave the vendor, and say the words on which the client does not ask again."""
        flight, vendor = self._flight, self._vendor
        assert flight is not None
        assert flight.meter is not None
        assert vendor is not None
        words = b"" if self._sealed else self._dialect.cut(flight.meter, ending.message)
        self._meter_end(False)
        self._land("cut", reason=ending.reason)
        vendor.abort()
        self._leave()
        if words:
            self._exchange.write(words)
            self._exchange.finish()
        else:
            self._exchange.abort()

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
        if self._strict is not None:
            self._strict.forget()
        self._free_place()
        super()._leave()

    def _more_room(self, size: int) -> bool:
        return self._place is None or self._place.more(size)

    def _free_place(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.leave()
