"""Accounts: what calls of one description hold and have spent, under each key.

Accounts belong to a description, which is what budgets count without window and limit: counted
by what, matching what. Budgets of one description share them, each looking at its own window
(``Sums``). What is held is the same in every window: it counts until its reservation ends,
whichever window it began in (contract 10).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from abg.money import EXACT, ZERO
from abg.rolling import Timeline
from abg.sums import Calendrical, Counted, Lifetime, SessionLifetime, Sums
from abg.windows import Calendar, Window

__all__ = ["Accounts"]

_add, _subtract = EXACT.add, EXACT.subtract


class Accounts:
    """Holds, and one ``Sums`` for each window that somebody looks at.

    Args:
        by_session: the keys are sessions; then ``default`` is counted by day (contract 8).
    """

    def __init__(self, calendar: Calendar, *, by_session: bool = False) -> None:
        self._calendar = calendar
        self._by_session = by_session
        self._timeline: Timeline | None = None
        self._windows: dict[str, Sums] = {}
        self._counted: list[Counted] = []
        self.held: dict[str, Decimal] = {}
        """By key; a key without holds is not there."""

    def window(self, window: Window) -> Sums:
        """The sums over one window; made at the first asking."""
        found = self._windows.get(str(window))
        if found is None:
            found = self._windows[str(window)] = self._make(window)
        return found

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def windows(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._windows)

    def hold(self, key: str, amount: Decimal) -> None:
        if amount:
            held = self.held
            held[key] = _add(held.get(key, ZERO), amount)

    def release(self, key: str, amount: Decimal) -> None:
        if amount:
            left = _subtract(self.held[key], amount)
            if left:
                self.held[key] = left
            else:
                del self.held[key]

    @property
    def adders(self) -> list[Callable[[str, datetime, Decimal], None]]:
        """``add``, for each window."""
        return [counted.add for counted in self._counted]

    @property
    def adder(self) -> Callable[[str, datetime, Decimal], None]:
        """``add``, without the way round where there is one window only."""
        return self._counted[0].add if len(self._counted) == 1 else self.add

    def add(self, key: str, at: datetime, amount: Decimal) -> None:
        """Count an amount of the instant ``at`` in every window."""
        for counted in self._counted:
            counted.add(key, at, amount)

    def clear(self, key: str) -> None:
        """Start this key again at nothing; what is held stays."""
        for counted in self._counted:
            counted.clear(key)

    def clear_all(self, prefix: str) -> None:
        """The same for every key that begins so."""
        for counted in self._counted:
            for key in [key for key in counted.everything() if key.startswith(prefix)]:
                counted.clear(key)

    def dump(self) -> list[Any]:
        return [counted.dump() for counted in self._counted]

    def load(self, data: list[Any]) -> None:
        """Raises:
        ValueError, …: not what ``dump`` gave for the same windows.
        """
        for counted, dumped in zip(self._counted, data, strict=True):
            counted.load(dumped)

    def _make(self, window: Window) -> Sums:
        if window.kind == "rolling":
            timeline = self._timeline
            if timeline is None:
                timeline = self._timeline = Timeline()
                self._counted.append(timeline)
            return timeline.window(window.length)
        found: Calendrical | Lifetime
        if window.kind != "lifetime":
            found = Calendrical(self._calendar, window.kind)
        else:
            found = SessionLifetime(self._calendar) if self._by_session else Lifetime()
        self._counted.append(found)
        return found
