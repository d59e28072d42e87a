"""Amounts, times and columns as people read them. Pure text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from abg.console import printable, spoken
from abg.money import show

__all__ = ["Row", "age", "columns", "duration", "many", "moment", "money", "share"]

Row = Sequence[str]


def columns(rows: Iterator[Row] | Sequence[Row]) -> Iterator[str]:
    """Rows as aligned text; a column of amounts or counts stands to the right."""
    table = [tuple(row) for row in rows]
    if not table:
        return
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    right = [
        len(table) > 1 and all(_numeric(row[i]) for row in table[1:]) for i in range(len(widths))
    ]
    for row in table:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
            if width
        ]
        yield "  ".join(cells).rstrip()


def _numeric(cell: str) -> bool:
    # All of it: an id or a session's name may begin with a digit.
    # A star marks a rate that is not listed.
    return cell == "none" or not cell.removesuffix("*").strip("$-0123456789,.%")


def money(amount: Any) -> str:
    """``$5.14``; amounts under ten cents with four places, so that they do not read as zero."""
    value = Decimal(amount)
    return show(value, 4 if 0 < abs(value) < Decimal("0.1") else 2)


def share(spent: Decimal, limit: Any) -> str:
    """``82%`` of a limit, rounded down: 100% is said only when it is reached."""
    if limit is None:
        return ""
    if Decimal(limit) <= 0:
        return "100%"
    return f"{int(spent * 100 / Decimal(limit))}%"


def duration(seconds: Any) -> str:
    """``45s``, ``12m``, ``2h 14m``, ``3d 4h``: two units at most."""
    left = max(0, int(seconds))
    if left < 60:
        return f"{left}s"
    minutes, hours, days = left // 60, left // 3600, left // 86400
    if minutes < 60:
        return f"{minutes}m"
    if hours < 24:
        return f"{hours}h {minutes % 60}m"
    return f"{days}d {hours % 24}h"


def age(then: str, now_seconds: float) -> str:
    """How long ago an ISO time was, as a duration; empty if it is none."""
    from datetime import datetime

    try:
        began = datetime.fromisoformat(then.replace("Z", "+00:00")).timestamp()
    except (ValueError, AttributeError):
        return ""
    return duration(now_seconds - began)


def moment(iso: str) -> str:
    """An ISO time of the proxy's, which is in the user's zone, as people read it."""
    from datetime import datetime

    try:
        return spoken(datetime.fromisoformat(iso.replace("Z", "+00:00")))
    except (ValueError, OverflowError):
        return printable(iso)


def many(number: int, thing: str) -> str:
    """``1 request``, ``3 requests``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
