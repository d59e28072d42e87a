"""What came of many swarms under one kind of enforcement: overshoot, and what was left unused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from abg.simulate.mix import PICO
from abg.simulate.swarm import Outcome

__all__ = ["Report", "quantile"]

PARALLEL = ((1, 1), (2, 4), (5, 9), (10, 15), (16, 16))
"""Rows of the report: how many calls run at once."""

TENTH = Decimal(10)


class Report:
    """Gathers outcomes; ``lines`` tells them."""

    def __init__(self, enforcement: str) -> None:
        self.enforcement = enforcement
        self.sessions = self.calls = self.waited = self.busy = self.crashes = 0
        self._over: dict[int, list[tuple[Decimal, Decimal]]] = {}
        self._used: dict[tuple[int, bool], list[Decimal]] = {}

    def add(self, outcome: Outcome) -> None:
        plan = outcome.plan
        self.sessions += plan.sessions
        self.calls += outcome.calls
        self.waited += outcome.waited
        self.busy += outcome.busy
        self.crashes += outcome.crashes
        over = (outcome.over / outcome.dearest, outcome.over / outcome.mean)
        self._over.setdefault(plan.threads, []).append(over)
        for limit, spent, need in outcome.used:
            small = need * TENTH <= limit
            share = min(spent, limit) / limit
            if limit == Decimal(plan.cap) / PICO:
                self._used.setdefault((int(limit), small), []).append(share)

    def overshoot(self, first: int, last: int) -> tuple[list[Decimal], list[Decimal]]:
        """By how much swarms of that many threads crossed their cap, least first: in units of
        the dearest call of each run, and of its mean call."""
        pairs = [pair for n in range(first, last + 1) for pair in self._over.get(n, ())]
        return sorted(dearest for dearest, _ in pairs), sorted(mean for _, mean in pairs)

    def used(self, cap: int, *, small: bool) -> list[Decimal]:
        """Shares of the session caps that were used when agents were refused, least first.

        Args:
            cap: USD.
            small: those where the refused call needed at most a tenth of the cap; else the rest.
        """
        return sorted(self._used.get((cap, small), ()))

    def lines(self) -> Iterator[str]:
        yield (
            f"{self.enforcement}: {self.sessions} sessions, {self.calls} requests, "
            f"{self.waited} waited, {self.busy} refused as busy, {self.crashes} crashes"
        )
        for first, last in PARALLEL:
            dearest, mean = self.overshoot(first, last)
            if dearest:
                span = f"{first}" if first == last else f"{first}-{last}"
                yield (
                    f"  {span:>5} parallel, {len(dearest):5} runs: over the cap by "
                    f"{_shown(dearest)} dearest calls; {_shown(mean)} mean calls"
                )
        for cap in sorted({cap for cap, _ in self._used}):
            for small in (True, False):
                used = self.used(cap, small=small)
                if used:
                    which = "up to" if small else "over"
                    yield (
                        f"  ${cap} caps, refused call needs {which} a tenth, {len(used)} sessions: "
                        f"used {sum(used) / len(used):.1%} on average, {used[0]:.1%} at least"
                    )


def quantile(ordered: Iterable[Decimal], share: float) -> Decimal:
    """Of values in order, the nearest rank."""
    values = list(ordered)
    return values[min(len(values) - 1, int(share * len(values)))]


def _shown(ordered: list[Decimal]) -> str:
    median, most = quantile(ordered, 0.5), quantile(ordered, 0.99)
    return f"median {median:.2f}, p99 {most:.2f}, at most {ordered[-1]:.2f}"
