"""What people changed at run time: raised limits, and the kill switch.

Folded from the ledger's events (``raise``, ``block``, ``unblock``), so that it survives a restart.
A line that cannot be understood changes nothing.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from heapq import merge
from typing import Any

from attrs import frozen

from abg.ledger import Event
from abg.money import EXACT, ZERO, usd
from abg.rules import Check
from abg.windows import instant

__all__ = ["EVERYBODY", "Overrides", "Raise"]

EVERYBODY = "*"
OWN = ""
"""Stands for the session's own budget, whichever row that is."""

EXPIRED_KEPT = timedelta(days=1)
"""How long a raise that has run out is kept, should the clock step back."""

LONGEST_RAISE = timedelta(days=36500)


@frozen
class Raise:
    """One change of a limit."""

    budget: str
    """Its name; empty: the session's own budget."""
    key: str | None
    """The account whose limit it is; None: every one of that budget."""
    by: Decimal | None
    to: Decimal | None
    """Either more than before, or this much."""
    until: datetime | None
    configured: Decimal | None
    """The configured limit that was raised: once that is changed, the raise is void."""
    at_most: bool = False
    """``to`` only lowers: where the limit is lower already, it stays."""

    def replaces(self, other: Raise) -> bool:
        """Whether an earlier change of the same accounts no longer matters, now or later."""
        if self.to is None or self.until is not None:
            return False
        if self.configured is not None and self.configured != other.configured:
            return False
        if not self.at_most:
            return True
        return other.at_most and other.to is not None and other.to >= self.to

    def applied(self, limit: Decimal | None) -> Decimal | None:
        """The limit after this change."""
        if self.to is not None:
            return min(limit, self.to) if self.at_most and limit is not None else self.to
        if self.by is None or limit is None:
            return limit
        return max(ZERO, EXACT.add(limit, self.by))


_Place = tuple[str, "str | None"]
"""A budget's name and an account's key, as in ``Raise``."""

_Made = tuple[int, Raise]
"""In which order, and what."""


