"""What a cost is: the amount, how sure it is, and the arithmetic behind it."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation

from attrs import fields, frozen

from abg.making import made_at_once
from abg.money import ZERO
from abg.pricing.rates import PRECISE, Rates
from abg.usage import Usage

__all__ = ["MOST_TOKENS", "Cost", "CostLine", "cleaned", "counted", "million_tokens_usd", "plain"]

MOST_TOKENS = 10**12
"""Beyond this a count is no usage of a model; it is charged as this many."""

_FMA = PRECISE.fma
_COUNTS = tuple(field.name for field in fields(Usage))


@made_at_once
@frozen
class Cost:
    """An exact amount of USD for one response."""

    usd: Decimal
    price: str = "table"
    """Whose prices: ``table``, ``user``, or ``assumed`` if the model is unknown."""
    marks: tuple[str, ...] = ()
    """What was not as the table lists it, the reading's own marks included."""


@frozen
class CostLine:
    """One product of the sum: so many tokens (or searches) of a kind at a rate."""

    kind: str
    """A kind of token, or ``web_search``."""
    tokens: int
    usd_per_million: Decimal
    """Multipliers included. For ``web_search`` the amount of a million searches."""
    usd: Decimal
    model: str
    """The row that the rate is from."""
    note: str = ""
    """Tier, band and multipliers where they are not the plain ones; what was assumed."""


def million_tokens_usd(usage: Usage, rates: Rates) -> Decimal:
    """The sum of counts times rates: USD times a million, exact.

    The counts must be ints that are not negative.
    """
    total = ZERO
    if usage.input_tokens:
        total = _FMA(usage.input_tokens, rates.input, total)
    if usage.cache_read_tokens:
        total = _FMA(usage.cache_read_tokens, rates.cache_read, total)
    if usage.output_tokens:
        total = _FMA(usage.output_tokens, rates.output, total)
    if usage.cache_write_5m_tokens:
        total = _FMA(usage.cache_write_5m_tokens, rates.cache_write_5m, total)
    if usage.cache_write_1h_tokens:
        total = _FMA(usage.cache_write_1h_tokens, rates.cache_write_1h, total)
    if usage.cache_write_30m_tokens:
        total = _FMA(usage.cache_write_30m_tokens, rates.cache_write_30m, total)
    if usage.cache_write_12h_tokens:
        total = _FMA(usage.cache_write_12h_tokens, rates.cache_write_12h, total)
    if usage.audio_input_tokens:
        total = _FMA(usage.audio_input_tokens, rates.audio_input, total)
    if usage.audio_output_tokens:
        total = _FMA(usage.audio_output_tokens, rates.audio_output, total)
    if usage.image_output_tokens:
        total = _FMA(usage.image_output_tokens, rates.image_output, total)
    return total


def plain(amount: Decimal) -> Decimal:
    """The same amount without trailing zeros and without a positive exponent: ``0.2251``, ``40``.

    So that equal costs are written equally.
    """
    if not amount:
        return ZERO
    short = amount.normalize(PRECISE)
    # Below ten no exponent is positive, and the way over text costs more than all the rest.
    return short if short.adjusted() < 1 else Decimal(f"{short:f}")


def cleaned(usage: Usage) -> tuple[Usage, bool]:
    """The usage with counts that can be multiplied, and whether any had to be changed.

    The dialects clamp what the wire says; this is the second fence, so that no reading of
    whatever origin raises, or lowers a total.
    """
    try:
        bits = (
            usage.input_tokens
            | usage.cache_read_tokens
            | usage.output_tokens
            | usage.cache_write_5m_tokens
            | usage.cache_write_1h_tokens
            | usage.cache_write_30m_tokens
            | usage.cache_write_12h_tokens
            | usage.audio_input_tokens
            | usage.audio_output_tokens
            | usage.image_output_tokens
        )
        # An or is at least as large as each of its parts, and negative if one of them is.
        if 0 <= bits <= MOST_TOKENS:
            return usage, False
    except TypeError:
        pass
    pairs = [(name, *counted(getattr(usage, name))) for name in _COUNTS]
    return Usage(**{name: value for name, value, _ in pairs}), any(odd for *_, odd in pairs)


def counted(value: object) -> tuple[int, bool]:
    """A count from anything, and whether it was none: no number is 0, a fraction is rounded up."""
    if isinstance(value, int):
        count = min(max(int(value), 0), MOST_TOKENS)
        return count, count != value
    if not isinstance(value, (Decimal, str, float)):
        return 0, True
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return 0, True
    if number.is_nan() or number <= 0:
        return 0, True
    if number >= MOST_TOKENS:
        return MOST_TOKENS, True
    return int(number.to_integral_value(ROUND_CEILING)), True
