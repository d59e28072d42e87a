"""From the end of a call to its words: the ledger's entry, the console's line, an adjustment.

Pure: what ended, how, and at what cost is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from attrs import frozen

from abg import console
from abg.attribution import safe_model
from abg.background import OpenCall
from abg.finding import Finding
from abg.flight import Flight
from abg.ledger import Entry
from abg.making import made_at_once
from abg.money import ZERO
from abg.presume import Shortfall, presume
from abg.pricing import PriceTable
from abg.usage import Reading, Usage

__all__ = [
    "Outcome",
    "adjustment",
    "billed",
    "charged",
    "entry_of",
    "facts_of",
    "line_of",
    "so_far",
    "window_of",
    "would_block",
]

NOTIONAL = "notional: a plan pays"
"""Said of amounts that a subscription is not charged by."""

NOTHING_READ = Reading()
_VENDORS_FAULT = frozenset(("upstream_cut", "upstream_failed", "timeout"))


@made_at_once
@frozen
class Outcome:
    """How a call ended, and what it came to."""

    action: str
    end: str
    session_total_usd: Decimal = ZERO
    reading: Reading = NOTHING_READ
    cost_usd: Decimal = ZERO
    cost_source: str = "none"
    price: str = "table"
    marks: tuple[str, ...] = ()
    reason: str = ""
    open: str | None = None
    """The id under which the real usage may still come."""
    failed: bool = False
    """The vendor gave no whole answer, so that sending the same again is a retry."""

    def concluded(
        self, action: str, session_total_usd: Decimal, reason: str, open: str | None
    ) -> Outcome:
        """With what the book and the guard had to say."""
        return Outcome(
            action,
            self.end,
            session_total_usd,
            self.reading,
            self.cost_usd,
            self.cost_source,
            self.price,
            self.marks,
            reason,
            open,
        )


def would_block(flight: Flight) -> tuple[Finding, ...]:
    """What would have blocked the call if blocking were on."""
    return flight.decision.would_block if flight.decision is not None else ()


def window_of(flight: Flight, table: PriceTable) -> int | None:
    """The most that a call's model reads at once; None: nobody knows."""
    match = table.resolve(flight.dialect.vendor, flight.call.model)
    if match.price == "assumed":
        return None
    return match.rows[-1].context_window


def charged(flight: Flight, end: str, seconds: float, table: PriceTable) -> tuple[Reading, str]:
    """What the call is charged for, and whether that was ``measured``, is ``estimated``, or
    ``none`` (contract 14 and 15).

    Args:
        seconds: from sending the request to its end.
    """
    reading = flight.meter.reading if flight.meter is not None else NOTHING_READ
    if reading.final:
        return reading, "measured" if reading.billed else "none"
    refused = flight.answered_at is not None and not 200 <= flight.status < 300
    if not flight.sent or refused:
        return reading, "none"
    if reading.failed and not reading.samplings and not reading.output_bytes:
        return reading, "none"
    shortfall = Shortfall(
        seconds=seconds,
        answered=end == "complete",
        max_output_tokens=flight.output_limit,
        context_window=window_of(flight, table),
    )
    return presume(reading, flight.call, shortfall), "estimated"


def billed(flight: Flight, end: str, seconds: float, table: PriceTable, *, strict: bool) -> Outcome:
    """What a call came to that ends now; the book's part of its outcome is still to be said.

    Args:
        strict: what was not measured is charged at what was held, at least.
    """
    reading, source = charged(flight, end, seconds, table)
    failed = flight.status >= 400 or end in _VENDORS_FAULT or reading.failed
    if source == "none":
        return Outcome("allow", end, reading=reading, marks=reading.marks, failed=failed)
    assert flight.admitted_at is not None
    priced = table.cost(
        flight.dialect.vendor,
        reading,
        flight.call,
        flight.admitted_at,
        subscription=flight.subscription,
    )
    cost = priced.usd
    if strict and source == "estimated":
        cost = max(cost, flight.hold)
    return Outcome(
        "allow",
        end,
        ZERO,
        reading,
        cost,
        source,
        priced.price,
        priced.marks,
        failed=failed,
    )


def so_far(
    flight: Flight, seconds: float, table: PriceTable, *, strict: bool
) -> dict[str, Any] | None:
    """What the in-flight journal notes of a running call: its cost if it were cut now.

    None while it is within what is held for it, which is what a crash charges anyway.
    """
    cut = billed(flight, "crash", seconds, table, strict=strict)
    if cut.cost_usd <= (flight.hold or flight.estimate):
        return None
    return {"cost_usd": cut.cost_usd}