class Overrides:
    """Raised limits and blocked sessions.

    Changes are kept by the accounts that they concern, so that a decision looks at its own only:
    ten thousand sessions with a budget each cost it nothing.
    """

    def __init__(self) -> None:
        self.blocked: dict[str, None] = {}
        """Sessions, or ``EVERYBODY``."""
        self.granted: set[str] = set()
        """Tokens of abg's own whose budgets their sessions were given."""
        self._raises: dict[_Place, list[_Made]] = {}
        self.names: set[str] = set()
        """Of the budgets that may have been raised."""
        self._ends: list[tuple[datetime, int, _Place]] = []
        """When changes for a time run out, the next one first; some may be replaced by now."""
        self._made = 0

    def apply(self, event: Event) -> None:
        """Fold an event; other kinds are ignored."""
        if event.event == "raise":
            token = event.data.get("token")
            if isinstance(token, str):
                self.granted.add(token)
            found = _read_raise(event.data, instant(event.ts))
            if found is not None:
                self._forget(instant(event.ts) - EXPIRED_KEPT)
                self._keep(found)
        elif event.session_id is not None:
            if event.event == "block":
                self.blocked[event.session_id] = None
            elif event.event == "unblock" and event.session_id == EVERYBODY:
                self.blocked.clear()
            elif event.event == "unblock":
                self.blocked.pop(event.session_id, None)

    def blocks(self, session: str) -> str | None:
        """By whose name the session is blocked: its own, ``EVERYBODY``, or None."""
        if session in self.blocked:
            return session
        return EVERYBODY if EVERYBODY in self.blocked else None

    def touches(self, check: Check) -> bool:
        """Whether some account's limit may differ from the configured one."""
        names = self.names
        return bool(names) and (check.name in names or (check.kind == "session" and OWN in names))

    def limit(self, check: Check, key: str, now: datetime) -> Decimal | None:
        """The limit in force for one account."""
        limit = configured = check.limit
        if check.requests:
            return limit
        for _, change in self._concerning(check, key):
            if change.until is not None and now >= change.until:
                continue
            if change.configured is None or change.configured == configured:
                limit = change.applied(limit)
        return limit

    def ends_after(self, now: datetime) -> datetime | None:
        """When the next raise runs out."""
        at = bisect_right(self._ends, now, key=_end)
        return self._ends[at][0] if at < len(self._ends) else None

    def dump(self) -> dict[str, Any]:
        made = sorted(
            (one for some in self._raises.values() for one in some), key=lambda one: one[0]
        )
        return {
            "blocked": list(self.blocked),
            "granted": sorted(self.granted),
            "raises": [
                [
                    r.budget,
                    r.key,
                    _text(r.by),
                    _text(r.to),
                    None if r.until is None else r.until.isoformat(),
                    _text(r.configured),
                    r.at_most,
                ]
                for _, r in made
            ],
        }

    def load(self, data: Mapping[str, Any]) -> None:
        """The reverse of ``dump``.

        Raises:
            KeyError, ValueError, TypeError: not what ``dump`` gave.
        """
        raises = [
            Raise(
                budget,
                key,
                _amount(by),
                _amount(to),
                None if until is None else instant(datetime.fromisoformat(until)),
                _amount(configured),
                at_most is True,
            )
            for budget, key, by, to, until, configured, at_most in data["raises"]
        ]
        self.blocked = dict.fromkeys(str(name) for name in data["blocked"])
        # A dump of an earlier version has none of them.
        self.granted = {str(token) for token in data.get("granted", ())}
        self._raises, self._ends, self.names, self._made = {}, [], set(), 0
        for change in raises:
            self._keep(change)

    # -- inside ------------------------------------------------------------------------------

    def _keep(self, change: Raise) -> None:
        place = (change.budget, change.key)
        earlier = self._raises.get(place, [])
        self._made += 1
        kept = [made for made in earlier if not change.replaces(made[1])]
        self._raises[place] = [*kept, (self._made, change)]
        self.names.add(change.budget)
        if change.until is not None:
            insort(self._ends, (change.until, self._made, place), key=_end)

    def _forget(self, horizon: datetime) -> None:
        """Let go of what ran out before an instant."""
        gone = bisect_right(self._ends, horizon, key=_end)
        for _, number, place in self._ends[:gone]:
            kept = [made for made in self._raises.get(place, ()) if made[0] != number]
            if kept:
                self._raises[place] = kept
            else:
                self._raises.pop(place, None)
        del self._ends[:gone]
        if gone:
            self.names = {budget for budget, _ in self._raises}

    def _concerning(self, check: Check, key: str) -> Iterable[_Made]:
        """The changes that concern an account, in the order in which they were made."""
        get = self._raises.get
        found = [some for some in (get((check.name, key)), get((check.name, None))) if some]
        if check.kind == "session":
            own = get((OWN, key))
            if own:
                found.append(own)
        if len(found) < 2:
            return found[0] if found else ()
        return merge(*found, key=_number)


def _number(made: _Made) -> int:
    return made[0]


def _end(of: tuple[datetime, int, _Place]) -> datetime:
    return of[0]


def _read_raise(data: Mapping[str, Any], at: datetime) -> Raise | None:
    budget, session = data.get("budget"), data.get("session_id")
    if not isinstance(budget, str) and not isinstance(session, str):
        return None
    try:
        by, to = _amount(data.get("by_usd")), _amount(data.get("to_usd"))
        configured = _amount(data.get("configured_usd"))
        seconds = _amount(data.get("for_seconds"))
        until = None
        if seconds is not None:
            until = at + min(timedelta(seconds=float(seconds)), LONGEST_RAISE)
    except (ValueError, OverflowError):
        return None
    if by is None and to is None:
        return None
    if to is not None:
        to = max(ZERO, to)
    if budget == "daily":
        session = None  # there is one day for all
    return Raise(
        budget if isinstance(budget, str) else OWN,
        session if isinstance(session, str) else None,
        by,
        to,
        None if until is None else instant(until),
        configured,
        data.get("at_most") is True,
    )


def _amount(value: Any) -> Decimal | None:
    return None if value is None else usd(value)


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
