"""Running totals as the lines themselves tell them: does each line's total follow from the last?"""

from __future__ import annotations

from decimal import Decimal

from abg.ledger import Entry, Event
from abg.money import EXACT, ZERO

__all__ = ["RECOVERED", "RunningTotals"]

RECOVERED = "recovered"
"""Mark of an entry that an outside rotation had lost and that was written again: the totals of
the lines before it know its cost already, and its own total is as old as it is."""

_DAILY = "default"  # the session that starts anew each day: several totals may be under way
_DAYS = 4


class RunningTotals:
    """Follows ``session_total_usd`` from line to line, without a configuration.

    A total that was not heard of before is taken as it is: there may have been lines before.
    """

    def __init__(self) -> None:
        self._totals: dict[str, list[Decimal]] = {}

    def step(self, record: Entry | Event) -> Decimal:
        """How much the line's total exceeds what the lines before come to; 0 if it follows.

        After a gap the line's own total is taken over, so that one mistake is told once.
        """
        if isinstance(record, Event):
            self._event(record)
            return ZERO
        session, cost, told = record.session_id, record.cost_usd, record.session_total_usd
        known = self._totals.get(session)
        if known is None:
            self._totals[session] = [told]
            return ZERO
        for place, total in enumerate(known):
            if EXACT.add(total, cost) == told:
                self._put(known, place, told)
                return ZERO
        if session == _DAILY and told == cost:
            known.insert(0, told)
            del known[_DAYS:]
            return ZERO
        gap = EXACT.subtract(told, EXACT.add(known[0], cost))
        self._put(known, 0, told)
        return gap

    def add(self, record: Entry) -> None:
        """Count an entry whose own total says nothing (another program's)."""
        known = self._totals.get(record.session_id)
        if known is not None:
            known[0] = EXACT.add(known[0], record.cost_usd)

    def _put(self, known: list[Decimal], place: int, total: Decimal) -> None:
        del known[place]
        known.insert(0, total)

    def _event(self, event: Event) -> None:
        known = self._totals.get(event.session_id or "")
        if known is None:
            return
        if event.event == "reset":
            known[:] = [ZERO]
        elif event.cost_usd:
            adjusted = [EXACT.add(total, event.cost_usd) for total in known]
            # A daily session may have had the call on another day; what was spent before a reset
            # is not given back.
            uncertain = event.session_id == _DAILY or event.cost_usd < 0
            known[:] = (adjusted + known)[:_DAYS] if uncertain else adjusted
