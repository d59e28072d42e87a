"""The running proxy's status, in words and columns for a person. Pure text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from abg.console import printable
from abg.home.present import Row, columns, duration, many, moment, money, share
from abg.home.tables import budget_rows

__all__ = ["status_text"]


def status_text(status: Mapping[str, Any], url: str) -> str:
    """What ``abg status`` says."""
    return "\n".join(_lines(status, url))


def _lines(status: Mapping[str, Any], url: str) -> Iterator[str]:
    yield _headline(status, url)
    budgets = [b for b in status.get("budgets") or () if isinstance(b, Mapping)]
    daily = next((b for b in budgets if _kind(b) == "daily"), None)
    today = money(status.get("today_total_usd", 0))
    yield f"today    {today}{_of(daily)}"
    yield from _problems(status)
    sessions = status.get("sessions") or {}
    if sessions:
        yield ""
        yield from columns(_session_rows(sessions, status, budgets))
        known = status.get("session_info") or {}
        if not all({"requests", "agent"} & set(known.get(name) or ()) for name in sessions):
            yield "REQUESTS, BLOCKED and AGENT are since this proxy's start; all of it: abg report"
    else:
        yield "no session has spent anything yet"
    other = [b for b in budgets if _kind(b) not in ("daily", "session")]
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
    unmetered = status.get("unmetered") or ()
    if unmetered:
        names = ", ".join(printable(str(kind)) for kind in unmetered)
        yield f"metering cannot be done for: {names}; such calls are charged by a dear estimate"
    if status.get("locked"):
        yield "budgets  are locked by the configuration (lock_budgets): none can be raised"


def _session_rows(
    sessions: Mapping[str, Any], status: Mapping[str, Any], budgets: Sequence[Mapping[str, Any]]
) -> Iterator[Row]:
    info = status.get("session_info") or {}
    limits = {b.get("key"): b for b in budgets if _kind(b) == "session"}
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
            printable(str(about.get("agent") or "")) + _payer(about),
        )


def _running(status: Mapping[str, Any]) -> str:
    holds = [h for h in status.get("holds") or () if isinstance(h, Mapping)]
    waiting = status.get("waiting") or 0
    said = []
    if holds:
        held = sum((Decimal(h.get("usd") or 0) for h in holds), Decimal(0))
        said.append(f"{money(held)} held by {many(len(holds), 'running request')} (abg holds)")
    if waiting:
        said.append(f"{many(waiting, 'request')} waiting for held money")
    return ", ".join(said)


def _of(budget: Mapping[str, Any] | None) -> str:
    if budget is None:
        return ""
    limit = budget.get("limit_usd")
    if limit is None:
        return ""
    text = f" of {money(limit)} ({share(Decimal(budget.get('spent_usd') or 0), limit)})"
    resets = budget.get("resets_at")
    return f"{text}, starts again at {moment(str(resets))}" if resets else text


def _payer(about: Mapping[str, Any]) -> str:
    return " (notional: a plan pays)" if about.get("auth") == "subscription" else ""


def _kind(budget: Mapping[str, Any]) -> Any:
    return budget.get("kind", budget.get("name"))
