"""What people changed at run time: raised limits, and the kill switch.

Folded from the ledger's events (``raise``, ``block``, ``unblock``), so that it survives a restart.
A line that cannot be understood changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import frozen

from abg.ledger import Event
from abg.money import EXACT, usd
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


class Overrides:
    """Raised limits and blocked sessions."""

    def __init__(self) -> None:
        self.blocked: dict[str, None] = {}
        """Sessions, or ``EVERYBODY``."""
        self._raises: list[Raise] = []

    def apply(self, event: Event) -> None:
        """Fold an event; other kinds are ignored."""
        if event.event == "raise":
            found = _read_raise(event.data, instant(event.ts))
            if found is not None:
                now = instant(event.ts)
                kept = [r for r in self._raises if r.until is None or r.until > now - EXPIRED_KEPT]
                self._raises = [*kept, found]
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

    @property
    def raises(self) -> bool:
        """Whether any limit may differ from the configured one."""
        return bool(self._raises)

    def limit(self, check: Check, key: str, now: datetime) -> Decimal | None:
        """The limit in force for one account."""
        limit = check.limit
        if check.requests:
            return limit
        for change in self._raises:
            if self._concerns(change, check, key) and (change.until is None or now < change.until):
                if change.to is not None:
                    limit = change.to
                elif change.by is not None and limit is not None:
                    limit = EXACT.add(limit, change.by)
        return limit

    def ends_after(self, now: datetime) -> datetime | None:
        """When the next raise runs out."""
        ends = [r.until for r in self._raises if r.until is not None and r.until > now]
        return min(ends, default=None)

    def dump(self) -> dict[str, Any]:
        return {
            "blocked": list(self.blocked),
            "raises": [
                [
                    r.budget,
                    r.key,
                    _text(r.by),
                    _text(r.to),
                    None if r.until is None else r.until.isoformat(),
                    _text(r.configured),
                ]
                for r in self._raises
            ],
        }

    def load(self, data: Mapping[str, Any]) -> None:
        """The reverse of ``dump``.

        Raises:
            KeyError, ValueError, TypeError: not what ``dump`` gave.
        """
        self.blocked = dict.fromkeys(str(name) for name in data["blocked"])
        self._raises = [
            Raise(
                budget,
                key,
                _amount(by),
                _amount(to),
                None if until is None else instant(datetime.fromisoformat(until)),
                _amount(configured),
            )
            for budget, key, by, to, until, configured in data["raises"]
        ]

    def _concerns(self, change: Raise, check: Check, key: str) -> bool:
        if change.configured is not None and change.configured != check.limit:
            return False
        if change.budget == OWN:
            return check.kind == "session" and change.key == key
        if change.budget != check.name:
            return False
        return change.key is None or change.key == key or check.kind == "daily"


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
    return Raise(
        budget if isinstance(budget, str) else OWN,
        session if isinstance(session, str) else None,
        by,
        to,
        None if until is None else instant(until),
        configured,
    )


def _amount(value: Any) -> Decimal | None:
    return None if value is None else usd(value)


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
