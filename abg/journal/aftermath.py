"""What a start enters into the ledger after an end that was none: repairs, and calls cut short."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from attrs import evolve

from abg.journal.inflight import crash_entry
from abg.journal.replay import Totals
from abg.journal.tail import Mended
from abg.ledger import Entry, Event
from abg.money import EXACT, ZERO, show

__all__ = ["crash_entries", "repair_events"]


def repair_events(mended: Mended | None, now: datetime, say: Callable[[str], None]) -> list[Event]:
    """The record of what was cut from the end of the file, if anything was."""
    if mended is None:
        return []
    say(
        f"[abg] ledger: the last line was {mended.what} at byte {mended.offset} "
        f"({mended.size} bytes taken away), as a crash leaves it"
    )
    if mended.what != "cut":
        return []
    data = {"what": "cut", "offset": mended.offset, "bytes": mended.size, "text": mended.text}
    return [Event(now, "repair", data)]


def crash_entries(
    left: Mapping[str, Mapping[str, Any]],
    totals: Totals,
    now: datetime,
    say: Callable[[str], None],
) -> list[Entry]:
    """The lines of calls that were under way; they are counted here.

    Args:
        left: facts by id, of calls that have no line yet.
    """
    entries = []
    cost = ZERO
    for id, facts in left.items():
        entry = crash_entry(id, facts, now)
        totals.apply(entry)
        total = totals.session_total(entry.session_id)
        entries.append(evolve(entry, session_total_usd=total))
        cost = EXACT.add(cost, entry.cost_usd)
    if entries:
        calls = "1 call was" if len(entries) == 1 else f"{len(entries)} calls were"
        say(
            f"[abg] ledger: {calls} under way when abg last ended without warning; "
            f"entered as estimated, {show(cost, 4)}"
        )
    return entries
