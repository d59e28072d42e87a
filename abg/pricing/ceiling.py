"""The dearest a model can cost: what a proven bound multiplies its token counts with.

Only what the request leaves open is taken at its dearest. A tier or region that the account
decides is bounded by the user's word for it (``account_tier``, ``account_geo``), and without
one by the dearest that the row lists.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import frozen

from abg.money import ZERO
from abg.pricing.rates import ONE, PRECISE, Rates
from abg.pricing.rows import Row
from abg.pricing.tiers import UNKNOWN_TIER, band_for, tier_word

if TYPE_CHECKING:
    from abg.pricing.table import PriceTable

__all__ = ["OPEN", "Ceiling", "CeilingBand", "Openness", "ceiling_of"]

_LIFETIMES = {
    "anthropic": ("5m", "1h"),
    "openai": ("30m", "12h"),
}


@frozen
class Openness:
    """What a request fixes, and what it leaves open (None), of all that decides its rates."""

    tier: str | None = None
    account_tier: str | None = None
    """What the account takes where the request names no tier; None: unknown."""
    geo: str | None = None
    account_geo: str | None = None
    speed: str | None = None
    cache_lifetimes: Collection[str] | None = None
    """Lifetimes (``5m``, ``1h``, ``30m``, ``12h``) in which the input can be written to a cache;
    None: any of the vendor's."""
    audio: bool = False
    """Audio can come in or go out."""
    batch: bool = False
    """Answered by a batch endpoint, at the batch rate."""


OPEN = Openness()
"""A request of which nothing is known."""


@frozen
class CeilingBand:
    """USD per million tokens at most, for a sampling whose input exceeds ``above`` tokens."""

    above: int
    input: Decimal
    output: Decimal


@frozen
class Ceiling:
    """The dearest rates of one model, multipliers included."""

    name: str
    bands: tuple[CeilingBand, ...]
    """Lowest first; rates never fall from one to the next."""
    web_search_usd: Decimal
    context_window: int | None = None
    max_output_tokens: int | None = None

    def band(self, input_tokens: int | None) -> CeilingBand:
        """The rates for an input of at most so many tokens; None: of any size."""
        band = self.bands[0]
        for higher in self.bands[1:]:
            if input_tokens is None or input_tokens > higher.above:
                band = higher
        return band


def ceiling_of(table: PriceTable, vendor: str, model: str, at: datetime, left: Openness) -> Ceiling:
    """See ``PriceTable.dearest``."""
    match = table.resolve(vendor, model)
    rows = [candidate.at(at) for candidate in match.models]
    priced = [_bands(table, row, left) for row in rows]
    starts = sorted({band.above for bands in priced for band in bands})
    bands: list[CeilingBand] = []
    for above in starts:
        here = [max((b for b in bands if b.above <= above), key=_above) for bands in priced]
        if bands:
            here.append(bands[-1])
        bands.append(CeilingBand(above, max(b.input for b in here), max(b.output for b in here)))
    windows = [row.context_window for row in rows]
    limits = [row.max_output_tokens for row in rows]
    return Ceiling(
        name=match.name,
        bands=tuple(bands),
        web_search_usd=max(table.web_search_usd(row)[0] for row in rows),
        context_window=_largest(windows),
        max_output_tokens=_largest(limits),
    )


def _above(band: CeilingBand) -> int:
    return band.above


def _largest(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _bands(table: PriceTable, row: Row, left: Openness) -> list[CeilingBand]:
    factor = _factor(table, row, left)
    tiers = [table.bands(row, tier) for tier in _tiers(row, left)]
    starts = sorted({band.above for bands in tiers for band in bands})
    found = []
    for above in starts:
        rates = [band_for(bands, above + 1).rates for bands in tiers]
        read = max(_input(r, row.vendor, left) for r in rates)
        written = max(_output(r, left) for r in rates)
        found.append(
            CeilingBand(above, PRECISE.multiply(read, factor), PRECISE.multiply(written, factor))
        )
    return found


def _input(rates: Rates, vendor: str, left: Openness) -> Decimal:
    lifetimes = _LIFETIMES[vendor] if left.cache_lifetimes is None else left.cache_lifetimes
    writes = [rates.of(f"cache_write_{lifetime}") for lifetime in lifetimes]
    audio = rates.audio_input if left.audio else ZERO
    return max(rates.input, rates.cache_read, audio, *writes)


def _output(rates: Rates, left: Openness) -> Decimal:
    return max(rates.output, rates.audio_output) if left.audio else rates.output


def _tiers(row: Row, left: Openness) -> list[str]:
    """The tiers at which a call can be billed; the standard one always, since others fall back."""
    if left.batch:
        return ["batch"]
    listed = sorted({tier for tier, _ in row.rates} - {"batch"} | {"standard"})
    if row.vendor == "anthropic":
        return listed
    asked = left.tier
    if asked is None or asked.strip().lower() == "auto":
        # The account decides, and without its word any tier that the row has.
        asked = left.account_tier
        if asked is None:
            return listed
    word = tier_word(asked)
    if word == UNKNOWN_TIER:
        return listed
    return sorted({"standard", word})


def _factor(table: PriceTable, row: Row, left: Openness) -> Decimal:
    factor = ONE
    if left.speed is not None and left.speed.strip().lower() not in ("", "standard"):
        factor = table.multiplier(row, "fast")[0]
    geo = left.geo if left.geo is not None else left.account_geo
    if geo is None or geo.strip().lower() not in ("global", "not_available", "none"):
        factor = PRECISE.multiply(factor, table.multiplier(row, "us")[0])
    return factor
