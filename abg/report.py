"""Totals over the ledger's records: by day, session, model, agent, and more. Pure.

The sum of ``cost_usd`` over all lines of a scope is its spend (contract 13): adjustments and
crash repairs count with the calls, in the session they name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

from attrs import define, field, frozen

from abg.ledger import Damage, Entry, Event
from abg.money import ZERO

__all__ = ["KEYS", "Report", "Total", "parse_since", "report", "rows_of"]

KEYS = (
    "day",
    "week",
    "month",
    "session",
    "model",
    "agent",
    "subagent",
    "project",
    "auth",
    "dialect",
)
"""What totals can be grouped by."""

COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
COLUMNS = ("requests", "blocked", *COUNTS, "cost_usd", "notional_usd", "estimated_usd")
"""The figures of each total, in their order."""


@define
class Total:
    """The figures of one group; amounts in USD."""

    key: tuple[str, ...]
    requests: int = 0
    blocked: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal = ZERO
    """All of it, the notional part included."""
    notional_usd: Decimal = ZERO
    """The part under a subscription: what it would have cost by the piece."""
    estimated_usd: Decimal = ZERO
    """The part that was not measured but estimated."""


@frozen
class Report:
    """Totals by group, dearest first (calendar keys in their order), and over all."""

    by: tuple[str, ...]
    totals: tuple[Total, ...]
    all: Total
    damaged: tuple[Damage, ...] = field(default=())
    """Lines that cannot be read, and count for nothing."""


def report(
    records: Iterable[Entry | Event | Damage],
    by: Sequence[str],
    zone: tzinfo,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Report:
    """The totals of all records from ``since`` on, up to ``until``.

    Args:
        by: some of ``KEYS``, the first the outermost.
        zone: whose midnight ends a day.
    """
    totals: dict[tuple[str, ...], Total] = {}
    whole = Total(())
    damaged = []
    for record in records:
        if isinstance(record, Damage):
            damaged.append(record)
            continue
        if (since is not None and record.ts < since) or (until is not None and record.ts >= until):
            continue
        if isinstance(record, Event) and not record.cost_usd:
            continue
        key = tuple(_key(record, name, zone) for name in by)
        total = totals.get(key)
        if total is None:
            total = totals[key] = Total(key)
        _add(total, record)
        _add(whole, record)
    calendar = bool(by) and by[0] in ("day", "week", "month")
    ordered = sorted(
        totals.values(),
        key=lambda t: (t.key[0] if calendar else "", -t.cost_usd, t.key),
    )
    return Report(tuple(by), tuple(ordered), whole, tuple(damaged))


def rows_of(found: Report) -> list[dict[str, Any]]:
    """Every total as one flat mapping, for JSON and CSV."""
    return [
        {
            **dict(zip(found.by, total.key, strict=True)),
            **{name: getattr(total, name) for name in COLUMNS},
        }
        for total in found.totals
    ]


def parse_since(text: str, now: datetime, zone: tzinfo) -> datetime:
    """``2026-11-01``, ``2026-11-01T12:00``, ``7d``, ``24h``, ``today``: a moment.

    Raises:
        ValueError: it is none of these.
    """
    local = now.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if text == "today":
        return midnight
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdigit() and unit in ("d", "h", "m"):
        length = int(number)
        if length > 100_000:
            raise ValueError(f"too long ago: {text}")
        steps = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
        return now - length * steps[unit]
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(
            f"no day or length of time: {text!r} (such as 2026-11-01, today, 7d, 24h)"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    try:
        return moment.astimezone(timezone.utc)
    except (OverflowError, ValueError):  # at the ends of all times
        return moment.replace(tzinfo=timezone.utc)


def _add(total: Total, record: Entry | Event) -> None:
    cost = record.cost_usd
    total.cost_usd += cost
    if isinstance(record, Event):
        if record.data.get("auth") == "subscription":
            total.notional_usd += cost
        return
    if record.auth == "subscription":
        total.notional_usd += cost
    if record.cost_source == "estimated":
        total.estimated_usd += cost
    if record.action == "block":
        total.blocked += 1
        return
    total.requests += 1
    for name in COUNTS:
        setattr(total, name, getattr(total, name) + getattr(record, name))


def _key(record: Entry | Event, name: str, zone: tzinfo) -> str:
    if name == "day":
        return _day(record.ts, zone).isoformat()
    if name == "week":
        year, week, _ = _day(record.ts, zone).isocalendar()
        return f"{year:04d}-W{week:02d}"
    if name == "month":
        return _day(record.ts, zone).isoformat()[:7]
    if name == "session":
        return record.session_id or ""
    facts: Mapping[str, Any] = record.data if isinstance(record, Event) else {}
    value = facts.get(name) if isinstance(record, Event) else getattr(record, name)
    return value if isinstance(value, str) else ""


def _day(ts: datetime, zone: tzinfo) -> date:
    try:
        return ts.astimezone(zone).date()
    except (
        OverflowError,
        ValueError,
    ):  # a hand wrote a time that no zone bears
        return ts.date()
