"""Which rates a sampling is billed at: the tier's word, its bands, and what is done without them.

Rules (both vendors' pricing pages, as of 2026-11): batch is half of standard; flex is half and
priority twice (OpenAI), or as listed; Anthropic's priority tier has the standard rates; ultrafast
is as listed. A tier that nobody knows costs at least standard, and the cost is marked.
"""

from __future__ import annotations

from decimal import Decimal

from attrs import frozen

from abg.pricing.rates import Rates, Unlisted, complete, derived, extended
from abg.pricing.rows import Row

__all__ = ["UNKNOWN_TIER", "Band", "band_for", "bands_of", "tier_word"]

UNKNOWN_TIER = "unknown"

_WORDS = {
    "": "standard",
    "standard": "standard",
    "standard_only": "standard",
    "default": "standard",
    "auto": "standard",
    "batch": "batch",
    "batches": "batch",
    "flex": "flex",
    "priority": "priority",
    "fast": "priority",
    "ultrafast": "ultrafast",
    "decisions": "decisions",
    "scale": "scale",
}
_MULTIPLES = {
    ("anthropic", "batch"): Decimal("0.5"),
    ("anthropic", "priority"): Decimal(1),
    ("openai", "batch"): Decimal("0.5"),
    ("openai", "flex"): Decimal("0.5"),
    ("openai", "priority"): Decimal(2),
}


@frozen(eq=False)
class Band:
    """The rates of a sampling whose whole input exceeds ``above`` tokens."""

    above: int
    rates: Rates
    tier: str
    """The tier whose rates these are: ``standard`` where the asked one is unknown."""
    guessed: frozenset[str] = frozenset()
    """Kinds of token whose rate no list and no rule decided."""
    mark: str | None = None


def tier_word(word: object) -> str:
    """A vendor's word for a service tier as one of ``TIERS``, or ``unknown``; None is standard."""
    if word is None:
        return "standard"
    if not isinstance(word, str):
        return UNKNOWN_TIER
    return _WORDS.get(word) or _WORDS.get(word.strip().lower(), UNKNOWN_TIER)


def bands_of(row: Row, tier: str, unlisted: Unlisted) -> tuple[Band, ...]:
    """All bands of a tier, lowest first; the first one is ``above`` 0."""
    standard = _listed_bands(row, "standard", unlisted)
    if tier == "standard":
        return standard
    listed = _listed_bands(row, tier, unlisted)
    if listed:
        return _with_standard_bands(standard, listed)
    multiple = _MULTIPLES.get((row.vendor, tier))
    mark = None
    if multiple is None and tier == "ultrafast" and row.vendor == "openai":
        multiple, mark = unlisted.ultrafast, "tier_rate_assumed"
    if multiple is None:
        return tuple(
            Band(b.above, b.rates, "standard", b.guessed, "unknown_tier") for b in standard
        )
    return tuple(Band(b.above, derived(b.rates, multiple), tier, b.guessed, mark) for b in standard)


def band_for(bands: tuple[Band, ...], tokens: int) -> Band:
    """The band of a sampling that read so many tokens: exactly at the number is still below."""
    band = bands[0]
    for higher in bands[1:]:
        if tokens > higher.above:
            band = higher
    return band


def _listed_bands(row: Row, tier: str, unlisted: Unlisted) -> tuple[Band, ...]:
    bands = []
    for above in sorted(above for listed, above in row.rates if listed == tier):
        rates, guessed = complete(row.rates[tier, above], row.vendor, unlisted)
        bands.append(Band(above, rates, tier, guessed))
    return tuple(bands)


def _with_standard_bands(standard: tuple[Band, ...], listed: tuple[Band, ...]) -> tuple[Band, ...]:
    """The tier's bands, and those that only the standard tier has, derived and marked."""
    known = {band.above: band for band in listed}
    bands = []
    for above in sorted({*known, *(band.above for band in standard)}):
        if above in known:
            bands.append(known[above])
            continue
        lower = max(a for a in known if a < above)
        base = max((b for b in standard if b.above <= lower), key=lambda b: b.above)
        here = next(b for b in standard if b.above == above)
        rates = extended(here.rates, base.rates, known[lower].rates)
        bands.append(Band(above, rates, known[lower].tier, here.guessed, "band_rate_assumed"))
    return tuple(bands)
