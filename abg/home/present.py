"""The running proxy's status, in words and columns for a person. Pure text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from abg.console import printable
from abg.money import show

if TYPE_CHECKING:
    from datetime import datetime

    from abg.custody import Grant

__all__ = [
    "age",
    "budget_rows",
    "columns",
    "duration",
    "hold_rows",
    "money",
    "share",
    "status_text",
    "token_rows",
]

Row = Sequence[str]


def status_text(status: Mapping[str, Any], url: str) -> str:
    """What ``abg status`` says."""
    return "\n".join(_lines(status, url))


def _lines(status: Mapping[str, Any], url: str) -> Iterator[str]:
    yield _headline(status, url)
    budgets = [b for b in status.get("budgets") or () if isinstance(b, Mapping)]
    daily = next((b for b in budgets if b.get("name") == "daily"), None)
    today = money(status.get("today_total_usd", 0))
    yield f"today    {today}{_of(daily)}"
    yield from _problems(status)
    sessions = status.get("sessions") or {}
    if sessions:
        yield ""
        yield from columns(_session_rows(sessions, status, budgets))
    else:
        yield "no session has spent anything yet"
    other = [b for b in budgets if b.get("name") not in ("daily", "session")]
    if other:
        yield ""
        yield from columns(budget_rows(other))
    running = _running(status)
    if running:
        yield ""
        yield running


def _headline(status: Mapping[str, Any], url: str) -> str:
    words = [f"abg {status.get('version', '')}".strip(), f"at {url}"]
    line = " ".join(words)
    uptime = status.get("uptime_seconds")
    if uptime is not None:
        line += f", up {duration(uptime)}"
    config = status.get("config")
    return line + (f", config {config}" if config else "")


def _problems(status: Mapping[str, Any]) -> Iterator[str]:
    ledger = status.get("ledger") or {}
    if ledger.get("healthy") is False:
        yield (
            f"ledger   CANNOT BE WRITTEN: {ledger.get('problem') or 'unknown reason'}. "
            f"No new call passes until it can: {ledger.get('path', '')}"
        )
    blocked = status.get("blocked") or ()
    if blocked:
        names = ", ".join("everything" if b == "*" else printable(str(b)) for b in blocked)
        yield f"blocked  {names} (abg unblock NAME, or --all)"
    unknown = status.get("unknown_models") or ()
    if unknown:
        names = ", ".join(printable(str(m)) for m in unknown)
        yield (
            f"prices   not in the table, charged as the dearest of their family: {names} "
            f"(set them under `prices:` in the configuration)"
        )
    if status.get("locked"):
        yield "budgets  are locked by the configuration (lock_budgets): none can be raised"


def _session_rows(
    sessions: Mapping[str, Any], status: Mapping[str, Any], budgets: Sequence[Mapping[str, Any]]
) -> Iterator[Row]:
    info = status.get("session_info") or {}
    limits = {b.get("key"): b for b in budgets if b.get("name") == "session"}
    yield ("SESSION", "SPENT", "BUDGET", "", "REQUESTS", "BLOCKED", "AGENT")
    for name in sorted(sessions, key=lambda n: (-Decimal(sessions[n]), n)):
        about = info.get(name) or {}
        budget = limits.get(name) or {}
        limit = budget.get("limit_usd", about.get("budget_usd"))
        yield (
            printable(name),
            money(sessions[name]),
            "none" if limit is None else money(limit),
            share(Decimal(sessions[name]), limit),
            str(about.get("requests", "")),
            str(about.get("blocked", "")),
            printable(str(about.get("agent") or "")),
        )


def budget_rows(budgets: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """A table of budgets, with a header."""
    yield ("BUDGET", "FOR", "WINDOW", "SPENT", "HELD", "LIMIT", "", "ACTION", "RESETS")
    for b in budgets:
        spent, held = Decimal(b.get("spent_usd") or 0), Decimal(b.get("held_usd") or 0)
        limit = b.get("limit_usd")
        yield (
            printable(str(b.get("name") or "")),
            printable(str(b.get("key") or "everything")),
            str(b.get("window") or "lifetime"),
            money(spent),
            money(held) if held else "",
            "none" if limit is None else money(limit),
            share(spent + held, limit),
            str(b.get("action") or "block"),
            str(b.get("resets_at") or ""),
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


def _running(status: Mapping[str, Any]) -> str:
    holds = [h for h in status.get("holds") or () if isinstance(h, Mapping)]
    waiting = status.get("waiting") or 0
    said = []
    if holds:
        held = sum((Decimal(h.get("usd") or 0) for h in holds), Decimal(0))
        said.append(f"{money(held)} held by {_count(len(holds), 'running request')} (abg holds)")
    if waiting:
        said.append(f"{_count(waiting, 'request')} waiting for held money")
    return ", ".join(said)


def _of(budget: Mapping[str, Any] | None) -> str:
    if budget is None:
        return ""
    limit = budget.get("limit_usd")
    if limit is None:
        return ""
    text = f" of {money(limit)} ({share(Decimal(budget.get('spent_usd') or 0), limit)})"
    resets = budget.get("resets_at")
    return f"{text}, starts again at {resets}" if resets else text


def columns(rows: Iterator[Row] | Sequence[Row]) -> Iterator[str]:
    """Rows as aligned text; a column of amounts or counts stands to the right."""
    table = [tuple(row) for row in rows]
    if not table:
        return
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    right = [
        len(table) > 1 and all(_numeric(row[i]) for row in table[1:]) for i in range(len(widths))
    ]
    for row in table:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
            if width
        ]
        yield "  ".join(cells).rstrip()


def _numeric(cell: str) -> bool:
    return cell in ("", "none") or cell[0] in "$-0123456789"


def money(amount: Any) -> str:
    """``$5.14``; amounts under ten cents with four places, so that they do not read as zero."""
    value = Decimal(amount)
    return show(value, 4 if 0 < abs(value) < Decimal("0.1") else 2)


def share(spent: Decimal, limit: Any) -> str:
    """``82%`` of a limit, rounded down: 100% is said only when it is reached."""
    if limit is None:
        return ""
    if Decimal(limit) <= 0:
        return "100%"
    return f"{int(spent * 100 / Decimal(limit))}%"


def duration(seconds: Any) -> str:
    """``45s``, ``12m``, ``2h 14m``, ``3d 4h``: two units at most."""
    left = max(0, int(seconds))
    if left < 60:
        return f"{left}s"
    minutes, hours, days = left // 60, left // 3600, left // 86400
    if minutes < 60:
        return f"{minutes}m"
    if hours < 24:
        return f"{hours}h {minutes % 60}m"
    return f"{days}d {hours % 24}h"


def age(then: str, now_seconds: float) -> str:
    """How long ago an ISO time was, as a duration; empty if it is none."""
    from datetime import datetime

    try:
        began = datetime.fromisoformat(then.replace("Z", "+00:00")).timestamp()
    except (ValueError, AttributeError):
        return ""
    return duration(now_seconds - began)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
