"""What a budget has to say about a call, and in which words.

The words are read by people under an agent's prompt and by scripts (contract 16); no vendor's
client reacts to any of them. Shown sums are true as shown: where two places would round ``>``
into ``=``, more places are shown. Values and pure functions.
"""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from attrs import frozen

from abg.money import EXACT, ZERO, show

__all__ = ["Finding"]

MOST_PLACES = 9
_CENT = Decimal("0.01")


@frozen
class Finding:
    """One budget's word on one call."""

    budget: str
    """Name of the budget."""
    kind: str
    """``session`` (what ``abg budget raise --session`` raises), ``daily``, ``budget``,
    ``requests`` (a number of them), ``request`` (one that is too dear), ``blocked`` (by hand),
    ``loop``, ``strict`` (no bound can be proven; ``key`` says of what) or ``unknown_model``."""
    key: str = ""
    """Whose account: a session, a model, …; ``*``: everybody's."""
    spent: Decimal = ZERO
    """USD, or requests, that count in the window."""
    held: Decimal = ZERO
    """What running requests hold."""
    needed: Decimal = ZERO
    """What this request would hold, at least."""
    limit: Decimal = ZERO
    frees_at: datetime | None = None
    """When time alone makes room; None: never."""
    why: str = "spent"
    """``spent``, ``held`` (by running requests) or ``short`` (of what this one may cost)."""

    def message(self) -> str:
        """``Session budget exhausted: $5.14 >= $5.00``."""
        if self.kind in _UNLIMITED:
            return _UNLIMITED[self.kind](self)
        label = self._label
        if self.kind == "request":
            sum_ = _sum([(self.needed, "needed")], self.limit)
            return f"{label} does not cover one request so dear: {sum_}"
        if self.kind == "requests":
            if self.why == "spent":
                return f"{label} exhausted: {self.spent} >= {self.limit} requests"
            return (
                f"{label} held by running requests: "
                f"{self.spent} made + {self.held} running >= {self.limit} requests"
            )
        if self.why == "spent":
            places = _places(self.limit)
            spent, limit = show(self.spent, places), show(self.limit, places)
            return f"{label} exhausted: {spent} >= {limit}"
        if self.why == "short":
            sum_ = _sum([(self.spent, "spent"), (self.needed, "needed")], self.limit)
            return f"{label} does not cover this request: {sum_}"
        terms = [(self.spent, "spent"), (self.held, "held"), (self.needed, "needed")]
        return f"{label} held by running requests: {_sum(terms, self.limit)}"

    def warning(self) -> str:
        """``Budget warning: session=$4.01/5.00``."""
        if self.kind == "requests":
            return f"Budget warning: {self.budget}={self.spent}/{self.limit} requests"
        places = _places(self.limit)
        of = show(self.limit, places).removeprefix("$")
        if self.kind == "request":
            return f"Budget warning: {self.budget}={show(self.needed, places)}/{of} for one request"
        return f"Budget warning: {self.budget}={show(self.spent, places)}/{of}"

    @property
    def _label(self) -> str:
        if self.budget in ("session", "daily"):
            return f"{self.budget.capitalize()} budget"
        return f"Budget '{self.budget}'"


def _blocked(finding: Finding) -> str:
    who = "All sessions are" if finding.key == "*" else "This session is"
    return f"{who} blocked by hand"


def _loop(finding: Finding) -> str:
    return (
        f"The same message was sent {finding.spent} times in a row "
        f"(max_identical_requests: {finding.limit})"
    )


def _strict(finding: Finding) -> str:
    return f"Strict enforcement finds no upper bound for this request: {finding.key}"


def _unknown_model(finding: Finding) -> str:
    return f"Unknown model {finding.key!r} (unknown_model: block)"


_UNLIMITED = {
    "blocked": _blocked,
    "loop": _loop,
    "strict": _strict,
    "unknown_model": _unknown_model,
}


def _sum(terms: list[tuple[Decimal, str]], limit: Decimal) -> str:
    """``$4.70 spent + $0.42 held + $0.31 needed > $5.00``."""
    exact = _compared([amount for amount, _ in terms], limit)
    for places in range(_places(limit), MOST_PLACES + 1):
        unit = Decimal(1).scaleb(-places)
        if _compared([_round(amount, unit) for amount, _ in terms], _round(limit, unit)) == exact:
            break
    sign = ">" if exact > 0 else ">="
    parts = [f"{show(amount, places)} {word}" for amount, word in terms]
    return f"{' + '.join(parts)} {sign} {show(limit, places)}"


def _compared(amounts: list[Decimal], limit: Decimal) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total.compare(limit)


def _round(amount: Decimal, unit: Decimal) -> Decimal:
    return amount.quantize(unit, ROUND_HALF_UP, EXACT)


def _places(limit: Decimal) -> int:
    """Two, or as many as a limit below a cent needs to be seen."""
    if limit >= _CENT or not limit:
        return 2
    return min(MOST_PLACES, max(2, -int(limit.normalize().as_tuple().exponent)))
