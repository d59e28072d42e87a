"""Prices: USD for what a response used, exactly as its vendor computes it.

``PriceTable.builtin()`` is the reviewed table of the package; ``with_overrides`` lays a user's
own rows over it. ``resolve`` says which row a model's name means, ``cost`` what a reading costs,
``explain`` how that comes about line by line, ``typical`` what a model plainly costs. The rules
and their sources: ``docs/money.md``.
"""

from __future__ import annotations

from abg.pricing.ceiling import Ceiling, Openness
from abg.pricing.cost import Cost, CostLine
from abg.pricing.rates import KINDS, Rates
from abg.pricing.rows import TIERS, Model, Row
from abg.pricing.table import Match, PriceTable, Typical

__all__ = [
    "KINDS",
    "TIERS",
    "Ceiling",
    "Cost",
    "CostLine",
    "Match",
    "Model",
    "Openness",
    "PriceTable",
    "Rates",
    "Row",
    "Typical",
]
