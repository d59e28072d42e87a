"""Shapes of budgets: budgets that count the same things share their accounts.

A shape is what a budget counts, without its limit: by what, matching what, over which window.
Limits can change without a new count; a change of shapes means counting anew from the ledger.
"""

from __future__ import annotations

import json
from datetime import datetime, tzinfo
from hashlib import sha256
from typing import Any

from attrs import frozen

from abg.accounts import Accounts, Calendrical, Lifetime, SessionLifetime
from abg.budget import Budget
from abg.rolling import Rolling
from abg.windows import DAY, LIFETIME, Calendar, Window

__all__ = ["Shape", "Shapes"]

VERSION = 1
"""Of the rules by which entries are counted; raised when they change."""

_WILD = frozenset("*?[")


@frozen
class Shape:
    """What is counted together."""

    per: str
    match: tuple[tuple[str, tuple[str, ...]], ...]
    window: Window

    @classmethod
    def of(cls, budget: Budget) -> Shape:
        """The shape of a budget, so that those which count the same have the same."""
        match, per = budget.match, budget.per
        globs = dict(match).get("session", ())
        if per == "none" and len(globs) == 1 and not _WILD & set(globs[0]):
            per = "session"  # one name is one session
        # A match on the key itself says which keys there are, not what counts under one.
        return cls(per, tuple(pair for pair in match if pair[0] != per), budget.window)

    def __str__(self) -> str:
        return json.dumps([self.per, self.match, str(self.window)])


class Shapes:
    """The accounts of every shape in use; two are always there."""

    def __init__(self, zone: tzinfo) -> None:
        self._calendar = Calendar(zone)
        self._accounts: dict[tuple[Shape, bool], Accounts] = {}
        self.sessions = SessionLifetime(self._calendar)
        """What each session has spent."""
        self._accounts[_SESSIONS, False] = self.sessions
        self.days = self.accounts(_DAYS)
        """What was spent on each day."""

    @property
    def count(self) -> int:
        return len(self._accounts)

    def accounts(self, shape: Shape, *, requests: bool = False) -> Accounts:
        """The accounts of a shape, in USD or in requests; made at the first asking."""
        found = self._accounts.get((shape, requests))
        if found is None:
            found = self._accounts[shape, requests] = self._make(shape)
        return found

    def of_session(self) -> list[tuple[Accounts, bool]]:
        """Accounts counted by session, or (True) by sub-agent of a session."""
        return [
            (accounts, shape.per == "subagent")
            for (shape, _), accounts in self._accounts.items()
            if shape.per in ("session", "subagent")
        ]

    def dump(self) -> dict[str, Any]:
        return {_name(key): accounts.dump() for key, accounts in self._accounts.items()}

    def load(self, data: dict[str, Any]) -> None:
        """Raises:
        KeyError, …: not a dump of the same shapes.
        """
        for key, accounts in self._accounts.items():
            accounts.load(data[_name(key)])

    def digest(self) -> str:
        """Tells whether a dump was made with the same shapes in the same time zone."""
        zone = self._calendar.zone
        # A zone has no name that can be trusted; what it says of some moments tells it apart.
        years, months = range(2024, 2030), (1, 4, 7, 10)
        moments = [datetime(year, month, 1, tzinfo=zone) for year in years for month in months]
        offsets = [str(moment.utcoffset()) for moment in moments]
        text = "\n".join([str(VERSION), *sorted(map(_name, self._accounts)), *offsets])
        return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]

    def _make(self, shape: Shape) -> Accounts:
        window = shape.window
        if window.kind == "rolling":
            return Rolling(window.length)
        if window.kind != "lifetime":
            return Calendrical(self._calendar, window.kind)
        return SessionLifetime(self._calendar) if shape.per == "session" else Lifetime()


def _name(key: tuple[Shape, bool]) -> str:
    shape, requests = key
    return f"{'requests' if requests else 'usd'} {shape}"


_SESSIONS = Shape("session", (), LIFETIME)
_DAYS = Shape("none", (), DAY)
