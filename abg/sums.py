"""Sums: what is spent under each key over one kind of window.

``spent`` is a pure function of what was added and of the instant asked about, in whatever order
things were added and however the clock moves. Sums are exact. An idle key costs one entry of a
dict (lifetime), or nothing once its periods are over; ``abg.rolling`` holds the rolling windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from itertools import chain
from typing import Any, Protocol

from abg.money import EXACT, ZERO, usd
from abg.windows import LATEST, Calendar, Period

__all__ = ["DEFAULT", "Calendrical", "Counted", "Fits", "Lifetime", "SessionLifetime", "Sums"]

DEFAULT = "default"
"""The session of calls that name none."""

PERIODS_KEPT = 3
"""Calendar periods whose sums are kept: the running one and, should the clock step back or a
call end late, the two before."""

Fits = Callable[[Decimal], bool]
"""Whether an amount spent leaves room."""

_add = EXACT.add


class Sums(Protocol):
    """What there is to see of one window."""

    def spent(self, key: str, now: datetime) -> Decimal:
        """What counts in the window that holds at ``now``."""

    def keys(self, now: datetime) -> Iterable[str]:
        """Keys with something in the window, the last used first. Not to be kept: it is over at
        the next change."""

    def changes_at(self, key: str, now: datetime) -> datetime | None:
        """When ``spent`` next changes by time alone; None: never."""

    def resets_at(self, key: str, now: datetime) -> datetime | None:
        """When it all starts at nothing again; None: never, or bit by bit."""

    def frees_at(self, key: str, now: datetime, fits: Fits) -> datetime | None:
        """When ``spent`` first fits by time alone; None: never."""


class Counted(Protocol):
    """What amounts are counted in."""

    def add(self, key: str, at: datetime, amount: Decimal) -> None:
        """Count an amount that belongs to the instant ``at``; it may be negative."""

    def clear(self, key: str) -> None:
        """Start this key again at nothing."""

    def everything(self) -> Iterable[str]:
        """Every key with an amount that may still count at some instant; some come twice."""

    def dump(self) -> Any:
        """A value that JSON can hold; amounts as decimal text."""

    def load(self, data: Any) -> None:
        """The reverse of ``dump``.

        Raises:
            ValueError, TypeError, ArithmeticError, AttributeError: not what ``dump`` gave.
        """


class Lifetime:
    """No window: everything counts, for ever."""

    def __init__(self) -> None:
        self.totals: dict[str, Decimal] = {}
        """In the order of last use."""

    def spent(self, key: str, now: datetime) -> Decimal:
        return self.totals.get(key, ZERO)

    def add(self, key: str, at: datetime, amount: Decimal) -> None:
        totals = self.totals
        totals[key] = _add(totals.pop(key, ZERO), amount)

    def clear(self, key: str) -> None:
        if key in self.totals:
            self.totals[key] = ZERO

    def keys(self, now: datetime) -> Iterable[str]:
        return reversed(self.totals)

    def everything(self) -> Iterable[str]:
        return self.totals

    def changes_at(self, key: str, now: datetime) -> datetime | None:
        return None

    def resets_at(self, key: str, now: datetime) -> datetime | None:
        return self.changes_at(key, now)

    def frees_at(self, key: str, now: datetime, fits: Fits) -> datetime | None:
        return None

    def dump(self) -> Any:
        return _texts(self.totals)

    def load(self, data: Any) -> None:
        self.totals = _amounts(data)


class Calendrical:
    """Calendar days, weeks or months."""

    def __init__(self, calendar: Calendar, kind: str) -> None:
        self._calendar = calendar
        self._kind = kind
        self._sums: dict[datetime, dict[str, Decimal]] = {}
        """By start of period; none of them is empty."""
        self._period = _NO_PERIOD
        self._now: dict[str, Decimal] = {}

    def spent(self, key: str, now: datetime) -> Decimal:
        start, end = self._period
        if not start <= now < end:
            self._turn(now)
        return self._now.get(key, ZERO)

    def add(self, key: str, at: datetime, amount: Decimal) -> None:
        start, end = self._period
        if not start <= at < end:
            self._turn(at)
        sums = self._now
        if sums or self._keeps(sums):
            sums[key] = _add(sums.pop(key, ZERO), amount)

    def clear(self, key: str) -> None:
        for sums in self._sums.values():
            if key in sums:
                sums[key] = ZERO

    def keys(self, now: datetime) -> Iterable[str]:
        self._turn(now)
        return reversed(self._now)

    def everything(self) -> Iterable[str]:
        return chain.from_iterable(self._sums.values())

    def changes_at(self, key: str, now: datetime) -> datetime | None:
        return self._calendar.period(self._kind, now).end

    def resets_at(self, key: str, now: datetime) -> datetime | None:
        return self.changes_at(key, now)

    def frees_at(self, key: str, now: datetime, fits: Fits) -> datetime | None:
        return self._calendar.period(self._kind, now).end if fits(ZERO) else None

    def dump(self) -> Any:
        return [
            [int(start.timestamp()), _texts(sums)] for start, sums in sorted(self._sums.items())
        ]

    def load(self, data: Any) -> None:
        self._sums = {
            self._calendar.period(self._kind, datetime.fromtimestamp(start, timezone.utc)).start: (
                _amounts(sums)
            )
            for start, sums in data
            if sums
        }
        self._period, self._now = _NO_PERIOD, {}

    def _turn(self, at: datetime) -> None:
        self._period = self._calendar.period(self._kind, at)
        self._now = self._sums.get(self._period.start, {})

    def _keeps(self, sums: dict[str, Decimal]) -> bool:
        """Whether the period at hand is still recent enough to be kept; then it is."""
        kept, start = self._sums, self._period.start
        if len(kept) >= PERIODS_KEPT:
            oldest = min(kept)
            if start < oldest:
                return False
            del kept[oldest]
        kept[start] = sums
        return True


class SessionLifetime(Lifetime):
    """Sessions for life, but the session ``default`` by calendar day (contract 8)."""

    def __init__(self, calendar: Calendar) -> None:
        super().__init__()
        self._days = Calendrical(calendar, "day")

    def spent(self, key: str, now: datetime) -> Decimal:
        if key == DEFAULT:
            return self._days.spent(key, now)
        return self.totals.get(key, ZERO)

    def add(self, key: str, at: datetime, amount: Decimal) -> None:
        if key == DEFAULT:
            self._days.add(key, at, amount)
        else:
            totals = self.totals
            totals[key] = _add(totals.pop(key, ZERO), amount)

    def clear(self, key: str) -> None:
        self._days.clear(key)
        super().clear(key)

    def keys(self, now: datetime) -> Iterable[str]:
        return chain(self._days.keys(now), super().keys(now))

    def everything(self) -> Iterable[str]:
        return chain(self._days.everything(), super().everything())

    def changes_at(self, key: str, now: datetime) -> datetime | None:
        return self._days.changes_at(key, now) if key == DEFAULT else None

    def frees_at(self, key: str, now: datetime, fits: Fits) -> datetime | None:
        return self._days.frees_at(key, now, fits) if key == DEFAULT else None

    def dump(self) -> Any:
        return [super().dump(), self._days.dump()]

    def load(self, data: Any) -> None:
        totals, days = data
        self._days.load(days)
        super().load(totals)


_NO_PERIOD = Period(LATEST, LATEST)


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {key: str(amount) for key, amount in amounts.items()}


def _amounts(texts: Mapping[str, Any]) -> dict[str, Decimal]:
    return {str(key): usd(text) for key, text in texts.items()}
