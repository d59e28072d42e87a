"""Where every budget stands, as rows for ``/abg/status``: what people and programs read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, tzinfo
from itertools import islice
from typing import Any

from abg.money import ZERO
from abg.overrides import Overrides
from abg.rules import SEPARATOR, SESSION, SUBAGENT, Check, Rules

__all__ = ["budget_rows"]

ROWS = 200
"""Accounts of one budget that are shown: those used last, and all that hold money."""


def budget_rows(
    rules: Rules, overrides: Overrides, zone: tzinfo, now: datetime, session: str | None = None
) -> list[dict[str, Any]]:
    """One row for each budget and account. Amounts are Decimal USD, times ISO text in ``zone``.

    Args:
        session: of the accounts of sessions only this one's, also before its first call.

    Keys: ``name``, ``kind``, ``per``, ``key``, ``window``, ``limit_usd`` (in force),
    ``configured_usd``, ``spent_usd``, ``held_usd``, ``warn_at``, ``action``, ``resets_at`` (end of
    the calendar period), ``frees_at`` (when time alone makes room); and where requests are
    limited ``requests``, ``requests_running``, ``max_requests``.
    """
    rows = []
    for checks in rules.everything():
        money = checks[0]
        for key in _keys(money, rules, now, session):
            row = _row(money, overrides, key, zone, now)
            for counted in checks[1:]:
                row["requests"] = int(counted.sums.spent(key, now))
                row["requests_running"] = int(counted.accounts.held.get(key, ZERO))
                row["max_requests"] = int(counted.limit or 0)
            rows.append(row)
    return rows


def _keys(check: Check, rules: Rules, now: datetime, session: str | None) -> Iterable[str]:
    if check.pooled:
        return ("",)
    if session is not None and check.index == SESSION:
        return (session,) if session and rules.speaks(check, session) else ()
    used = (key for key in check.sums.keys(now) if rules.speaks(check, key))
    keys = dict.fromkeys(islice(used, ROWS))
    held = check.accounts.held
    keys.update(dict.fromkeys(key for key in held if rules.speaks(check, key)))
    if session is not None and check.index == SUBAGENT:
        return [key for key in keys if key.startswith(session + SEPARATOR)]
    return keys


def _row(
    check: Check, overrides: Overrides, key: str, zone: tzinfo, now: datetime
) -> dict[str, Any]:
    budget, sums = check.budget, check.sums
    limit = overrides.limit(check, key, now)
    spent = sums.spent(key, now)
    resets = sums.resets_at(key, now)
    frees = None
    if limit is not None and spent >= limit:
        most = limit
        frees = sums.frees_at(key, now, lambda left: left < most)
    return {
        "name": budget.name,
        "kind": check.kind,
        "per": budget.per,
        "key": key.replace(SEPARATOR, "/"),
        "window": str(budget.window),
        "limit_usd": limit,
        "configured_usd": check.limit,
        "spent_usd": spent,
        "held_usd": check.accounts.held.get(key, ZERO),
        "warn_at": list(budget.warn_at),
        "action": budget.action,
        "resets_at": _shown(resets, zone),
        "frees_at": _shown(frees, zone),
    }


def _shown(at: datetime | None, zone: tzinfo) -> str | None:
    return None if at is None else at.astimezone(zone).isoformat(timespec="seconds")
