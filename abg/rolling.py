"""Accounts over a rolling window: each amount counts exactly as long as the window is.

Of each key the amounts are kept in the order of their instants, with a mark between those that
have left the window and those inside, and the sum of the latter. The mark moves with the clock,
forth and (after a step of the clock) back, so that ``spent`` stays a pure function; what left the
window longer ago than ``SLACK`` is forgotten.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from abg.accounts import Fits, Held
from abg.money import EXACT, ZERO, usd

__all__ = ["SLACK", "Rolling"]

SLACK = timedelta(hours=1)
"""How far the clock may step back without an amount missing that would count again then."""

FEW = 32
"""Amounts of a key, or keys, up to which nobody looks for old ones."""

_add, _subtract = EXACT.add, EXACT.subtract
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


class _Roll:
    """The amounts of one key."""

    __slots__ = ("amounts", "inside", "look", "times", "total")

    def __init__(self) -> None:
        self.times: list[datetime] = []
        self.amounts: list[Decimal] = []
        self.inside = 0
        """Index of the first amount inside the window, as of the last look."""
        self.total = ZERO
        """Sum of those inside."""
        self.look = FEW
        """Length at which old amounts are looked for."""

    def move(self, cutoff: datetime) -> Decimal:
        """Put the mark so that what came after ``cutoff`` is inside."""
        times, inside = self.times, self.inside
        while inside < len(times) and times[inside] <= cutoff:
            self.total = _subtract(self.total, self.amounts[inside])
            inside += 1
        while inside and times[inside - 1] > cutoff:
            inside -= 1
            self.total = _add(self.total, self.amounts[inside])
        self.inside = inside
        return self.total

    def insert(self, at: datetime, amount: Decimal) -> None:
        times = self.times
        place = bisect_right(times, at) if times and at < times[-1] else len(times)
        times.insert(place, at)
        self.amounts.insert(place, amount)
        if place < self.inside:
            self.inside += 1
        else:
            self.total = _add(self.total, amount)

    def forget(self, cutoff: datetime) -> None:
        """Let go of what came up to ``cutoff``."""
        self.move(cutoff)
        if self.inside:
            del self.times[: self.inside]
            del self.amounts[: self.inside]
            self.inside = 0
        self.look = max(FEW, 2 * len(self.times))


class Rolling(Held):
    """See ``abg.accounts.Accounts``."""

    def __init__(self, length: timedelta) -> None:
        super().__init__()
        self._length = length
        self._rolls: dict[str, _Roll] = {}
        self._look = FEW

    def spent(self, key: str, now: datetime) -> Decimal:
        roll = self._rolls.get(key)
        return ZERO if roll is None else roll.move(now - self._length)

    def add(self, key: str, at: datetime, amount: Decimal) -> None:
        rolls = self._rolls
        roll = rolls.get(key)
        if roll is None:
            if len(rolls) >= self._look:
                self._forget_keys(at - self._length - SLACK)
            roll = rolls[key] = _Roll()
        roll.insert(at, amount)
        if len(roll.times) >= roll.look:
            roll.forget(at - self._length - SLACK)

    def clear(self, key: str) -> None:
        self._rolls.pop(key, None)

    def keys(self, now: datetime) -> Iterable[str]:
        return [key for key in reversed(self._rolls) if self.changes_at(key, now) is not None]

    def changes_at(self, key: str, now: datetime) -> datetime | None:
        roll = self._rolls.get(key)
        if roll is None:
            return None
        roll.move(now - self._length)
        return roll.times[roll.inside] + self._length if roll.inside < len(roll.times) else None

    def resets_at(self, key: str, now: datetime) -> datetime | None:
        return None

    def frees_at(self, key: str, now: datetime, fits: Fits) -> datetime | None:
        left = self.spent(key, now)
        roll = self._rolls.get(key)
        if roll is not None:
            for place in range(roll.inside, len(roll.times)):
                left = _subtract(left, roll.amounts[place])
                if fits(left):
                    return roll.times[place] + self._length
        return None

    def dump(self) -> Any:
        return {
            key: [
                [(at - _EPOCH) // _MILLISECOND, str(amount)]
                for at, amount in zip(roll.times, roll.amounts, strict=True)
            ]
            for key, roll in self._rolls.items()
        }

    def load(self, data: Any) -> None:
        rolls: dict[str, _Roll] = {}
        for key, rows in data.items():
            roll = rolls[str(key)] = _Roll()
            for milliseconds, amount in rows:
                roll.insert(_EPOCH + milliseconds * _MILLISECOND, usd(amount))
            roll.look = max(FEW, 2 * len(roll.times))
        self._rolls = rolls
        self._look = max(FEW, 2 * len(rolls))

    def _forget_keys(self, cutoff: datetime) -> None:
        for key in [key for key, roll in self._rolls.items() if roll.times[-1] <= cutoff]:
            del self._rolls[key]
        self._look = max(FEW, 2 * len(self._rolls))
