"""One simulated call: what it would hold, and what it comes to."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from abg.money import ZERO
from abg.simulate.mix import MODELS, Model, Turn
from abg.usage import Usage

__all__ = ["RATES", "Run", "input_bound", "input_cost", "usage"]

COUNTER_MARGIN = 102
"""Percent of what a vendor's counter says, and the tokens that are added."""
COUNTER_TOKENS = 512


class Run:
    """One call that asks, waits or runs."""

    __slots__ = (
        "asked",
        "at",
        "floor",
        "held",
        "hold",
        "id",
        "limit",
        "number",
        "retries",
        "session",
        "turn",
    )

    def __init__(
        self, id: str, number: int, session: int, turn: Turn, retries: int, asked: datetime
    ) -> None:
        self.id = id
        self.number = number
        """Of its thread."""
        self.session = session
        self.turn = turn
        self.retries = retries
        self.asked = self.at = asked
        self.hold = self.floor = self.held = ZERO
        self.limit = turn.allowance
        """Output tokens that it may have."""


class Rates:
    """A model's rates as an estimate wants them: USD per million tokens."""

    def __init__(self, model: Model) -> None:
        self.input, self.output = Decimal(model.input) / 10**6, Decimal(model.output) / 10**6
        self.cache_write = Decimal(model.cache_write) / 10**6


RATES = {model.name: Rates(model) for model in MODELS}


def input_bound(turn: Turn) -> int:
    """Every token, as a vendor's counter says with its margin, at the dearest rate."""
    return (turn.context * COUNTER_MARGIN // 100 + COUNTER_TOKENS) * turn.model.dearest_input


def input_cost(turn: Turn) -> int:
    model = turn.model
    return turn.cached * model.cache_read + (turn.context - turn.cached) * model.cache_write


def usage(turn: Turn, output: int) -> Usage:
    return Usage(
        cache_read_tokens=turn.cached,
        cache_write_5m_tokens=turn.context - turn.cached,
        output_tokens=output,
    )
