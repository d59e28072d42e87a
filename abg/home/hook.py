"""What Claude Code's hooks are answered: a word to the user, and, if asked for, to the model.

Pure: the status comes in, the answer and what was told so far go out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from attrs import frozen

from abg.commands import unblock
from abg.console import printable
from abg.home.present import many, money
from abg.statusline import Standing, raise_command

__all__ = ["EVENTS", "Told", "answer", "down", "thresholds_of"]

EVENTS = ("SessionStart", "UserPromptSubmit", "PostToolUse")
"""The hooks that may add something for the model to read."""

LAST_WORDS = Decimal("0.95")
"""Beside the configured thresholds: here the model should have finished."""


@frozen
class Told:
    """What was said before in this session, so that each thing is said once."""

    share: Decimal = Decimal(0)
    """The highest threshold so far, as a share of the budget."""
    stopped: str = ""

    @classmethod
    def parse(cls, value: Any) -> Told:
        """From what was kept; anything else is nothing told."""
        if not isinstance(value, dict):
            return cls()
        share, stopped = value.get("share"), value.get("stopped")
        known = isinstance(share, str) and share.replace(".", "", 1).isdecimal()
        return cls(
            Decimal(str(share)) if known else Decimal(0),
            stopped if isinstance(stopped, str) else "",
        )

    def as_dict(self) -> dict[str, str]:
        return {"share": str(self.share), "stopped": self.stopped}


def answer(
    event: str, found: Standing, thresholds: Sequence[Decimal], told: Told, *, to_model: bool
) -> tuple[dict[str, Any], Told]:
    """The JSON for one hook (empty: nothing to say), and what has been told now.

    Args:
        thresholds: shares of the session's budget at which to speak.
        to_model: the model itself is told what is left, too.
    """
    if found.stopped:
        new = Told(told.share, found.stopped)
        # Each prompt that cannot be answered gets the reason; tools in a row get it once.
        if event == "PostToolUse" and told.stopped == found.stopped:
            return {}, new
        return {"systemMessage": _stopped(found)}, new
    passed = _passed(found, (*thresholds, LAST_WORDS))
    if passed < told.share:
        # The budget was raised, or the session reset: from here on it counts anew.
        return {}, Told(passed)
    if passed == told.share:
        return {}, Told(told.share)
    said: dict[str, Any] = {"systemMessage": f"[abg] {_left(found)}"}
    if to_model and event in EVENTS:
        said["hookSpecificOutput"] = {
            "hookEventName": event,
            "additionalContext": _advice(found),
        }
    return said, Told(passed)


def down(event: str, base_url: str) -> dict[str, Any]:
    """While the proxy is down: said once, where a session begins that would wait for it."""
    local = ("http://127.0.0.1", "http://localhost", "http://[::1]")
    if event != "SessionStart" or not base_url.startswith(local):
        return {}
    return {"systemMessage": "[abg] The proxy is not running. Start it with: abg proxy"}


def _passed(found: Standing, thresholds: Sequence[Decimal]) -> Decimal:
    used = [
        spent / limit if limit > 0 else Decimal(1)
        for limit, spent in ((found.limit, found.spent), (found.daily_limit, found.today))
        if limit is not None
    ]
    return max((t for t in thresholds for u in used if u >= t), default=Decimal(0))


def _left(found: Standing) -> str:
    """``$0.62 of $5.00 left, about 12 requests at this pace``."""
    left, limit = found.left, found.limit
    if found.daily_limit is not None and left == max(Decimal(0), found.daily_limit - found.today):
        limit = found.daily_limit
    words = f"{money(left)} of {money(limit)} left"
    if found.requests and found.spent > 0 and left is not None:
        each = found.spent / found.requests
        words += f", about {many(int(left / each), 'request')} at this pace"
    if found.notional:
        words += " (a notional amount: your plan is not charged by it)"
    return words


def _advice(found: Standing) -> str:
    return f"[abg] Budget: {_left(found)}: finish and commit what you have."


def _stopped(found: Standing) -> str:
    if found.stopped == "ledger":
        return "[abg] The ledger cannot be written, so no call passes. See: abg doctor"
    if found.stopped == "blocked":
        way = unblock(printable(found.stopped_by))
        if found.stopped_by == "*":
            return f"[abg] All sessions are blocked. Let them go on with: {way}"
        return f"[abg] This session is blocked. Let it go on with: {way}"
    if found.stopped == "session":
        text = f"Session budget exhausted: {money(found.spent)} >= {money(found.limit)}"
    elif found.stopped == "daily":
        text = f"Daily budget exhausted: {money(found.today)} >= {money(found.daily_limit)}"
    else:
        text = f"Budget {printable(found.stopped_by)} exhausted"
    if found.notional:
        text += " (notional: your plan is not charged by it)"
    if found.locked:
        return f"[abg] {text}. Budgets are locked by the configuration"
    return f"[abg] {text}. Raise it with: {raise_command(found)}"


def thresholds_of(status: Mapping[str, Any], name: str) -> tuple[Decimal, ...]:
    """The session's ``warn_at``, as the status tells it; 0.8 where it does not."""
    for budget in status.get("budgets") or ():
        kind = budget.get("kind", budget.get("name"))
        if kind == "session" and budget.get("key") == name:
            marks = budget.get("warn_at")
            if isinstance(marks, list) and marks:
                return tuple(Decimal(m) for m in marks if isinstance(m, (int, Decimal)))
    return (Decimal("0.8"),)
