"""What a call will probably cost, before it runs: the amount that ``enforcement: estimate`` holds.

Not from ``max_tokens`` (agents always ask for the model's limit) but from the body's size, the
model's rates, and what the session's recent calls came to: agents send a growing context again
and again, most of it cached, so that the ratio of cost to size is theirs, and it is learnt. High
quantiles are taken, since what counts is that the running calls of a swarm together do not cost
more than they hold. A pure function; nothing here is exact and nothing has to be.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from decimal import ROUND_UP, Decimal
from typing import Protocol

from abg.call import Call
from abg.money import EXACT
from abg.usage import Reading, Usage

__all__ = ["History", "Rates", "estimate"]

REMEMBERED = 40
"""Recent calls that are looked at."""
QUANTILE = 0.95
_PLACE = [min(n - 1, int(QUANTILE * n)) for n in range(REMEMBERED + 1)]
"""Where the quantile of so many values in order stands."""

BYTES_PER_TOKEN = 3.5
"""Of a body without history: JSON with English and code; the dear side."""
FIRST_WEIGHT = 1.25
"""A first call writes its whole context into the vendor's cache."""
FIRST_OUTPUT_TOKENS = 4000

_WHOLE = Decimal(1)


class Rates(Protocol):
    """What an estimate needs of a model's prices: USD per million tokens."""

    @property
    def input(self) -> Decimal: ...
    @property
    def output(self) -> Decimal: ...


class History:
    """The recent calls of one session, bounded."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, int]] = deque()
        # The same in order of size, kept so: to sort them for each call costs more.
        self._weights: list[float] = []
        self._outputs: list[int] = []
        self.weight = FIRST_WEIGHT / BYTES_PER_TOKEN
        """High quantile of plain input tokens (others by their price) for each byte of body."""
        self.output_tokens = FIRST_OUTPUT_TOKENS
        """High quantile of output."""

    def __len__(self) -> int:
        return len(self._past)

    def add(self, call: Call, reading: Reading, cost: Decimal) -> None:
        """Learn from a call whose usage was measured."""
        usage, past = reading.usage, self._past
        weights, outputs = self._weights, self._outputs
        weight, output = weighed(usage) / (call.body_bytes or 1), usage.output_tokens
        if len(past) == REMEMBERED:
            oldest_weight, oldest_output = past.popleft()
            del weights[bisect_left(weights, oldest_weight)]
            del outputs[bisect_left(outputs, oldest_output)]
        past.append((weight, output))
        insort(weights, weight)
        insort(outputs, output)
        place = _PLACE[len(past)]
        self.weight = weights[place]
        self.output_tokens = outputs[place]


def weighed(usage: Usage) -> float:
    """Input tokens in units of plain input, by the usual ratios of both vendors' prices."""
    return (
        usage.input_tokens
        + usage.audio_input_tokens
        + 0.1 * usage.cache_read_tokens
        + 1.25 * (usage.cache_write_5m_tokens + usage.cache_write_30m_tokens)
        + 2 * usage.cache_write_1h_tokens
        + 2.5 * usage.cache_write_12h_tokens
    )


def estimate(call: Call, rates: Rates, history: History | None) -> Decimal:
    """USD that the call will probably not exceed, to the millionth."""
    known = history if history is not None else _NOTHING
    tokens = int(call.body_bytes * known.weight) + 1
    output = known.output_tokens
    if call.max_output_tokens is not None:
        output = min(output, max(0, call.max_output_tokens) * call.choices)
    total = EXACT.fma(tokens, rates.input, EXACT.multiply(output, rates.output))
    return total.quantize(_WHOLE, ROUND_UP, EXACT).scaleb(-6, EXACT)


_NOTHING = History()
