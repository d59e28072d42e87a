"""What running streams have cost so far, from what their meters have seen.

An estimate that grows with the answer: the input as the vendor has told it, else as the session's
history has it; the output as told, else the streamed text at four bytes a token. It stays below
what the call is charged if it ends here (``abg.presume``), so that a budget which running streams
have used up is used up when they are settled.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from attrs import evolve

from abg.book import Book
from abg.finding import Finding
from abg.flight import Flight
from abg.histories import Histories
from abg.money import EXACT
from abg.outcome import window_of
from abg.presume import filled, output_limits, own_of
from abg.pricing import PriceTable
from abg.usage import Reading, Sampling, Usage

__all__ = ["Streams"]

BYTES_PER_OUTPUT_TOKEN = 4
_SLOPE = 1_000_000
"""Output tokens between two prices of one answer: a cost is a straight line in its output."""


class Streams:
    """Looks at the calls that stream, and says which of them are to end."""

    def __init__(self, book: Book, table: PriceTable, histories: Histories) -> None:
        self._book = book
        self._table = table
        self._histories = histories

    def overrun(self, flights: Iterable[Flight], now: datetime) -> dict[str, Finding]:
        """The streams that have to end, by the ids of their calls, and for which budget.

        Args:
            flights: the calls that are with a vendor; those that can be cut have ``on_cut``.
        """
        running = {}
        for flight in flights:
            meter = flight.meter
            if flight.on_cut is not None and meter is not None and meter.streaming:
                running[flight.id] = self.cost(flight, meter.reading, now)
        return self._book.overrun(running, now) if running else {}

    def cost(self, flight: Flight, reading: Reading, now: datetime) -> Decimal:
        """USD that this answer has come to so far."""
        line = flight.so_far
        if line is None or line[0] is not reading.samplings:
            # Priced only when the vendor has told something new, not at every look.
            base = self._price(flight, reading, 0, now)
            million = self._price(flight, reading, _SLOPE, now)
            per_token = EXACT.subtract(million, base).scaleb(-6, EXACT)
            line = flight.so_far = (reading.samplings, base, per_token)
        told = self._own(flight, reading).usage.output_tokens
        limits = output_limits(flight.call, flight.output_limit)
        streamed = min([reading.output_bytes // BYTES_PER_OUTPUT_TOKEN, *limits])
        return EXACT.fma(line[2], Decimal(max(told, streamed)), line[1])

    def _price(self, flight: Flight, reading: Reading, output: int, now: datetime) -> Decimal:
        own = self._own(flight, reading)
        samplings = filled(reading.samplings, own, evolve(own.usage, output_tokens=output))
        cost = self._table.cost(
            flight.dialect.vendor,
            evolve(reading, samplings=samplings),
            flight.call,
            flight.admitted_at or now,
            subscription=flight.subscription,
        )
        return cost.usd

    def _own(self, flight: Flight, reading: Reading) -> Sampling:
        """The pass that is under way; the vendor may tell its input only at the end."""
        own = own_of(reading.samplings, flight.call, window_of(flight, self._table))
        if own in reading.samplings:
            return own
        likely = int(self._histories.weight(flight.session.id) * flight.call.body_bytes)
        return own if likely > own.usage.input_tokens else Sampling(Usage(input_tokens=likely))
