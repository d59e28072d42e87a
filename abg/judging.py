"""What the budgets say of a call that asks, given what is spent and held: a pure question.

For each limit *L* that may block, with *S* settled in its window, *H* held by others, and a call
that would hold *n* (and makes sense from *f* on, the floor):

=========== ==================== =========================== ==============================
enforcement exhausted if         waits for others if         else
=========== ==================== =========================== ==============================
after       S >= L               never                       passes, holding n
estimate    S >= L               S < L <= S + H              passes, holding n
strict      S >= L or S + f > L  S + f <= L < S + H + f      passes, holding min(n, L - S - H)
=========== ==================== =========================== ==============================

In strict mode S + H never exceeds L, so that a bound which is kept keeps the limit. Limits on the
number of requests are judged in the same way, each request being 1.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from abg.finding import Finding
from abg.money import EXACT, ZERO
from abg.overrides import Overrides
from abg.rules import Check, Keys, Selection

__all__ = ["Judge", "Judgement"]

ONE = Decimal(1)
_add, _subtract = EXACT.add, EXACT.subtract


class Judgement:
    """What was found; ``spent`` and ``lacking`` hold checks with their figures."""

    __slots__ = ("grant", "lacking", "spent")

    def __init__(self, grant: Decimal) -> None:
        self.grant = grant
        """What the call may hold, if it passes."""
        self.spent: list[Finding] = []
        """Limits under which it cannot pass, whatever becomes of others."""
        self.lacking: list[tuple[Check, Finding]] = []
        """Limits under which it could pass, but for what others hold."""


class Judge:
    """Judges calls under one kind of enforcement."""

    def __init__(self, enforcement: str, overrides: Overrides) -> None:
        if enforcement not in ("estimate", "strict", "after"):
            raise ValueError(f"no such enforcement: {enforcement!r}")
        self.by_need = self._strict = enforcement == "strict"
        """Whether there is room depends on what a call needs, not on the accounts alone."""
        self._after = enforcement == "after"
        self._overrides = overrides

    def judge(
        self, selection: Selection, keys: Keys, hold: Decimal, floor: Decimal, now: datetime
    ) -> Judgement:
        """Ask every limit that may block.

        Args:
            hold: USD that the call would hold.
            floor: USD from which on it makes sense; never more than ``hold``.
        """
        found = Judgement(hold)
        changed = self._overrides.names
        for check in selection.checks:
            key = keys[check.index]
            limit = self.limit(check, key, now) if changed else check.limit
            if limit is None:
                continue
            spent = check.sums.spent(key, now)
            if spent >= limit:
                found.spent.append(_finding(check, key, spent, ZERO, hold, limit, now, "spent"))
                continue
            if self._after:
                continue
            held = check.accounts.held.get(key, ZERO)
            if not self._strict:
                if held and _add(spent, held) >= limit:
                    need = ONE if check.requests else hold
                    finding = _finding(check, key, spent, held, need, limit, now, "held")
                    found.lacking.append((check, finding))
                continue
            need = ONE if check.requests else floor
            room = _subtract(limit, spent)
            if need > room:
                found.spent.append(_finding(check, key, spent, held, need, limit, now, "short"))
                continue
            room = _subtract(room, held)
            if need > room:
                finding = _finding(check, key, spent, held, need, limit, now, "held")
                found.lacking.append((check, finding))
            elif room < found.grant and not check.requests:
                found.grant = room
        if selection.dear:
            self._dear(selection, keys, found, hold, floor)
        return found

    def behind(
        self, check: Check, key: str, need: Decimal, ahead: Decimal, now: datetime
    ) -> Finding:
        """What a call waits for that only has to let earlier ones pass.

        Args:
            need: USD that it needs itself.
            ahead: USD, or requests, that those before it need in this account.
        """
        need = _add(ahead, ONE if check.requests else need)
        limit = self.limit(check, key, now) or ZERO
        spent, held = check.sums.spent(key, now), check.accounts.held.get(key, ZERO)
        return _finding(check, key, spent, held, need, limit, now, "held")

    def warns(self, check: Check, key: str, at: datetime, now: datetime) -> Finding | None:
        """Whether the spend in the window of a call, admitted at ``at``, has reached a warning."""
        limit = self.limit(check, key, now) if self._overrides.names else check.limit
        if limit is None or check.share is None:
            return None
        spent = check.sums.spent(key, now if check.rolling else at)
        if spent < limit * check.share:
            return None
        return Finding(check.name, check.kind, key, spent, limit=limit)

    def warns_of_one(self, selection: Selection, keys: Keys, cost: Decimal) -> list[Finding]:
        """Which limits of one request, that only warn, this one went beyond."""
        return [
            Finding(check.name, check.kind, keys[check.index], needed=cost, limit=check.limit)
            for check in selection.dear_warners
            if check.limit is not None and cost > check.limit
        ]

    def limit(self, check: Check, key: str, now: datetime) -> Decimal | None:
        """The limit in force for an account; None: there is none."""
        overrides = self._overrides
        return overrides.limit(check, key, now) if overrides.touches(check) else check.limit

    def _dear(
        self, selection: Selection, keys: Keys, found: Judgement, hold: Decimal, floor: Decimal
    ) -> None:
        need = floor if self._strict else hold
        for check in selection.dear:
            limit = check.limit
            assert limit is not None
            if need > limit:
                found.spent.append(
                    Finding(check.name, check.kind, keys[check.index], needed=need, limit=limit)
                )
            elif self._strict and limit < found.grant:
                found.grant = limit


def _finding(
    check: Check,
    key: str,
    spent: Decimal,
    held: Decimal,
    needed: Decimal,
    limit: Decimal,
    now: datetime,
    why: str,
) -> Finding:
    frees = None
    if why == "spent":
        frees = check.sums.frees_at(key, now, lambda left: left < limit)
    elif why == "short":
        most = _subtract(limit, needed)
        frees = check.sums.frees_at(key, now, lambda left: left <= most)
    return Finding(check.name, check.kind, key, spent, held, needed, limit, frees, why)
