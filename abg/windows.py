"""Windows of time over which a budget counts: for ever, the last minutes, a calendar day.

A rolling window of length *n* holds at instant *t* what happened in ``(t - n, t]``: an amount
leaves exactly *n* after it came. A calendar period is ``[start, end)`` in a time zone; it begins
at the first midnight of its first date, and where daylight saving leaves that midnight out, at
the end of the gap. Values and pure functions: time is handed in.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple

from attrs import frozen

__all__ = ["DAY", "LIFETIME", "Calendar", "Period", "Window", "instant", "parse_window"]

CALENDAR_KINDS = ("day", "week", "month")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_ROLLING = timedelta(days=366)

EARLIEST = datetime(1971, 1, 1, tzinfo=timezone.utc)
LATEST = datetime(9000, 1, 1, tzinfo=timezone.utc)
"""Instants beyond these (a ledger line made by hand) count as these: near the ends of what a
``datetime`` can hold no zone can be applied."""

_MILLISECOND = 1000
_STEP = timedelta(days=1)


@frozen
class Window:
    """One kind of window; ``str`` of it is what stands in the configuration."""

    kind: str
    """``lifetime``, ``rolling``, ``day``, ``week`` or ``month``."""
    length: timedelta = timedelta(0)
    """Of a rolling window."""
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.kind


LIFETIME = Window("lifetime")
DAY = Window("day")


def parse_window(text: str) -> Window:
    """``lifetime``, ``day``, ``week``, ``month``, or a rolling ``90s``, ``10m``, ``6h``, ``7d``.

    Raises:
        ValueError: none of these; its text says which there are.
    """
    if text == "lifetime" or text in CALENDAR_KINDS:
        return Window(text)
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found:
        length = timedelta(seconds=int(found[1]) * UNITS[found[2]])
        if timedelta(0) < length <= LONGEST_ROLLING:
            return Window("rolling", length, text)
        raise ValueError("a rolling window is between 1s and 366d long")
    raise ValueError("a window is lifetime, day, week, month, or a time such as 90s, 10m, 6h")


class Period(NamedTuple):
    """From ``start`` to just before ``end``, both UTC."""

    start: datetime
    end: datetime


class Calendar:
    """Days, weeks (from Monday) and months as a time zone has them.

    Periods of one kind follow one another without gap or overlap, also over the nights in which
    the clocks are changed.
    """

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self._last: dict[str, Period] = {}

    def period(self, kind: str, at: datetime) -> Period:
        """The period of that kind (``day``, ``week``, ``month``) in which an instant lies."""
        last = self._last.get(kind)
        if last is not None and last.start <= at < last.end:
            return last
        at = min(max(at, EARLIEST), LATEST)
        first = _first_date(kind, at.astimezone(self.zone).date())
        start = self._begins(first)
        # Where the clocks go back over midnight a date comes twice; the first one begins it.
        while at < start:
            first = _first_date(kind, first - _STEP)
            start = self._begins(first)
        while True:
            after = _next_date(kind, first)
            end = self._begins(after)
            if at < end:
                break
            first, start = after, end
        found = self._last[kind] = Period(start, end)
        return found

    def _begins(self, day: date) -> datetime:
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        return midnight.astimezone(timezone.utc)


def instant(at: datetime) -> datetime:
    """The instant in UTC and whole milliseconds, as the ledger keeps it, where a window can hold
    it."""
    if not EARLIEST.year <= at.year < LATEST.year:
        return EARLIEST if at.year < EARLIEST.year else LATEST
    if at.tzinfo is not timezone.utc:
        at = at.astimezone(timezone.utc)
    rest = at.microsecond % _MILLISECOND
    return at.replace(microsecond=at.microsecond - rest) if rest else at


def _first_date(kind: str, day: date) -> date:
    if kind == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if kind == "month" else day


def _next_date(kind: str, first: date) -> date:
    if kind == "month":
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=7 if kind == "week" else 1)
