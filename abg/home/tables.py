"""Budgets, holds, tokens and totals as rows of a table, the first one its header. Pure text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from abg.console import printable
from abg.home.present import Row, age, duration, moment, money, share
from abg.money import show_exactly

if TYPE_CHECKING:
    from datetime import datetime

    from abg.custody import Grant
    from abg.report import Report

__all__ = ["budget_rows", "hold_rows", "plain_cells", "report_rows", "token_rows"]


def budget_rows(budgets: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """A table of budgets, with a header."""
    yield ("BUDGET", "FOR", "WINDOW", "SPENT", "HELD", "LIMIT", "", "ACTION", "RESETS", "")
    for b in budgets:
        spent, held = Decimal(b.get("spent_usd") or 0), Decimal(b.get("held_usd") or 0)
        limit, configured = b.get("limit_usd"), b.get("configured_usd")
        changed = limit is not None and "configured_usd" in b and limit != configured
        yield (
            printable(str(b.get("name") or "")),
            printable(str(b.get("key") or "everything")),
            str(b.get("window") or "lifetime"),
            money(spent),
            money(held) if held else "",
            "none" if limit is None else money(limit),
            share(spent + held, limit),
            str(b.get("action") or "block"),
            moment(str(b.get("resets_at") or "")),
            f"configured: {'none' if configured is None else money(configured)}" if changed else "",
        )


def hold_rows(holds: Sequence[Mapping[str, Any]], now_seconds: float) -> Iterator[Row]:
    """A table of what running requests hold, with a header."""
    yield ("HOLD", "SESSION", "MODEL", "USD", "SINCE")
    for hold in holds:
        yield (
            printable(str(hold.get("id") or "")),
            printable(str(hold.get("session") or "")),
            printable(str(hold.get("model") or "")),
            money(hold.get("usd") or 0),
            age(str(hold.get("since") or ""), now_seconds),
        )


def token_rows(grants: Sequence[Grant], now: datetime) -> Iterator[Row]:
    """A table of tokens, with a header; never their secrets."""
    yield ("TOKEN", "SESSION", "BUDGET", "CREATED", "STATE")
    for grant in grants:
        if grant.revoked is not None:
            state = "revoked"
        elif not grant.live(now):
            state = "expired"
        elif grant.expires is not None:
            state = f"expires in {duration((grant.expires - now).total_seconds())}"
        else:
            state = "live"
        yield (
            grant.id,
            printable(grant.session),
            "configured" if grant.budget_usd is None else money(grant.budget_usd),
            grant.created.strftime("%Y-%m-%d %H:%M"),
            state,
        )


def report_rows(found: Report) -> Iterator[Row]:
    """A report as a table, with a header and a last line of sums."""
    notional = any(total.notional_usd for total in found.totals)
    yield (
        *(key.upper() for key in found.by),
        "REQUESTS",
        "BLOCKED",
        "INPUT",
        "CACHE READ",
        "CACHE WRITE",
        "OUTPUT",
        "COST",
        *(("NOTIONAL",) if notional else ()),
    )
    for total in (*found.totals, found.all):
        names = total.key if total is not found.all else ("all", *[""] * (len(found.by) - 1))
        yield (
            *(printable(name) or "-" if total is not found.all else name for name in names),
            str(total.requests),
            str(total.blocked),
            f"{total.input_tokens:,}",
            f"{total.cache_read_tokens:,}",
            f"{total.cache_write_tokens:,}",
            f"{total.output_tokens:,}",
            money(total.cost_usd),
            *((money(total.notional_usd),) if notional else ()),
        )


def plain_cells(row: Mapping[str, Any]) -> dict[str, str]:
    """A row for CSV: amounts in full, and no text that a spreadsheet would take for a formula or
    a terminal for an order."""
    return {
        name: show_exactly(value)
        if isinstance(value, Decimal)
        else _plain(value)
        if isinstance(value, str)
        else str(value)
        for name, value in row.items()
    }


def _plain(text: str) -> str:
    shown = printable(text)
    return f"'{shown}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else shown
