"""Stopping inside a stream: whose, once what streams now has used a budget up.

A stream that runs has spent already what it has brought, though nothing of it is settled. Where
settled and running cost together reach the limit of a budget that blocks, the youngest stream in
that account is to end: what it cost stays spent, and the older ones have until the next question
to come to an end of their own. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from abg.decision import Ask
from abg.finding import Finding
from abg.judging import Judge
from abg.money import EXACT, ZERO
from abg.rules import Check, Keys, Selection

__all__ = ["Held", "overrun"]


class Held(Protocol):
    """A call that holds money."""

    @property
    def ask(self) -> Ask: ...
    @property
    def selection(self) -> Selection: ...
    @property
    def keys(self) -> Keys: ...


def overrun(
    held: Iterable[Held], judge: Judge, running: Mapping[str, Decimal], now: datetime
) -> dict[str, Finding]:
    """The streams that are to end now, and for which budget: one for each account used up.

    Args:
        held: all that hold money, the oldest first.
        running: USD that each stream has come to so far, by id; other calls are not in it.
    """
    sums: dict[tuple[Check, str], Decimal] = {}
    youngest: dict[tuple[Check, str], str] = {}
    for call in held:
        id = call.ask.id
        cost = running.get(id)
        if cost is None:
            continue
        for check in call.selection.checks:
            if not check.requests:
                account = (check, call.keys[check.index])
                sums[account] = EXACT.add(sums.get(account, ZERO), cost)
                youngest[account] = id
    ends: dict[str, Finding] = {}
    for account, streaming in sums.items():
        check, key = account
        limit = judge.limit(check, key, now)
        if limit is None:
            continue
        total = EXACT.add(check.sums.spent(key, now), streaming)
        if total >= limit:
            finding = Finding(check.name, check.kind, key, spent=total, limit=limit)
            ends.setdefault(youngest[account], finding)
    return ends
