"""Counts as they stand on the wire, made safe: whole, not negative, not absurd.

A count that cannot be is read dear and leaves the mark ``clamped``; it never lowers a total and
never raises. Sources of the fields: the vendors' SDKs (anthropic 2.13, openai 3.57).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["CLAMPED", "MOST", "SEARCH_ASSUMED", "Counts", "count_of", "mapping", "text"]

CLAMPED = "clamped"
SEARCH_ASSUMED = "search_assumed"
"""One search is charged because such a call makes one; its answer does not count them."""
MOST = 10**9
"""No call reads or writes as many tokens."""
_NOTHING: Mapping[str, Any] = {}


class Counts:
    """Reads counts, and remembers whether one of them was impossible."""

    __slots__ = ("odd",)

    def __init__(self) -> None:
        self.odd = False

    def get(self, source: Mapping[str, Any], name: str) -> int | None:
        """The count of this name; None if it is missing, null, or no count at all."""
        value = source.get(name)
        if type(value) is int and 0 <= value <= MOST:
            return value
        return None if value is None else self._unusual(value)

    def whole(self, source: Mapping[str, Any], name: str) -> int:
        """The count of this name; 0 where there is none."""
        return self.get(source, name) or 0

    def _unusual(self, value: object) -> int | None:
        if isinstance(value, str):
            self.odd = True
            try:
                value = float(value)
            except ValueError:
                return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.odd = True
            return None
        if not value >= 0:  # NaN compares with nothing
            self.odd = True
            return None
        if value > MOST:
            self.odd = True
            return MOST
        count = math.ceil(value)
        if count != value:
            self.odd = True
        return count


def count_of(value: object) -> int | None:
    """What ``Counts.get`` makes of this value, where no mark is to be left."""
    if value is None or (type(value) is int and 0 <= value <= MOST):
        return value
    return Counts().get({"": value}, "")


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else _NOTHING


def text(value: object) -> str | None:
    """The value if it is a text that says something, else None."""
    return value if isinstance(value, str) and value else None
