"""One paid call between its admission and its ledger entry.

States: *asked* (waiting for a decision), *held* (money is reserved), *ended* (settled, refused
or left). A flight ends exactly once; whoever ends it second is ignored, since a client that
hangs up and a vendor that finishes may come in the same instant.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from abg.book import Decision
from abg.call import Call, Scope, Session
from abg.dialects import Dialect, Meter
from abg.money import ZERO
from abg.usage import Reading, Sampling

__all__ = ["Flight"]


class Unmetered:
    """Stands in for a meter that failed: a fault of abg's own costs nobody his answer, and the
    call is charged by an estimate."""

    final = False
    streaming: bool | None = None
    output_bytes = 0
    whole = False

    def __init__(self, fault: Exception) -> None:
        self.reading = Reading(marks=(f"meter_failed:{type(fault).__name__}",))

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self, complete: bool) -> bytes:
        return b""


class Flight:
    """Mutable state of one call; only the guard and the corridor touch it."""

    __slots__ = (
        "admitted_at",
        "answered_at",
        "asked_at",
        "bound",
        "call",
        "decision",
        "dialect",
        "ended",
        "estimate",
        "hold",
        "id",
        "meter",
        "on_cut",
        "on_decision",
        "on_void",
        "output_limit",
        "scope",
        "sent",
        "sent_at",
        "session",
        "so_far",
        "status",
        "subscription",
        "waiting",
    )

    def __init__(
        self, id: str, dialect: Dialect, call: Call, session: Session, scope: Scope
    ) -> None:
        self.id = id
        self.dialect = dialect
        self.call = call
        self.session = session
        self.scope = scope
        self.subscription = session.auth == "subscription"
        self.decision: Decision | None = None
        self.meter: Meter | None = None
        self.hold: Decimal = ZERO
        self.bound: Decimal | None = None
        self.estimate: Decimal = ZERO
        self.output_limit: int | None = None
        self.admitted_at: datetime | None = None
        self.asked_at = 0.0
        self.sent_at = 0.0
        self.answered_at: float | None = None
        self.status = 0
        self.sent = False
        self.waiting = False
        self.ended = False
        self.on_decision: Callable[[Flight], None] | None = None
        self.on_void: Callable[[], None] | None = None
        self.on_cut: Callable[[str, str], None] | None = None
        """End the stream here: what to tell the client, and why; None: it cannot be."""
        self.so_far: tuple[tuple[Sampling, ...], Decimal, Decimal] | None = None
        """Of a running stream, by the samplings told: USD without output, and per token of it."""

    def end(self) -> None:
        """It is over: nobody is told any more, and nothing keeps its passage in memory."""
        self.ended = True
        self.on_decision = self.on_void = self.on_cut = None

    def feed(self, data: bytes) -> bytes:
        """Bytes of the answer, decoded; returns what the client gets of them."""
        meter = self.meter
        try:
            if meter is None:
                meter = self.meter = self.dialect.meter(self.call)
            return meter.feed(data)
        except Exception as fault:
            self.meter = Unmetered(fault)
            return data

    def finish(self, complete: bool) -> bytes:
        """The answer, of which something was fed, has ended; returns what the client still gets
        of it."""
        assert self.meter is not None
        try:
            return self.meter.end(complete)
        except Exception as fault:
            self.meter = Unmetered(fault)
            return b""

    @property
    def metered(self) -> bool:
        """The usage that counts has been seen: the call can be settled at once."""
        return self.meter is not None and self.meter.final