def entry_of(flight: Flight, outcome: Outcome, now: float) -> Entry:
    """The ledger's line for a call that ended at ``now`` (seconds, monotonic)."""
    session, call, reading = flight.session, flight.call, outcome.reading
    samplings, answered = reading.samplings, flight.answered_at
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens = _four(
        samplings[0].usage if len(samplings) == 1 else reading.usage
    )
    model = safe_model(reading.model) if reading.model else call.model
    shadow = would_block(flight)
    assert flight.admitted_at is not None
    # By place, as the class has its fields: 1.0 µs, and 2.7 by their names.
    return Entry(
        flight.admitted_at,
        session.id,
        model,
        input_tokens,
        output_tokens,
        outcome.cost_usd,
        outcome.session_total_usd,
        outcome.action,
        flight.id,  # request_id
        session.agent,
        cache_read_tokens,
        cache_write_tokens,
        reading.reasoning_tokens,
        flight.status,
        round((now - flight.asked_at) * 1000),  # duration_ms
        None if answered is None else round((answered - flight.sent_at) * 1000),  # ttft_ms
        outcome.end,
        outcome.cost_source,
        outcome.price,
        flight.hold or None,
        flight.bound,
        call.model if call.model != model else None,  # model_requested
        flight.scope.model if flight.scope.model != call.model else None,  # model_scope
        outcome.reason or None,
        tuple(finding.budget for finding in shadow) if shadow else None,
        None,  # budgets
        session.subagent,
        session.thread,
        session.parent,
        session.project,
        session.auth if session.auth != "none" else None,
        session.source,
        session.request_class,
        call.endpoint,
        None,  # dialect
        reading.tier,
        reading.speed,
        reading.geo,
        reading.web_searches or None,
        outcome.marks or None,
        reading.response_id,
        outcome.open,
        _by_model(reading, model) if len(samplings) > 1 else None,
    )


def facts_of(flight: Flight) -> dict[str, Any]:
    """What the in-flight journal keeps of a call, to enter it after a crash."""
    session, scope = flight.session, flight.scope
    facts: dict[str, Any] = {
        "ts": flight.admitted_at,
        "session_id": scope.session,
        "agent": scope.agent,
        "model": flight.call.model,
        "hold_usd": flight.hold or flight.estimate,
        "auth": scope.auth,
    }
    if scope.model != flight.call.model:
        facts["model_scope"] = scope.model
    if session.subagent:
        facts["subagent"] = session.subagent
    if session.project:
        facts["project"] = session.project
    if session.thread:
        facts["thread"] = session.thread
    return facts


def line_of(entry: Entry, warnings: Sequence[Finding], shadow: Sequence[Finding]) -> str:
    """The console's line for an entry."""
    notional = [NOTIONAL] if entry.auth == "subscription" else []
    if entry.action == "block":
        return console.blocked(entry.session_id, "; ".join([entry.reason or "", *notional]))
    if entry.action == "warn":
        texts = [f"stream cut: {entry.reason}"] if entry.end == "cut" else []
        texts += [f.message() + " (not blocked: block_on_limit is false)" for f in shadow]
        texts += [f.warning() for f in warnings] + notional
        return console.warned(
            entry.session_id, entry.cost_usd, entry.session_total_usd, "; ".join(texts)
        )
    if entry.status >= 500 and entry.end != "complete":
        return console.failed(entry.session_id, entry.model, entry.reason or entry.end)
    notes = [] if entry.end == "complete" else [entry.end.replace("_", " ")]
    if entry.cost_source == "estimated":
        notes.append("estimated")
    notes += notional
    return console.allowed(
        entry.session_id, entry.model, entry.cost_usd, entry.session_total_usd, ", ".join(notes)
    )


def adjustment(
    response_id: str, opened: OpenCall, reading: Reading, cost: Decimal
) -> dict[str, Any]:
    """The data of the ``adjust`` line that corrects an estimate to what was measured."""
    data: dict[str, Any] = {
        "session_id": opened.session_id,
        "cost_usd": cost - opened.cost_usd,
        "measured_usd": cost,
        "open": response_id,
        "of": opened.request_id,
        "at": opened.ts.isoformat(),
        "agent": opened.agent,
        "model": reading.model or opened.model,
        "model_scope": opened.model_scope,
        "auth": opened.auth,
        "reset": opened.reset,
        **_counts(reading.usage),
    }
    for name in ("project", "subagent"):
        value = getattr(opened, name)
        if value:
            data[name] = value
    return data


def _by_model(reading: Reading, model: str) -> dict[str, Any] | None:
    """Usage by model, where one answer was billed at several."""
    names = {sampling.model or model for sampling in reading.samplings}
    if len(names) < 2:
        return None
    table: dict[str, dict[str, int]] = {}
    for sampling in reading.samplings:
        name = sampling.model or model
        counts, row = _counts(sampling.usage), table.get(name)
        table[name] = counts if row is None else {k: row[k] + counts[k] for k in counts}
    return table


def _four(usage: Usage) -> tuple[int, int, int, int]:
    """The counts that lines and reports have, in the order of ``_FOUR``; sound and pictures are in
    them."""
    return (
        usage.input_tokens + usage.audio_input_tokens,
        usage.output_tokens + usage.audio_output_tokens + usage.image_output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
    )


_FOUR = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def _counts(usage: Usage) -> dict[str, int]:
    """The same, by name."""
    return dict(zip(_FOUR, _four(usage), strict=True))
