"""A reading's cost: each sampling at its own model, tier, band and multipliers, then the fees.

Rules, with their sources: ``docs/money.md``. What is not as a list says is charged dear and
leaves a mark:

===================== ======================================================================
mark                  meaning
===================== ======================================================================
clamped               a count was impossible
tier_requested        the answer names no tier, or none to trust: the request's counts
unknown_tier          nobody knows this tier: charged as standard
tier_rate_assumed     the row has no rates for this tier: the dearest known multiple of standard
band_rate_assumed     the tier has no rates for so large an input: see ``tiers``
speed_requested       the answer names no speed: the request's counts
fast_rate_assumed     the row has no multiplier for this speed: the dearest known one
geo_requested         the answer names no region: the request's counts
geo_rate_assumed      nobody knows this region: the dearest known multiplier
kind_rate_assumed     audio or image tokens of a model without such a rate: the dearest known one
image_model_assumed   image tokens of an unnamed model: the dearest known one
search_fee_assumed    searches of a model without a fee: the dearest known one
===================== ======================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from abg.call import Call
from abg.money import ZERO
from abg.pricing.cost import Cost, CostLine, cleaned, counted, million_tokens_usd, plain
from abg.pricing.rates import KINDS, ONE, PRECISE
from abg.pricing.rows import TIERS, Row
from abg.pricing.tiers import UNKNOWN_TIER, Band, band_for, tier_word
from abg.usage import Reading, Sampling, Usage

if TYPE_CHECKING:
    from abg.pricing.table import Match, PriceTable

__all__ = ["Terms", "cost_of", "lines_of", "terms_of"]

_MILLION = Decimal(1_000_000)
_RANK = {"table": 0, "user": 1, "assumed": 2}
# Samplings beside the answer's own model: the call's speed is not theirs unless their row has one.
_ASIDE = ("advisor_message", "compaction", "image")
_PLAIN_SPEEDS = ("", "standard", "normal", "default")
_PLAIN_REGIONS = ("", "global", "default", "auto", "not_available", "none")


class Terms(NamedTuple):
    """What holds for a whole answer: tier, speed, region, and the marks for how they are known."""

    tier: str
    fast: bool
    us: bool
    other_region: bool
    marks: tuple[str, ...]


_PLAIN_TERMS = {tier: Terms(tier, False, False, False, ()) for tier in (*TIERS, UNKNOWN_TIER)}
"""Of nearly all answers: nothing but a tier."""


class Part(NamedTuple):
    """One sampling with all that decided its amount."""

    usage: Usage
    match: Match
    row: Row
    band: Band
    factor: Decimal
    millions: Decimal
    """The amount in USD, times a million."""
    marks: tuple[str, ...]


# Called by its name the class of a named tuple takes 0.25 µs to make one, and this 0.1.
_NEW_PART = tuple.__new__


def cost_of(
    table: PriceTable,
    vendor: str,
    reading: Reading,
    call: Call,
    at: datetime,
    *,
    subscription: bool = False,
) -> Cost:
    """See ``PriceTable.cost``."""
    main = table.resolve(vendor, reading.model or call.model)
    price = main.price
    if not reading.billed:
        return Cost(ZERO, price, reading.marks)
    terms = terms_of(vendor, reading, call, subscription=subscription)
    marks = terms.marks
    total = ZERO
    for sampling in reading.samplings:
        part = _part(table, vendor, main, sampling, terms, at)
        total = PRECISE.add(total, part.millions) if total else part.millions
        if part.match.price != price and _RANK[part.match.price] > _RANK[price]:
            price = part.match.price
        if part.marks:
            marks += part.marks
    usd = total.scaleb(-6, PRECISE)
    if reading.web_searches:
        fee, fee_marks, _ = _searches(table, main, reading.web_searches, at)
        usd = PRECISE.add(usd, fee)
        marks += fee_marks
    if marks:
        marks = (*reading.marks, *(m for m in dict.fromkeys(marks) if m not in reading.marks))
    else:
        marks = reading.marks
    return Cost(plain(usd), price, marks)


def lines_of(
    table: PriceTable,
    vendor: str,
    reading: Reading,
    call: Call,
    at: datetime,
    *,
    subscription: bool = False,
) -> tuple[CostLine, ...]:
    """See ``PriceTable.explain``."""
    if not reading.billed:
        return ()
    main = table.resolve(vendor, reading.model or call.model)
    terms = terms_of(vendor, reading, call, subscription=subscription)
    lines: list[CostLine] = []
    for sampling in reading.samplings:
        part = _part(table, vendor, main, sampling, terms, at)
        lines.extend(_lines_of_part(part, sampling.kind))
    if reading.web_searches:
        fee, marks, count = _searches(table, main, reading.web_searches, at)
        if count:
            each = PRECISE.multiply(PRECISE.divide(fee, count), _MILLION)
            name = main.priced_as
            lines.append(
                CostLine("web_search", count, plain(each), plain(fee), name, ", ".join(marks))
            )
    return tuple(lines)


def terms_of(vendor: str, reading: Reading, call: Call, *, subscription: bool = False) -> Terms:
    """Tier, speed and region of an answer: by its own word, else dear by the request's."""
    marks: tuple[str, ...] = ()
    if reading.tier is None and call.tier is None:
        tier = "standard"
    elif vendor == "openai":
        tier, marks = _openai_tier(reading, call, subscription)
    else:
        tier = tier_word(reading.tier)
        if reading.tier is None and _is_batch(call):
            tier = "batch"
    speed, geo = reading.speed, reading.geo
    if speed is None and call.speed is not None and not _one_of(call.speed, _PLAIN_SPEEDS):
        speed = call.speed
        marks += ("speed_requested",)
    if geo is None and call.geo is not None and not _one_of(call.geo, _PLAIN_REGIONS):
        geo = call.geo
        marks += ("geo_requested",)
    fast = speed is not None and not _one_of(speed, _PLAIN_SPEEDS)
    if geo is None or _one_of(geo, _PLAIN_REGIONS):
        return Terms(tier, fast, False, False, marks) if fast or marks else _PLAIN_TERMS[tier]
    us = _one_of(geo, ("us",))
    return Terms(tier, fast, us, not us, marks)


