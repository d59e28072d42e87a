"""The kinds of token, and what each costs once a vendor's rules have filled in what is not listed.

Rates are USD per million tokens. A price row lists only some kinds; the vendors' own rules say
what the others cost (pricing pages of both vendors, as of 2026-11):

- Anthropic: a cache write for five minutes is 1.25 times the input rate, for an hour twice.
- OpenAI: a cache write costs extra only where its price is listed (gpt-5.6 and later: 1.25 times
  input for 30 minutes, 2.5 times for twelve hours); elsewhere it is plain input.
- Both: without a rate for cache reads, cached tokens are input.

Audio and image tokens without a rate have no such rule: they cost the dearest rate that the
vendor lists for any model, and a cost with such tokens is marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Context, Decimal

from attrs import fields, frozen

from abg.money import ZERO

__all__ = [
    "GUESSED_KINDS",
    "KINDS",
    "ONE",
    "PRECISE",
    "Rates",
    "Unlisted",
    "complete",
    "derived",
    "extended",
]

PRECISE = Context(prec=120)
"""Enough for every product of a count, a rate and two multipliers: nothing is rounded in it."""

ONE = Decimal(1)
FIVE_QUARTERS = Decimal("1.25")
TWICE = Decimal(2)
FIVE_HALVES = Decimal("2.5")


@frozen
class Rates:
    """USD per million tokens of each kind."""

    input: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    cache_write_30m: Decimal
    cache_write_12h: Decimal
    output: Decimal
    audio_input: Decimal
    audio_output: Decimal
    image_output: Decimal

    def of(self, kind: str) -> Decimal:
        """The rate of one of ``KINDS``."""
        rate: Decimal = getattr(self, kind)
        return rate


KINDS = tuple(field.name for field in fields(Rates))
"""Every kind of token that has a rate, in the order in which people read them."""

GUESSED_KINDS = {"audio_input": "input", "audio_output": "output", "image_output": "output"}
"""Kinds without a vendor's rule, and the text kind that they are never cheaper than."""


@frozen
class Unlisted:
    """What is charged where a row lists nothing: the dearest its vendor lists anywhere."""

    audio_input: Decimal = ZERO
    audio_output: Decimal = ZERO
    image_output: Decimal = ZERO
    web_search_usd: Decimal = ZERO
    fast: Decimal = ONE
    geo: Decimal = ONE
    ultrafast: Decimal = ONE
    """The largest multiple of the standard rates that any model has for that tier."""


def complete(
    listed: Mapping[str, Decimal], vendor: str, unlisted: Unlisted
) -> tuple[Rates, frozenset[str]]:
    """All rates from the listed ones, and the kinds that no rule but dearness decided.

    Args:
        listed: at least ``input`` and ``output``.
    """
    rates = dict(listed)
    plain = rates["input"]
    rates.setdefault("cache_read", plain)
    if vendor == "anthropic":
        short = rates.setdefault("cache_write_5m", PRECISE.multiply(plain, FIVE_QUARTERS))
        long = rates.setdefault("cache_write_1h", PRECISE.multiply(plain, TWICE))
        # OpenAI's lifetimes do not exist there; were they sent, the longer one's rate is dear.
        rates.setdefault("cache_write_30m", max(short, long))
        rates.setdefault("cache_write_12h", max(short, long))
    else:
        priced = "cache_write_30m" in rates or "cache_write_12h" in rates
        short = rates.setdefault(
            "cache_write_30m", PRECISE.multiply(plain, FIVE_QUARTERS) if priced else plain
        )
        long = rates.setdefault(
            "cache_write_12h", PRECISE.multiply(plain, FIVE_HALVES) if priced else plain
        )
        rates.setdefault("cache_write_5m", short)
        rates.setdefault("cache_write_1h", max(short, long))
    guessed = frozenset(GUESSED_KINDS) - rates.keys()
    for kind in guessed:
        rates[kind] = max(rates[GUESSED_KINDS[kind]], getattr(unlisted, kind))
    return Rates(**rates), guessed


def derived(standard: Rates, multiple: Decimal) -> Rates:
    """Every rate times a multiple, exactly."""
    return Rates(*(PRECISE.multiply(standard.of(kind), multiple) for kind in KINDS))


def extended(standard: Rates, base: Rates, tier: Rates) -> Rates:
    """A tier's rates in a band that is listed for the standard tier alone.

    The dearer, kind by kind, of what the tier lists for a lower band and of the standard band
    times the tier's own multiple there.

    Args:
        standard: the standard tier in the band that is asked for.
        base: the standard tier in the lower band.
        tier: the tier in that lower band.
    """
    return Rates(*(max(tier.of(k), _ratio(standard.of(k), tier.of(k), base.of(k))) for k in KINDS))


def _ratio(band: Decimal, tier: Decimal, base: Decimal) -> Decimal:
    """``band * tier / base``, rounded up at 12 places where it does not come out even."""
    if not base:
        return band
    exact = PRECISE.divide(PRECISE.multiply(band, tier), base)
    short = exact.quantize(Decimal("1e-12"), ROUND_CEILING, PRECISE)
    return short.normalize(PRECISE)
