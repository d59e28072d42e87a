"""What is asked of the book and what it answers: values only."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from attrs import frozen

from abg.call import Scope
from abg.finding import Finding
from abg.making import made_at_once

__all__ = ["Ask", "Decision", "Hold", "Settled", "Status", "Verdict"]


class Verdict(Enum):
    """Whether a call passes."""

    ALLOW = "allow"
    BLOCK = "block"
    WAIT = "wait"


@made_at_once
@frozen
class Ask:
    """One call asks to pass."""

    id: str
    scope: Scope
    hold: Decimal
    """USD it would hold: an estimate of its cost, in strict mode a proven bound."""
    floor: Decimal
    """The least hold that makes sense (strict: the bound at the minimum output); else ``hold``."""
    fingerprint: bytes | None = None
    """Of its last message, for the loop breaker."""
    thread: str = ""
    may_wait: bool = True
    unfit: Finding | None = None
    """Why it may not pass, whatever is left of the budgets."""


@made_at_once
@frozen
class Decision:
    """The answer."""

    verdict: Verdict
    hold: Decimal
    """USD that it holds now: in strict mode anything from ``floor`` to ``hold``."""
    at: datetime
    """Its instant: of an admitted call the time of admission, in whole milliseconds, which
    decides its day and its windows."""
    findings: tuple[Finding, ...] = ()
    """Every budget that blocks it, or for which it waits."""
    would_block: tuple[Finding, ...] = ()
    """Every budget that would have blocked it if blocking were on."""

    @property
    def busy(self) -> bool:
        """Refused, or waiting, only for what others hold."""
        return bool(self.findings) and all(f.why == "held" for f in self.findings)

    @property
    def final(self) -> bool:
        """It would be the same if the call held less."""
        if self.verdict is not Verdict.BLOCK:
            return self.verdict is Verdict.ALLOW
        return any(f.why == "spent" and f.kind != "request" for f in self.findings)


@frozen
class Settled:
    """How things stand after a call has ended."""

    session_total: Decimal
    """Of its session; of ``default`` for the day of its admission."""
    today_total: Decimal
    warnings: tuple[Finding, ...] = ()
    """Budgets whose spend has reached a warning, this call included."""


@frozen
class Hold:
    """What one running call holds."""

    id: str
    scope: Scope
    amount: Decimal
    since: datetime


@frozen
class Status:
    """The book at one moment, for people and programs."""

    sessions: dict[str, Decimal]
    """What each session has spent, the last used first; ``default`` today."""
    today_total: Decimal
    budgets: list[dict[str, Any]]
    """One row for each budget and account that was used lately (``docs/budgets.md``)."""
    blocked: list[str]
    """Sessions blocked by hand; ``*``: all."""