def _openai_tier(reading: Reading, call: Call, subscription: bool) -> tuple[str, tuple[str, ...]]:
    wish = tier_word(call.tier)
    if subscription and call.tier is not None:
        # With a ChatGPT plan the answer says `default`, whatever was served.
        return wish, ("tier_requested",) if wish != tier_word(reading.tier) else ()
    if reading.tier is not None:
        return tier_word(reading.tier), ()
    if _is_batch(call):
        return "batch", ()
    # Cheaper ones are no more than a wish; what nobody knows is charged as standard and marked.
    cheaper = wish in ("standard", "batch", "flex", "decisions")
    return ("standard", ()) if cheaper else (wish, ("tier_requested",))


def _is_batch(call: Call) -> bool:
    # Only the batch endpoints answer at the batch rate; elsewhere it is nothing but a word.
    return call.tier == "batch" and "batch" in call.endpoint


def _one_of(word: object, words: tuple[str, ...]) -> bool:
    return isinstance(word, str) and (word in words or word.strip().lower() in words)


def _part(
    table: PriceTable, vendor: str, main: Match, sampling: Sampling, terms: Terms, at: datetime
) -> Part:
    """One sampling, priced; of the candidates for an unknown model the dearest for this usage."""
    usage, changed = cleaned(sampling.usage)
    marks: tuple[str, ...] = ("clamped",) if changed else ()
    match = main
    if sampling.model is not None:
        match = table.resolve(vendor, sampling.model)
    elif sampling.kind == "image":
        match = table.image_match(vendor)
        marks += ("image_model_assumed",)
    models = match.models
    part = _priced(table, usage, match, models[0].at(at), sampling.kind, terms, marks)
    for model in models[1:]:
        other = _priced(table, usage, match, model.at(at), sampling.kind, terms, marks)
        if other.millions > part.millions:
            part = other
    return part


def _priced(
    table: PriceTable,
    usage: Usage,
    match: Match,
    row: Row,
    kind: str,
    terms: Terms,
    marks: tuple[str, ...],
) -> Part:
    bands = table.bands(row, terms.tier)
    band = bands[0] if len(bands) == 1 else band_for(bands, usage.total_input_tokens)
    factor = ONE
    if terms.fast or terms.us or terms.other_region:
        factor, extra = _factor(table, row, kind, terms)
        marks += extra
    millions = million_tokens_usd(usage, band.rates)
    if factor is not ONE:
        millions = PRECISE.multiply(millions, factor)
    if band.mark is not None:
        marks += (band.mark,)
    if band.guessed and _uses_guessed(usage, band.guessed):
        marks += ("kind_rate_assumed",)
    return _NEW_PART(Part, (usage, match, row, band, factor, millions, marks))


def _factor(
    table: PriceTable, row: Row, kind: str, terms: Terms
) -> tuple[Decimal, tuple[str, ...]]:
    factor = ONE
    marks: tuple[str, ...] = ()
    if terms.fast:
        multiplier, assumed = table.multiplier(row, "fast")
        if not (assumed and kind in _ASIDE):
            factor = multiplier
            marks += ("fast_rate_assumed",) if assumed else ()
    if terms.us:
        factor = PRECISE.multiply(factor, table.multiplier(row, "us")[0])
    elif terms.other_region:
        factor = PRECISE.multiply(factor, table.multiplier(row, "other")[0])
        marks += ("geo_rate_assumed",)
    return factor, marks


def _uses_guessed(usage: Usage, guessed: frozenset[str]) -> bool:
    # No other kind can be guessed, and most answers have none of these.
    if not (usage.audio_input_tokens or usage.audio_output_tokens or usage.image_output_tokens):
        return False
    return any(getattr(usage, f"{kind}_tokens") for kind in guessed)


def _searches(
    table: PriceTable, main: Match, searches: object, at: datetime
) -> tuple[Decimal, tuple[str, ...], int]:
    """The fee, the marks and the count of billed searches."""
    count, odd = counted(searches)
    marks: tuple[str, ...] = ("clamped",) if odd else ()
    fees = [table.web_search_usd(model.at(at)) for model in main.models]
    each, assumed = max(fees)
    if assumed:
        marks += ("search_fee_assumed",)
    return PRECISE.multiply(Decimal(count), each), marks, count


def _lines_of_part(part: Part, kind: str) -> Iterator[CostLine]:
    for token_kind in KINDS:
        count = getattr(part.usage, f"{token_kind}_tokens")
        if not count:
            continue
        rate = PRECISE.multiply(part.band.rates.of(token_kind), part.factor)
        usd = PRECISE.multiply(Decimal(count), rate).scaleb(-6, PRECISE)
        yield CostLine(token_kind, count, plain(rate), plain(usd), part.row.name, _note(part, kind))


def _note(part: Part, kind: str) -> str:
    notes = [] if kind == "message" else [kind.replace("_", " ")]
    if part.band.tier != "standard":
        notes.append(part.band.tier)
    if part.band.above:
        notes.append(f">{part.band.above:,} input tokens".replace(",", " "))
    if part.factor != 1:
        notes.append(f"x{plain(part.factor)}")
    if part.row.valid_from is not None:
        notes.append(f"since {part.row.valid_from}")
    notes += part.marks
    return ", ".join(dict.fromkeys(notes))
