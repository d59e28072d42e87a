"""Our prices against two independent implementations, over the whole table.

LiteLLM and genai-prices compute the same thousands of usages. Where a sum differs, the reviewed
list ``EXPLAINED`` says by which vendor's rule ours is right; a difference that no entry explains
fails, and so does an entry that explains nothing any more.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any

import pytest
from attrs import frozen

# LiteLLM would fetch its price map when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
litellm = pytest.importorskip("litellm", reason="litellm is not installed: pip install litellm")
genai_prices = pytest.importorskip(
    "genai_prices", reason="genai-prices is not installed: pip install genai-prices"
)

from abg.call import Call  # noqa: E402
from abg.pricing import PriceTable, Row  # noqa: E402
from abg.usage import Reading, Sampling, Usage  # noqa: E402

TABLE = PriceTable.builtin()
NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)
ROUNDS = 6
"""Usages for each name and tier."""
TIERS = {
    "anthropic": ("standard", "batch", "priority"),
    "openai": ("default", "batch", "flex", "priority", "ultrafast", "decisions"),
}


@frozen
class Case:
    """One usage of one model, and what both say of it."""

    vendor: str
    name: str
    row: Row
    usage: Usage
    tier: str
    speed: str | None = None
    geo: str | None = None
    searches: int = 0
    ours: Decimal = Decimal(0)
    marks: tuple[str, ...] = ()

    @property
    def listed(self) -> bool:
        """Our table has rates for this tier."""
        tier = "standard" if self.tier == "default" else self.tier
        return any(known == tier for known, _ in self.row.rates)

    def writes(self, lifetime: str) -> int:
        count: int = getattr(self.usage, f"cache_write_{lifetime}_tokens")
        return count


@frozen
class Explanation:
    """Why a difference is right."""

    who: str
    rule: str
    fits: Callable[[Case], bool]


# -- the other implementations ---------------------------------------------------------------------


def by_litellm(case: Case) -> Decimal | None:
    """What LiteLLM says, or None where it knows no such model."""
    from litellm.cost_calculator import batch_cost_calculator
    from litellm.types.utils import (
        CacheCreationTokenDetails,
        CompletionTokensDetailsWrapper,
        PromptTokensDetailsWrapper,
    )
    from litellm.types.utils import Usage as TheirUsage

    entry = litellm.model_cost.get(case.name)
    if entry is None or entry.get("litellm_provider") != case.vendor or case.searches:
        return None
    used = case.usage
    usage = TheirUsage(
        prompt_tokens=used.total_input_tokens,
        completion_tokens=used.output_tokens + used.audio_output_tokens,
        total_tokens=used.total_input_tokens + used.output_tokens + used.audio_output_tokens,
        cache_creation_input_tokens=used.cache_write_tokens,
        cache_read_input_tokens=used.cache_read_tokens,
        prompt_tokens_details=PromptTokensDetailsWrapper(
            cached_tokens=used.cache_read_tokens,
            audio_tokens=used.audio_input_tokens,
            cache_creation_tokens=used.cache_write_tokens,
            cache_creation_token_details=CacheCreationTokenDetails(
                ephemeral_5m_input_tokens=case.writes("5m"),
                ephemeral_1h_input_tokens=case.writes("1h"),
                ephemeral_30m_input_tokens=case.writes("30m"),
                ephemeral_12h_input_tokens=case.writes("12h"),
            ),
        ),
        completion_tokens_details=CompletionTokensDetailsWrapper(
            audio_tokens=used.audio_output_tokens, text_tokens=used.output_tokens
        ),
    )
    if case.speed:
        usage.speed = case.speed
    if case.geo:
        usage.inference_geo = case.geo
    if case.tier == "batch":
        parts = batch_cost_calculator(usage, case.name, case.vendor)
    else:
        parts = litellm.cost_per_token(
            model=case.name,
            custom_llm_provider=case.vendor,
            usage_object=usage,
            service_tier=case.tier,
        )
    # It computes in binary fractions: what is left of them beyond 12 digits is noise.
    return Decimal(f"{sum(parts):.12g}")


def by_genai(case: Case) -> Decimal | None:
    """What genai-prices says, or None where it knows no such model or dimension."""
    if case.geo or case.writes("12h"):
        return None
    used = case.usage
    counts: dict[str, int] = {
        "input_tokens": used.total_input_tokens,
        "cache_read_tokens": used.cache_read_tokens,
        "cache_write_tokens": used.cache_write_tokens,
        "output_tokens": used.output_tokens + used.audio_output_tokens,
        "web_searches": case.searches,
    }
    if used.audio_input_tokens or used.audio_output_tokens:
        counts["input_audio_tokens"] = used.audio_input_tokens
        counts["output_audio_tokens"] = used.audio_output_tokens
    if case.vendor == "anthropic":
        counts["cache_write_1h_tokens"] = case.writes("1h")
    context = {}
    if case.tier == "batch":
        context["processing"] = "batch"
    elif case.vendor == "openai":
        context["service_tier"] = case.tier
    if case.speed:
        context["speed"] = case.speed
    try:
        priced = genai_prices.calc_price(
            genai_prices.Usage(**counts),
            case.name,
            provider_id=case.vendor,
            genai_request_timestamp=NOW,
            price_context=context,
        )
    except LookupError:
        return None
    return Decimal(priced.total_price)


IMPLEMENTATIONS = {"litellm": by_litellm, "genai-prices": by_genai}


def _lists(case: Case, **when: str) -> bool:
    """genai-prices has rates of their own for this context of the model."""
    snapshot = genai_prices.data_snapshot.get_snapshot()
    provider = next(p for p in snapshot.providers if p.id == case.vendor)
    model = provider.find_model(case.name)
    variants = model.price_variants if model is not None else None
    return any(variant.when == when and vars(variant.prices) for variant in variants or ())


# The reviewed list. Each rule is a vendor's, as of 2026-11 (docs/money.md has them all), or the
# rule that what a list leaves open is charged dear and marked.
EXPLAINED = (
    # -- tiers that a list leaves out -------------------------------------------------------------
    Explanation(
        "both",
        "OpenAI's priority tier costs twice the standard rates where none are listed; theirs: once",
        lambda c: c.tier == "priority" and c.vendor == "openai" and not c.listed,
    ),
    Explanation(
        "both",
        "OpenAI's flex tier costs half the standard rates where none are listed; theirs: all",
        lambda c: c.tier == "flex" and not c.listed,
    ),
    Explanation(
        "both",
        "ultrafast without listed rates is charged at the dearest known multiple, marked",
        lambda c: "tier_rate_assumed" in c.marks,
    ),
    Explanation(
        "both",
        "a band that is listed for the standard tier alone moves the other tiers too, marked",
        lambda c: "band_rate_assumed" in c.marks,
    ),
    Explanation(
        "both",
        "the decisions tier of gpt-6-luna has rates of its own (output free); they go by endpoint",
        lambda c: c.tier == "decisions" and c.listed,
    ),
    Explanation(
        "both",
        "a tier that lists no rate for cached tokens bills them as its input; theirs: at the "
        "standard tier's rate for them",
        lambda c: (
            c.tier == "batch"
            and c.usage.cache_read_tokens > 0
            and c.vendor == "openai"
            and "cache_read" not in c.row.rates.get(("batch", 0), {})
            and "cache_read" in c.row.rates["standard", 0]
        ),
    ),
    Explanation(
        "genai-prices",
        "a batch costs half of standard; theirs lists only the models that were active in 2026-10",
        lambda c: c.tier == "batch" and not _lists(c, processing="batch"),
    ),
    Explanation(
        "genai-prices",
        "ultrafast is listed for gpt-6-astra and gpt-6.1-sol; theirs knows no such tier",
        lambda c: c.tier == "ultrafast" and c.listed,
    ),
    Explanation(
        "litellm",
        "a batch without listed rates costs half for every kind of token; theirs leaves out "
        "cached tokens, and counts audio as text",
        lambda c: (
            c.tier == "batch"
            and not c.listed
            and (
                c.usage.cache_read_tokens + c.usage.audio_input_tokens > 0
                or c.usage.audio_output_tokens > 0
            )
        ),
    ),
    # -- speed ------------------------------------------------------------------------------------
    Explanation(
        "both",
        "fast mode of a model that lists none is charged at the dearest known multiple, marked",
        lambda c: "fast_rate_assumed" in c.marks,
    ),
    Explanation(
        "both",
        "fast mode costs six times on Claude Opus 4.6 and 4.7; theirs does not list it",
        lambda c: c.speed == "fast" and c.row.name in ("claude-opus-4-6", "claude-opus-4-7"),
    ),
    # -- cache writes -----------------------------------------------------------------------------
    Explanation(
        "litellm",
        "Anthropic's cache write for an hour costs twice the input rate in a batch too; theirs: "
        "as one for five minutes",
        lambda c: c.tier == "batch" and c.writes("1h") > 0,
    ),
    Explanation(
        "litellm",
        "a sampling moves to its band with every kind of token; theirs leaves the hour's writes of "
        "Claude Haiku 5.5 below it in the priority tier",
        lambda c: c.row.name == "claude-haiku-5-5" and c.tier == "priority" and c.writes("1h") > 0,
    ),
    Explanation(
        "litellm",
        "OpenAI's cache write for twelve hours costs 2.5 times input where writes are priced; "
        "theirs: as one for thirty minutes where the list leaves it out",
        lambda c: (
            c.writes("12h") > 0
            and any("cache_write_30m" in listed for listed in c.row.rates.values())
            and any("cache_write_12h" not in listed for listed in c.row.rates.values())
        ),
    ),
    # -- what one list has otherwise than the other -----------------------------------------------
    Explanation(
        "genai-prices",
        "Claude Sonnet 4.5's window above 200,000 tokens was retired on 2026-04-30, and with it "
        "its premium; theirs keeps it as history",
        lambda c: c.row.name == "claude-sonnet-4-5" and c.usage.total_input_tokens > 200_000,
    ),
    Explanation(
        "genai-prices",
        "gpt-5.6-cyber has a band above 272,000 tokens; theirs does not list it",
        lambda c: c.row.name == "gpt-5.6-cyber" and c.usage.total_input_tokens > 272_000,
    ),
    Explanation(
        "genai-prices",
        "fine-tuned gpt-4o and the search previews have a rate for cached tokens; theirs: input",
        lambda c: (
            c.row.name.startswith(("ft:gpt-4o", "gpt-4o-search", "gpt-4o-mini-search"))
            and (c.usage.cache_read_tokens > 0 or c.writes("30m") > 0)
        ),
    ),
    Explanation(
        "genai-prices",
        "audio tokens of the audio previews have rates of their own; theirs: as text",
        lambda c: (
            c.row.name in ("gpt-4o-audio-preview", "gpt-4o-mini-audio-preview")
            and c.usage.audio_input_tokens + c.usage.audio_output_tokens > 0
        ),
    ),
    # -- fees -------------------------------------------------------------------------------------
    Explanation(
        "genai-prices",
        "searches of a model that lists no fee are charged at the dearest known one, marked",
        lambda c: "search_fee_assumed" in c.marks,
    ),
    Explanation(
        "genai-prices",
        "Anthropic's search costs $0.01 with every model; theirs leaves out the oldest",
        lambda c: c.searches > 0 and c.row.name in ("claude-3-opus", "claude-3-haiku"),
    ),
    Explanation(
        "genai-prices",
        "OpenAI's search costs $0.025 with the models of 4o and 4.1 and $0.01 with reasoning "
        "models; theirs has one fee, or none",
        lambda c: c.searches > 0 and c.vendor == "openai" and c.row.web_search_usd is not None,
    ),
)


# -- usages ----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def cases() -> tuple[Case, ...]:
    return tuple(_priced(case) for case in _generated(random.Random(20261125)))


def _generated(rng: random.Random) -> Iterator[Case]:
    for model in TABLE.models.values():
        if model.rows[0].kind == "images":
            # Usage does not tell text and image input apart; our rows take the dearer rate.
            continue
        row = model.at(NOW)
        for name in (model.name, *model.aliases):
            for tier in TIERS[model.vendor]:
                for _ in range(ROUNDS):
                    yield Case(model.vendor, name, row, _usage(rng, model.vendor, row), tier)
            plain = TIERS[model.vendor][0]
            yield Case(model.vendor, name, row, Usage(), plain, searches=rng.randrange(1, 9))
            if model.vendor == "anthropic":
                for speed, geo in (("fast", None), (None, "us"), ("fast", "us")):
                    used = _usage(rng, model.vendor, row)
                    yield Case(model.vendor, name, row, used, plain, speed, geo)


def _usage(rng: random.Random, vendor: str, row: Row) -> Usage:
    most = 400_000 if rng.random() < 0.3 else 30_000

    def count() -> int:
        return rng.choice((0, rng.randrange(1, most)))

    counts = {"input_tokens": count(), "cache_read_tokens": count(), "output_tokens": count()}
    lifetimes = ("5m", "1h") if vendor == "anthropic" else ("30m", "12h")
    counts[f"cache_write_{lifetimes[0]}_tokens"] = count()
    if rng.random() < 0.5:
        counts[f"cache_write_{lifetimes[1]}_tokens"] = count()
    if "audio_input" in row.rates["standard", 0]:
        counts["audio_input_tokens"], counts["audio_output_tokens"] = count(), count()
    return Usage(**counts)


def _priced(case: Case) -> Case:
    reading = Reading(
        (Sampling(case.usage),),
        case.name,
        tier=case.tier,
        speed=case.speed,
        geo=case.geo,
        web_searches=case.searches,
    )
    cost = TABLE.cost(case.vendor, reading, Call("d", "e", case.name), NOW)
    return Case(
        case.vendor,
        case.name,
        case.row,
        case.usage,
        case.tier,
        case.speed,
        case.geo,
        case.searches,
        cost.usd,
        cost.marks,
    )


def _differ(ours: Decimal, theirs: Decimal) -> bool:
    return abs(ours - theirs) > abs(theirs) * Decimal("1e-9")


@pytest.mark.parametrize("who", IMPLEMENTATIONS)
def test_every_difference_is_explained(who: str) -> None:
    compared, explained = 0, Counter[str]()
    unexplained = []
    for case in cases():
        theirs = IMPLEMENTATIONS[who](case)
        if theirs is None:
            continue
        compared += 1
        if not _differ(case.ours, theirs):
            continue
        reason = next((e for e in EXPLAINED if e.who in (who, "both") and e.fits(case)), None)
        if reason is None:
            unexplained.append((case, theirs))
        else:
            explained[reason.rule] += 1
    shown = "\n".join(_told(case, theirs) for case, theirs in unexplained[:40])
    assert not unexplained, f"{len(unexplained)} of {compared} usages\n{shown}"
    assert compared > 3000
    stale = [e.rule for e in EXPLAINED if e.who == who and not explained[e.rule]]
    assert not stale, f"nothing differs by these any more: {stale}"


def _told(case: Case, theirs: Decimal) -> str:
    used = {k: v for k, v in _counts(case.usage).items() if v}
    extra = " ".join(str(x) for x in (case.speed, case.geo, case.searches or None) if x)
    return f"{case.name} {case.tier} {extra} {used}: ours {case.ours} {case.marks}, theirs {theirs}"


def _counts(usage: Usage) -> dict[str, Any]:
    return {name: getattr(usage, name) for name in Usage.__slots__ if name != "__weakref__"}
