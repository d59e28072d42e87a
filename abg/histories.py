"""What is remembered of each session's recent calls, for estimates; bounded."""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal

from abg.call import Call
from abg.estimate import History, Rates, estimate
from abg.usage import Reading

__all__ = ["Histories"]

MOST = 4096
"""Sessions remembered; one that was forgotten is estimated as a new one."""

UNKNOWN = History()


class Histories:
    """One ``History`` a session, the least recently used ones forgotten."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._histories: OrderedDict[str, History] = OrderedDict()

    def __len__(self) -> int:
        return len(self._histories)

    def estimate(self, session: str, call: Call, rates: Rates) -> Decimal:
        """USD that a call of this session will probably cost, on the dear side."""
        return estimate(call, rates, self._histories.get(session))

    def weight(self, session: str) -> float:
        """Plain input tokens that a byte of this session's bodies probably comes to."""
        return (self._histories.get(session) or UNKNOWN).weight

    def learn(self, session: str, call: Call, reading: Reading, cost: Decimal) -> None:
        """Remember a call whose usage was measured."""
        history = self._histories.get(session)
        if history is None:
            history = self._histories[session] = History()
            if len(self._histories) > self._most:
                self._histories.popitem(last=False)
        else:
            self._histories.move_to_end(session)
        history.add(call, reading, cost)
