"""USD as exact decimals: the one place where text becomes money and money becomes text."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal

__all__ = ["ZERO", "as_written", "is_meant", "show", "show_exactly", "usd"]

ZERO = Decimal(0)

# Sums must stay exact: a cost has up to 16 places, a ledger up to 10^12 USD.
EXACT = Context(prec=60)
_HIGHEST, _LOWEST = 15, -40
"""Powers of ten: what is beyond is nobody's money, and ``1e999999999`` is a gigabyte as text."""
DEAREST = Decimal(10) ** 12
"""USD; a limit beyond it is a slip of the keyboard."""
PLACES = 12
"""Decimals of a limit at most: with more it would be shown as nothing."""
# Decimal also takes spaces, 1_000 and the digits of every script.
_WRITTEN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_UNITS = [Decimal(1).scaleb(-places) for places in range(13)]


def usd(value: str | int | Decimal) -> Decimal:
    """A finite amount of USD from its decimal text.

    Raises:
        ValueError: not a finite decimal number, one beyond 10^15 or with more than 40 places,
            or a float (which is no exact amount).
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError(f"not an exact decimal amount: {value!r}")
    if isinstance(value, str) and not _WRITTEN.fullmatch(value):
        raise ValueError(f"not a decimal amount: {as_written(value)}")
    amount = Decimal(value)
    if not amount.is_finite():
        raise ValueError(f"not a finite amount: {value!r}")
    places = amount.as_tuple().exponent
    if not (isinstance(places, int) and places >= _LOWEST and amount.adjusted() <= _HIGHEST):
        raise ValueError(f"not an amount of money: {str(amount)[:40]}")
    return amount


def is_meant(limit: Decimal) -> bool:
    """Whether a person can mean this as a limit, or as what it is raised by."""
    places = limit.as_tuple().exponent
    return limit <= DEAREST and isinstance(places, int) and places >= -PLACES


def show(amount: Decimal, places: int = 2) -> str:
    """``$5.14``: rounded half up, as people read prices; a negative one is ``-$0.10``."""
    rounded = amount.quantize(_UNITS[places], ROUND_HALF_UP, EXACT)
    text = str(rounded)
    if text[0] != "-" and "E" not in text:
        return f"${text}"
    return f"-${abs(rounded):f}" if rounded < 0 else f"${rounded.copy_abs():f}"


def show_exactly(amount: Decimal) -> str:
    """The amount in full, without exponent and trailing zeros: ``0.019143``, ``0``."""
    text = f"{amount:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def as_written(value: object) -> str:
    """A wrong value in a message, as its user wrote it: ``1.5``, ``'x'``, ``true``, ``nothing``."""
    if value is None:
        return "nothing"
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    if isinstance(value, Decimal):
        text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
