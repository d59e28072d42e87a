"""The queue of calls that wait for what others hold (contract 18).

Calls stand in the order in which they came. One that could pass but for an account in which an
earlier one still lacks room waits as well: nobody overtakes in an account, and nobody waits for
an account that is not his own. A waiting call holds nothing, so that those who hold always end,
and whoever is first in an account is decided then at the latest: there is no deadlock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from abg.decision import Ask
from abg.finding import Finding
from abg.money import EXACT, ZERO
from abg.rules import Check, Keys, Selection
from abg.sums import Sums

__all__ = ["Account", "Queue", "Waiting"]

Account = tuple[Sums, str]
"""What is spent over a window, and under which key."""

STEP = timedelta(seconds=1)
"""What a clock does not lose or gain between two looks, unless it is set."""


class Waiting:
    """One call that waits."""

    __slots__ = ("ask", "deadline", "findings", "keys", "lacking", "selection")

    def __init__(self, ask: Ask, selection: Selection, keys: Keys, deadline: datetime) -> None:
        self.ask = ask
        self.selection = selection
        self.keys = keys
        self.deadline = deadline
        self.lacking: list[Check] = []
        """Limits under which there is no room for it now."""
        self.findings: tuple[Finding, ...] = ()
        """What it waits for, in words."""


class Queue:
    """All that wait, in order of arrival."""

    def __init__(self) -> None:
        self._waiting: dict[str, Waiting] = {}
        self._looked: tuple[datetime, float] | None = None
        """The clock at the last look, and seconds of one that nobody sets."""
        self.wanted: dict[Account, Decimal] = {}
        """Accounts in which somebody lacks room, and what all of those need together."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, id: object) -> bool:
        return id in self._waiting

    def __iter__(self) -> Iterator[Waiting]:
        return iter(list(self._waiting.values()))

    def add(self, waiting: Waiting) -> None:
        if not self._waiting:
            self._looked = None
        self._waiting[waiting.ask.id] = waiting
        self.want(waiting)

    def remove(self, id: str) -> bool:
        """Take one out; False: it was not there. ``wanted`` is counted anew."""
        if self._waiting.pop(id, None) is None:
            return False
        self.wanted.clear()
        for waiting in self._waiting.values():
            self.want(waiting)
        return True

    def take(self, id: str) -> None:
        """Take one out while ``wanted`` is being counted anew."""
        del self._waiting[id]

    def want(self, waiting: Waiting) -> None:
        """Note where a call lacks room, for those behind it."""
        for check in waiting.lacking:
            account = (check.sums, waiting.keys[check.index])
            need = Decimal(1) if check.requests else waiting.ask.floor
            self.wanted[account] = EXACT.add(self.wanted.get(account, ZERO), need)

    def look(self, now: datetime, ticks: float) -> None:
        """If the clock was set since the last look, nobody waits longer or shorter for it.

        Args:
            ticks: seconds of a clock that nobody sets.
        """
        before, self._looked = self._looked, (now, ticks)
        if before is None:
            return
        step = now - before[0] - timedelta(seconds=ticks - before[1])
        if abs(step) >= STEP:
            for waiting in self._waiting.values():
                waiting.deadline += step

    def deadline(self) -> datetime | None:
        """When the first of them has waited for as long as it may."""
        return min((waiting.deadline for waiting in self._waiting.values()), default=None)
