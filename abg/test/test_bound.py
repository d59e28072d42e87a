"""The proven bound: never under what a call can cost, and blame where nothing bounds it."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.bound import (
    HIDDEN_TOKENS,
    MOST_OUTPUT_TOKENS,
    MOST_PASSES,
    Bound,
    BoundFacts,
    Pass,
    Terms,
    Unprovable,
)
from abg.bound import prove as prove_at
from abg.call import Call
from abg.pricing import PriceTable
from abg.usage import Reading, Sampling, Usage

TABLE = PriceTable.builtin()
NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)
TERMS = Terms()
OPUS = BoundFacts(
    "anthropic",
    "claude-opus-5-5",
    text_bytes=100_000 - HIDDEN_TOKENS,
    max_output_tokens=10_000,
    geo="global",
    cache_lifetimes=frozenset(),
)
SOL = BoundFacts(
    "openai",
    "gpt-6.1-sol",
    text_bytes=100_000 - HIDDEN_TOKENS,
    max_output_tokens=10_000,
    tier="default",
    cache_lifetimes=frozenset(),
)


def prove(facts: BoundFacts, terms: Terms = TERMS, table: PriceTable = TABLE) -> Bound:
    found = prove_at(facts, table, NOW, terms)
    assert isinstance(found, Bound), found
    return found


def blame(facts: BoundFacts, table: PriceTable = TABLE) -> str:
    found = prove_at(facts, table, NOW, TERMS)
    assert isinstance(found, Unprovable), found
    return found.part


def text(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


# -- one reading -----------------------------------------------------------------------------------


def test_input_and_output_at_their_dearest() -> None:
    bound = prove(OPUS)
    assert (text(bound.base_usd), text(bound.full_usd)) == ("0.4", "0.6")
    assert (bound.allowance, bound.floor_allowance, text(bound.floor_usd)) == (
        10_000,
        1024,
        "0.42048",
    )
    assert (bound.input_tokens, bound.exact_input) == (100_000, False)


@pytest.mark.parametrize(
    ("change", "base"),
    [
        ({"cache_lifetimes": None}, "0.8"),
        ({"cache_lifetimes": frozenset(("5m",))}, "0.5"),
        ({"geo": None}, "0.44"),
        ({"speed": "fast"}, "0.8"),
        ({"counted_tokens": 20_000}, "0.083648"),
        ({"counted_tokens": 20_001}, "0.083656"),
        ({"opaque": "image", "counted_tokens": 20_000}, "0.083648"),
        ({"opaque": "image"}, "4"),
        ({"text_bytes": 50_000_000}, "4"),
        ({"batch": True}, "0.2"),
        ({"web_searches": 3}, "0.43"),
    ],
)
def test_what_moves_the_base(change: dict[str, Any], base: str) -> None:
    assert text(prove(evolve(OPUS, **change)).base_usd) == base


def test_the_user_s_word_for_what_the_account_decides() -> None:
    open_tier = evolve(SOL, tier=None)
    assert text(prove(open_tier).full_usd) == "1.8"
    assert text(prove(open_tier, Terms(account_tier="default")).full_usd) == "0.3"
    assert text(prove(open_tier, Terms(account_tier="priority")).full_usd) == "0.6"
    region = evolve(OPUS, geo=None)
    assert text(prove(region, Terms(account_geo="global")).full_usd) == "0.6"


def test_the_counter_s_margin_is_a_setting() -> None:
    counted = evolve(OPUS, counted_tokens=20_000)
    tight = Terms(counter_margin=Decimal(0), counter_margin_tokens=0)
    assert prove(counted, tight).input_tokens == 20_000
    assert prove(counted).input_tokens == 20_912
    assert prove(counted).exact_input


def test_the_band_that_the_input_can_reach() -> None:
    below = evolve(SOL, text_bytes=272_000 - HIDDEN_TOKENS)
    assert text(prove(below).full_usd) == "0.644"
    assert text(prove(evolve(below, text_bytes=272_001 - HIDDEN_TOKENS)).base_usd) == "1.088004"


def test_several_answers_multiply_the_output() -> None:
    assert text(prove(evolve(SOL, choices=4)).full_usd) == "0.6"


def test_audio_at_its_rates() -> None:
    spoken = BoundFacts("openai", "gpt-audio", 1000, max_output_tokens=100, tier="default")
    assert text(prove(spoken).per_output_token_usd) == "0.00001"
    assert text(prove(evolve(spoken, audio=True)).per_output_token_usd) == "0.000064"


@pytest.mark.parametrize(
    ("limit", "allowance"), [(500, 500), (None, 128_000), (10**6, 10**6), (0, 0)]
)
def test_the_allowance_is_the_request_s_or_the_model_s(limit: int | None, allowance: int) -> None:
    assert prove(evolve(OPUS, max_output_tokens=limit)).allowance == allowance


def test_a_model_without_a_known_limit_has_a_very_large_one() -> None:
    table = TABLE.with_overrides({"mine": {"input": "1", "output": "1"}})
    bound = prove(BoundFacts("openai", "mine", 1000), table=table)
    assert (bound.allowance, bound.floor_allowance) == (MOST_OUTPUT_TOKENS, 1024)


def test_a_thinking_budget_stays_below_the_allowance() -> None:
    thinking = evolve(OPUS, thinking_budget=4096)
    assert prove(thinking).floor_allowance == 4097
    assert prove(evolve(thinking, max_output_tokens=2000)).floor_allowance == 2000


# -- lowering --------------------------------------------------------------------------------------


@given(st.decimals(0, 2, places=9))
@settings(max_examples=300)
def test_the_lowered_allowance_is_the_largest_that_fits(usd: Decimal) -> None:
    bound = prove(OPUS)
    allowance = bound.allowance_for(usd)
    if allowance is None:
        assert usd < bound.floor_usd
    else:
        assert bound.floor_allowance <= allowance <= bound.allowance
        assert bound.usd(allowance) <= usd
        assert allowance == bound.allowance or bound.usd(allowance + 1) > usd


def test_a_quotient_that_does_not_come_out_even() -> None:
    bound = evolve(prove(OPUS), per_output_token_usd=Decimal("0.00003"))
    room = bound.base_usd + Decimal("0.05")
    assert bound.allowance_for(room) == 1666
    assert bound.allowance_for(bound.usd(5000)) == 5000


def test_output_that_costs_nothing_is_never_lowered() -> None:
    embedding = BoundFacts("openai", "text-embedding-3-small", 1000, max_output_tokens=0)
    bound = prove(embedding)
    assert bound.full_usd == bound.floor_usd == bound.base_usd > 0
    assert bound.allowance_for(bound.base_usd) == 0
    assert bound.allowance_for(bound.base_usd / 2) is None


# -- further readings ------------------------------------------------------------------------------


def test_each_use_of_a_server_tool_reads_a_whole_window() -> None:
    bound = prove(evolve(OPUS, passes=(Pass("tool web_search", times=2),), web_searches=2))
    assert text(bound.base_usd) == "8.42"
    assert text(bound.per_output_token_usd) == "0.00002"
    apart = prove(evolve(OPUS, passes=(Pass("fallbacks", times=2, output="allowance"),)))
    assert text(apart.per_output_token_usd) == "0.00006"


def test_a_dearer_reader_makes_shared_output_dearer() -> None:
    dear = Pass("fallbacks", "claude-opus-4-1", 1)
    assert text(prove(evolve(OPUS, passes=(dear,))).per_output_token_usd) == "0.000075"
    never = evolve(dear, times=0)
    assert prove(evolve(OPUS, passes=(never,))) == prove(OPUS)


def test_an_advisor_writes_up_to_its_own_limit() -> None:
    advisor = Pass("tool advisor", "claude-opus-4-5", 2, "model")
    # 0.4 + 2 x (200,000 x 5 + 64,000 x 25) / 1M
    assert text(prove(evolve(OPUS, passes=(advisor,))).base_usd) == "5.6"


# -- blame -----------------------------------------------------------------------------------------


def test_what_has_no_bound_is_named() -> None:
    assert blame(evolve(OPUS, unbounded="mcp_servers")) == "mcp_servers"
    assert blame(evolve(OPUS, web_searches=None)) == "web search without a limit of uses"
    endless = evolve(OPUS, passes=(Pass("tool web_fetch", times=None),))
    assert blame(endless) == "tool web_fetch without a limit of uses"
    assert (
        blame(evolve(OPUS, model="claude-opus-9")) == "model claude-opus-9: not in the price table"
    )
    assert blame(evolve(OPUS, model="")) == "model (none): not in the price table"
    unknown = evolve(OPUS, passes=(Pass("fallbacks", "claude-opus-9"),))
    assert blame(unknown) == "model claude-opus-9: not in the price table"


def test_very_many_parts_are_not_added_up() -> None:
    many = evolve(OPUS, passes=(Pass("tool web_search", times=1),) * (MOST_PASSES + 1))
    assert blame(many) == "tool web_search: very many of such parts"


def test_a_model_without_a_window_cannot_bound_what_the_body_does_not_show() -> None:
    table = TABLE.with_overrides({"mine": {"input": "1", "output": "1"}})
    mine = BoundFacts("openai", "mine", 1000, tier="default")
    assert blame(evolve(mine, opaque="image_url"), table).startswith(
        "image_url: its size is not in"
    )
    assert prove(evolve(mine, opaque="x", counted_tokens=100), table=table).input_tokens == 614
    more = evolve(mine, passes=(Pass("tool x"),))
    assert blame(more, table) == "tool x: the price table names no limits of mine"
    windowed = TABLE.with_overrides({"mine": {"input": "1", "output": "1", "context_window": 9}})
    spoken = evolve(mine, passes=(Pass("tool x", output="model"),))
    assert blame(spoken, windowed) == "tool x: the price table names no limits of mine"


def test_the_user_s_price_for_unknown_models_is_a_price() -> None:
    table = TABLE.with_overrides({}, {"input": "1", "output": "2"})
    bound = prove(BoundFacts("openai", "nova", 1000 - HIDDEN_TOKENS), table=table)
    assert text(bound.base_usd) == "0.001"


# -- the proof, against what is charged ------------------------------------------------------------

BILLED = sorted(
    (m.vendor, m.name) for m in TABLE.models.values() if m.rows[0].context_window is not None
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_answer_within_its_request_costs_more_than_the_bound(data: st.DataObject) -> None:
    draw = data.draw
    vendor, model = draw(st.sampled_from(BILLED))
    row = TABLE.models[model].rows[-1]
    window = row.context_window or 0
    size = draw(st.integers(0, 400_000))
    allowance = draw(st.integers(0, 200_000))
    uses = draw(st.integers(0, 2))
    tier = draw(st.sampled_from((None, "default", "flex", "priority", "ultrafast")))
    geo = draw(st.sampled_from((None, "us", "global")))
    if vendor == "anthropic":
        tier = None
    else:
        geo = None
    lifetime = draw(st.sampled_from(("5m", "1h") if vendor == "anthropic" else ("30m", "12h")))
    facts = BoundFacts(
        vendor,
        model,
        text_bytes=size,
        max_output_tokens=allowance,
        tier=tier,
        geo=geo,
        passes=(Pass("tool web_search", times=uses),),
        web_searches=uses,
    )
    bound = prove(facts)

    def usage(most: int, output: int) -> Usage:
        read = draw(st.integers(0, most))
        written = draw(st.integers(0, most - read))
        return Usage(
            input_tokens=most - read - written,
            cache_read_tokens=read,
            output_tokens=output,
            **{f"cache_write_{lifetime}_tokens": written},
        )

    outputs = [draw(st.integers(0, allowance // (uses + 1))) for _ in range(uses + 1)]
    samplings = [Sampling(usage(min(window, size + HIDDEN_TOKENS), outputs[0]))]
    samplings += [Sampling(usage(window, output)) for output in outputs[1:]]
    listed = {t for t, _ in row.rates} - {"batch"}
    open_tier = vendor == "openai" and tier is None
    answered = draw(st.sampled_from(sorted(listed)) if open_tier else st.just(tier))
    reading = Reading(
        tuple(samplings),
        model,
        tier=answered,
        geo=geo or draw(st.sampled_from((None, "us"))),
        web_searches=uses,
    )
    if vendor == "openai":
        reading = evolve(reading, geo=None)
    elif geo == "global":
        reading = evolve(reading, geo="global")
    cost = TABLE.cost(vendor, reading, Call("d", "e", model), NOW)
    assert cost.usd <= bound.usd(allowance)
