"""The records of the ledger as values: a call's entry, an event, and a line that is damaged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from attrs import evolve, field, frozen

from abg.making import made_at_once

__all__ = ["ACTIONS", "LEAST_USD", "MOST_USD", "RESERVED", "Damage", "Entry", "Event", "Posting"]

ACTIONS = frozenset({"allow", "warn", "block"})

MOST_USD = Decimal(10) ** 12
LEAST_USD = Decimal(10) ** -40
"""An amount beyond these (and not zero) is no amount: the line is damaged."""


@made_at_once
@frozen
class Entry:
    """One billable or refused call; amounts in USD, times in milliseconds."""

    ts: datetime
    """Admission, timezone-aware; kept to the millisecond."""
    session_id: str
    model: str
    """As answered, else as asked."""
    input_tokens: int
    """Uncached input."""
    output_tokens: int
    """Reasoning included."""
    cost_usd: Decimal
    session_total_usd: Decimal
    """The session's total after this line."""
    action: str
    """``allow``, ``warn`` or ``block``."""
    request_id: str = ""
    agent: str = "unknown"
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    status: int = 0
    """What the client was answered; 0: nothing."""
    duration_ms: int = 0
    ttft_ms: int | None = None
    """From sending to the first byte of the answer."""
    end: str = "complete"
    """How it ended: ``complete``, ``client_gone``, ``crash``, ``blocked``, …"""
    cost_source: str = "measured"
    """``measured``, ``estimated`` or ``none``."""
    price: str = "table"
    """``table``, ``user`` or ``assumed``."""
    # From here on: written only when set.
    hold_usd: Decimal | None = None
    """What was reserved."""
    bound_usd: Decimal | None = None
    """The proven upper bound (strict mode)."""
    model_requested: str | None = None
    """As asked, where it differs from ``model``."""
    model_scope: str | None = None
    """The requested model as the price table resolved it, where budgets go by another name."""
    reason: str | None = None
    would_block: tuple[str, ...] | None = None
    """Budgets that would have blocked if blocking were on."""
    budgets: tuple[str, ...] | None = None
    """Names of the budgets in which money was reserved."""
    subagent: str | None = None
    thread: str | None = None
    parent: str | None = None
    project: str | None = None
    auth: str | None = None
    """``api_key`` or ``subscription``."""
    session_source: str | None = None
    request_class: str | None = None
    endpoint: str | None = None
    dialect: str | None = None
    tier: str | None = None
    speed: str | None = None
    geo: str | None = None
    web_searches: int | None = None
    marks: tuple[str, ...] | None = None
    """Why a count or a cost is not simply what the vendor said."""
    response_id: str | None = None
    open: str | None = None
    """The id under which the real usage may still come."""
    models: Mapping[str, Any] | None = None
    """Usage by model, where one answer was billed at several."""

    @property
    def event(self) -> None:
        """A call is no event; readers that only ask for this need not look at the class."""
        return None


class Posting(msgspec.Struct, gc=False):
    """What totals need of a call's line: an ``Entry`` in short, read twice as fast."""

    ts: datetime
    session_id: str
    cost_usd: Decimal
    action: str
    model: str = ""
    agent: str = "unknown"
    request_id: str = ""
    model_requested: str | None = None
    model_scope: str | None = None
    subagent: str | None = None
    project: str | None = None
    auth: str | None = None
    open: str | None = None
    event: str | None = None
    ts_ms: int = 0
    prev: str | None = None


RESERVED = frozenset({"ts", "ts_ms", "event", "action", "prev"})


def _free_keys(_: Event, __: Any, data: Mapping[str, Any]) -> None:
    taken = RESERVED.intersection(data)
    if taken:
        raise ValueError(f"an event's data cannot have the key {min(taken)!r}")


@frozen
class Event:
    """A line that is no call: ``reset``, ``raise``, ``block``, ``adjust``, ``rotate``, …"""

    ts: datetime
    event: str
    data: Mapping[str, Any] = field(factory=dict, validator=_free_keys)
    """More keys, written beside the others; decoded numbers are int or Decimal."""

    @property
    def session_id(self) -> str | None:
        """The session it speaks of, if it speaks of one."""
        value = self.data.get("session_id")
        return value if isinstance(value, str) else None

    @property
    def cost_usd(self) -> Decimal:
        """What it adds to the spend of its scope; an ``adjust`` may take away."""
        value = self.data.get("cost_usd", 0)
        return value if isinstance(value, Decimal) else Decimal(value)


@frozen
class Damage:
    """A line that cannot be read: kept in the file, counted for nothing."""

    reason: str
    number: int = 0
    """Line number in its file, from 1; 0: not placed yet."""
    offset: int = 0
    """Byte at which the line begins."""
    file: str = ""

    def at(self, file: str, number: int, offset: int) -> Damage:
        """The same, with its place."""
        return evolve(self, file=file, number=number, offset=offset)

    def __str__(self) -> str:
        return f"{self.file}:{self.number} (byte {self.offset}): {self.reason}"
