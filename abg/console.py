"""The console's lines: one for each request, as the user knows them. Pure text."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from decimal import Decimal

from abg.money import show, show_exactly

__all__ = [
    "allowed",
    "blocked",
    "budgets",
    "failed",
    "listening",
    "printable",
    "spoken",
    "unknown_model",
    "unmetered",
    "warned",
]

_BARE = re.compile(r"[^\s=|\"]+")


def listening(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"[abg] listening on http://{shown}:{port}"


def budgets(session: Decimal | None, daily: Decimal | None) -> str:
    return f"[abg] session budget: {_limit(session)} daily budget: {_limit(daily)}"


def allowed(session: str, model: str, cost: Decimal, session_total: Decimal, note: str = "") -> str:
    line = (
        f"[abg] ALLOW session={_field(session)} model={_field(model or '?')} "
        f"cost={show(cost, 4)} session_total={show(session_total)}"
    )
    return printable(f"{line} | {note}" if note else line)


def warned(session: str, cost: Decimal, session_total: Decimal, warning: str) -> str:
    return printable(
        f"[abg] WARN session={_field(session)} cost={show(cost, 4)} "
        f"session_total={show(session_total)} | {warning}"
    )


def blocked(session: str, reason: str) -> str:
    return printable(f"[abg] BLOCKED session={_field(session)} | {reason}")


def failed(session: str, model: str, reason: str) -> str:
    return printable(
        f"[abg] ERROR session={_field(session)} model={_field(model or '?')} | {reason}"
    )


def unknown_model(model: str, as_model: str) -> str:
    return (
        f"[abg] unknown model {printable(model) or '(none)'}: priced as the dearest of its family "
        f"({printable(as_model)}); add it under prices: to price it exactly"
    )


def unmetered(kind: str, *, later: bool) -> str:
    """A kind of paid call whose answer tells no usage; ``later``: it may still come."""
    what = "unknown paths" if kind == "other" else printable(kind)
    until = "until their usage comes" if later else "which counts and is capped like any cost"
    return f"[abg] cannot meter {what}: charged by a dear estimate, {until}"


def _field(value: str) -> str:
    """A value in a line of ``key=value``: bare, or in quotes where it could be taken for more of
    them (a session called ``x cost=$0.00``)."""
    return value if _BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def printable(text: str) -> str:
    """Text that cannot start a line or steer a terminal: only visible characters are left."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def spoken(at: datetime) -> str:
    """A moment as people read it, in its own zone: ``2026-12-01 00:00``, never too early."""
    if at.second or at.microsecond:
        at += timedelta(minutes=1)
    return at.strftime("%Y-%m-%d %H:%M")


def _limit(amount: Decimal | None) -> str:
    if amount is None:
        return "none"
    # A limit of a tenth of a cent is not none.
    return show(amount) if amount == round(amount, 2) else f"${show_exactly(amount)}"
