"""Descriptions of calls: budgets that count the same calls share their accounts.

A description is what a budget counts, without window and limit: by what, matching what. Limits
can change without a new count; other descriptions or windows mean counting anew from the ledger.
"""

from __future__ import annotations

import json
from datetime import datetime, tzinfo
from hashlib import sha256
from typing import Any

from attrs import frozen

from abg.accounts import Accounts
from abg.budget import Budget
from abg.windows import DAY, LIFETIME, Calendar

__all__ = ["Shape", "Shapes"]

VERSION = 1
"""Of the rules by which entries are counted; raised when they change."""

_WILD = frozenset("*?[")


@frozen
class Shape:
    """Which calls are counted together."""

    per: str
    match: tuple[tuple[str, tuple[str, ...]], ...] = ()
    requests: bool = False
    """They are counted by the piece, not in USD."""

    @classmethod
    def of(cls, budget: Budget, *, requests: bool = False) -> Shape:
        """The description of a budget, so that those which count the same have the same."""
        match, per = budget.match, budget.per
        globs = dict(match).get("session", ())
        if per == "none" and len(globs) == 1 and not _WILD & set(globs[0]):
            per = "session"  # one name is one session
        # A match on the key itself says which keys there are, not what counts under one.
        return cls(per, tuple(pair for pair in match if pair[0] != per), requests)

    def __str__(self) -> str:
        return json.dumps([self.per, self.match, self.requests])


class Shapes:
    """The accounts of every description in use; two are always there.

    Every window is asked for before anything is counted.
    """

    def __init__(self, zone: tzinfo) -> None:
        self.calendar = Calendar(zone)
        self._accounts: dict[Shape, Accounts] = {}
        self.by_session = self.accounts(Shape("session"))
        self.sessions = self.by_session.window(LIFETIME)
        """What each session has spent; ``default`` by day."""
        self.all = self.accounts(Shape("none"))
        self.days = self.all.window(DAY)
        """What was spent on each day."""

    @property
    def windows(self) -> int:
        """How many there are in all."""
        return sum(map(len, self._accounts.values()))

    def accounts(self, shape: Shape) -> Accounts:
        """The accounts of a description; made at the first asking."""
        found = self._accounts.get(shape)
        if found is None:
            found = Accounts(self.calendar, by_session=shape.per == "session")
            self._accounts[shape] = found
        return found

    def of_session(self) -> list[tuple[Accounts, bool]]:
        """Accounts counted by session, or (True) by sub-agent of a session."""
        return [
            (accounts, shape.per == "subagent")
            for shape, accounts in self._accounts.items()
            if shape.per in ("session", "subagent")
        ]

    def dump(self) -> dict[str, Any]:
        return {str(shape): accounts.dump() for shape, accounts in self._accounts.items()}

    def load(self, data: dict[str, Any]) -> None:
        """Raises:
        KeyError, ValueError, …: not a dump of the same descriptions and windows.
        """
        for shape, accounts in self._accounts.items():
            accounts.load(data[str(shape)])

    def digest(self) -> str:
        """Tells whether a dump was made with the same windows, in the same time zone."""
        zone = self.calendar.zone
        # A zone has no name that can be trusted; what it says of some moments tells it apart.
        years, months = range(2024, 2030), (1, 4, 7, 10)
        moments = [datetime(year, month, 1, tzinfo=zone) for year in years for month in months]
        told = [str(VERSION), *(str(moment.utcoffset()) for moment in moments)]
        # In order: a dump tells windows apart by their places.
        told += [f"{shape} {accounts.windows}" for shape, accounts in self._accounts.items()]
        return sha256("\n".join(told).encode("utf-8", "backslashreplace")).hexdigest()[:16]
