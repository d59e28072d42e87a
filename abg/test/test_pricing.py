"""Costs: the vendors' arithmetic to the last digit, and the dear side where nobody knows."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, Inexact
from typing import Any

import pytest
from attrs import evolve, fields
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.call import Call
from abg.pricing import KINDS, Cost, PriceTable
from abg.pricing.cost import plain
from abg.pricing.rates import PRECISE
from abg.pricing.tiers import UNKNOWN_TIER, tier_word
from abg.test.worked import EXAMPLES, MOMENT, call_of, moment_of, reading_of, vendor_of
from abg.usage import NOTHING_USED, Reading, Sampling, Usage

TABLE = PriceTable.builtin()
CALL = Call("anthropic", "messages")
NAMES = sorted((m.vendor, m.name) for m in TABLE.models.values())
COUNTS = tuple(field.name for field in fields(Usage))
TIERS = (None, "default", "standard", "batch", "flex", "priority", "ultrafast", "scale", "warp")


def cost(
    vendor: str, model: str, usage: Usage = NOTHING_USED, *, call: Call = CALL, **reading: Any
) -> Cost:
    answer = Reading((Sampling(usage),), model=model, final=True, **reading)
    return TABLE.cost(vendor, answer, call, MOMENT)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (None, "standard"),
        ("default", "standard"),
        ("Priority ", "priority"),
        ("warp", UNKNOWN_TIER),
        (7, UNKNOWN_TIER),
        (["flex"], UNKNOWN_TIER),
    ],
)
def test_the_vendors_words_for_a_tier(word: object, expected: str) -> None:
    assert tier_word(word) == expected


# -- worked examples -------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=[e["note"] for e in EXAMPLES])
def test_worked_example(example: dict[str, Any]) -> None:
    asked = (vendor_of(example), reading_of(example), call_of(example), moment_of(example))
    priced = TABLE.cost(*asked)
    assert str(priced.usd) == example["cost_usd"]
    assert priced.marks == tuple(example.get("marks", ()))
    assert priced.price == example.get("price", "table")
    assert sum((line.usd for line in TABLE.explain(*asked)), Decimal(0)) == priced.usd


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if "products" in e], ids=lambda e: e["note"]
)
def test_the_products_of_an_example_add_up(example: dict[str, Any]) -> None:
    tokens = sum((Decimal(n) * Decimal(rate) for n, rate in example["products"]), Decimal(0))
    total = tokens / 1_000_000 + Decimal(example.get("fees_usd", 0))
    assert total == Decimal(example["cost_usd"])


def test_there_are_enough_of_our_own() -> None:
    own = [e for e in EXAMPLES if "products" in e]
    assert len(own) >= 30
    assert {e["dialect"] for e in own} == {
        "anthropic",
        "openai_chat",
        "openai_completions",
        "openai_embeddings",
        "openai_responses",
    }


# -- properties ------------------------------------------------------------------------------------

models = st.sampled_from(NAMES)
counts = st.integers(0, 3_000_000)
usages = st.builds(Usage, **{name: counts for name in COUNTS})
small = st.builds(Usage, **{name: st.integers(0, 9_000) for name in COUNTS})
tiers = st.sampled_from(TIERS)
speeds = st.sampled_from((None, "standard", "fast"))
regions = st.sampled_from((None, "global", "us", "mars"))


@given(models, small, tiers, speeds, regions)
@settings(max_examples=200, deadline=None)
def test_a_cost_is_the_sum_over_its_disjoint_counts(
    model: tuple[str, str], usage: Usage, tier: str | None, speed: str | None, geo: str | None
) -> None:
    terms: dict[str, Any] = {"tier": tier, "speed": speed, "geo": geo}
    alone = [cost(*model, Usage(**{name: getattr(usage, name)}), **terms).usd for name in COUNTS]
    # All in the lowest band, so that each count alone is in the band of the whole.
    assert cost(*model, usage, **terms).usd == sum(alone)


@given(models, usages, tiers, speeds, st.sampled_from(COUNTS), st.integers(1, 500_000))
@settings(max_examples=300, deadline=None)
def test_more_tokens_never_cost_less(
    model: tuple[str, str],
    usage: Usage,
    tier: str | None,
    speed: str | None,
    name: str,
    more: int,
) -> None:
    larger = evolve(usage, **{name: getattr(usage, name) + more})
    before = cost(*model, usage, tier=tier, speed=speed).usd
    assert before <= cost(*model, larger, tier=tier, speed=speed).usd


@given(models, usages, tiers, regions)
@settings(max_examples=100, deadline=None)
def test_the_lines_add_up_to_the_cost(
    model: tuple[str, str], usage: Usage, tier: str | None, geo: str | None
) -> None:
    reading = Reading((Sampling(usage),), model=model[1], tier=tier, geo=geo, web_searches=3)
    lines = TABLE.explain(model[0], reading, CALL, MOMENT)
    total = TABLE.cost(model[0], reading, CALL, MOMENT).usd
    assert sum((line.usd for line in lines), Decimal(0)) == total
    for line in lines:
        assert line.tokens * line.usd_per_million == line.usd * 1_000_000


@given(models, st.lists(usages, max_size=4), tiers)
@settings(max_examples=100, deadline=None)
def test_samplings_add_up(model: tuple[str, str], parts: list[Usage], tier: str | None) -> None:
    whole = Reading(tuple(map(Sampling, parts)), model=model[1], tier=tier)
    apart = [cost(*model, part, tier=tier).usd for part in parts]
    assert TABLE.cost(model[0], whole, CALL, MOMENT).usd == sum(apart)


@given(models, usages, tiers, speeds, regions)
@settings(max_examples=150, deadline=None)
def test_nothing_is_ever_rounded(
    model: tuple[str, str], usage: Usage, tier: str | None, speed: str | None, geo: str | None
) -> None:
    PRECISE.clear_flags()
    priced = cost(*model, usage, tier=tier, speed=speed, geo=geo, web_searches=7)
    assert not PRECISE.flags[Inexact]
    assert type(priced.usd) is Decimal


@pytest.mark.parametrize("model", NAMES, ids=lambda m: m[1])
def test_nothing_used_costs_nothing(model: tuple[str, str]) -> None:
    for tier in TIERS:
        assert str(cost(*model, tier=tier).usd) == "0"
    assert str(TABLE.cost(model[0], Reading(model=model[1]), CALL, MOMENT).usd) == "0"


@pytest.mark.parametrize("model", NAMES, ids=lambda m: m[1])
def test_cache_reads_cost_at_most_input_and_writes_at_least(model: tuple[str, str]) -> None:
    lifetimes = ("5m", "1h") if model[0] == "anthropic" else ("30m", "12h")
    for row in TABLE.models[model[1]].rows:
        for tier in {"standard", *(tier for tier, _ in row.rates)}:
            for band in TABLE.bands(row, tier):
                short, long = (band.rates.of(f"cache_write_{lifetime}") for lifetime in lifetimes)
                ordered = band.rates.cache_read <= band.rates.input <= short <= long
                # Or the row says why not.
                assert ordered or "cache write is below its input" in row.note


# -- tiers -----------------------------------------------------------------------------------------

ONE_MILLION_IN = Usage(input_tokens=1_000)


@pytest.mark.parametrize(
    ("vendor", "model", "tier", "usd", "marks"),
    [
        ("anthropic", "claude-opus-5", None, "0.005", ()),
        ("anthropic", "claude-opus-5", "priority", "0.005", ()),
        ("anthropic", "claude-opus-5", "standard_only", "0.005", ()),
        ("anthropic", "claude-opus-5", "flex", "0.005", ("unknown_tier",)),
        ("anthropic", "claude-opus-5", "ultrafast", "0.005", ("unknown_tier",)),
        ("anthropic", "claude-opus-4-0", "batch", "0.0075", ()),
        ("openai", "gpt-4.1", "DEFAULT", "0.002", ()),
        ("openai", "gpt-4.1", "auto", "0.002", ()),
        ("openai", "gpt-4.1", "priority", "0.0035", ()),
        ("openai", "gpt-4", "fast", "0.06", ()),
        ("openai", "gpt-4", "flex", "0.015", ()),
        ("openai", "gpt-4", "batch", "0.015", ()),
        # The dearest multiple of the table: six times, gpt-6-astra's.
        ("openai", "gpt-5.5", "ultrafast", "0.03", ("tier_rate_assumed",)),
        ("openai", "gpt-5.5", "decisions", "0.005", ("unknown_tier",)),
        ("openai", "gpt-5.5", "scale", "0.005", ("unknown_tier",)),
        ("openai", "gpt-5.5", "", "0.005", ()),
    ],
)
def test_tier(vendor: str, model: str, tier: str | None, usd: str, marks: tuple[str, ...]) -> None:
    priced = cost(vendor, model, ONE_MILLION_IN, tier=tier)
    assert (str(priced.usd), priced.marks) == (usd, marks)


@pytest.mark.parametrize(
    ("asked", "answered", "subscription", "usd", "marks"),
    [
        ("priority", None, False, "0.004", ("tier_requested",)),
        ("fast", None, False, "0.004", ("tier_requested",)),
        ("ultrafast", None, False, "0.012", ("tier_requested",)),
        # A cheaper wish is no proof.
        ("flex", None, False, "0.002", ()),
        ("batch", None, False, "0.002", ()),
        ("priority", "default", False, "0.002", ()),
        ("flex", "flex", False, "0.001", ()),
        # With a plan the answer says default whatever was served.
        ("priority", "default", True, "0.004", ("tier_requested",)),
        ("priority", "priority", True, "0.004", ()),
        (None, "default", True, "0.002", ()),
        ("default", "default", True, "0.002", ()),
    ],
)
def test_whose_word_for_the_tier_counts(
    asked: str | None, answered: str | None, subscription: bool, usd: str, marks: tuple[str, ...]
) -> None:
    reading = Reading((Sampling(ONE_MILLION_IN),), "gpt-6.1-sol", tier=answered)
    call = Call("openai_responses", "responses", "gpt-6.1-sol", tier=asked)
    priced = TABLE.cost("openai", reading, call, MOMENT, subscription=subscription)
    assert (str(priced.usd), priced.marks) == (usd, marks)


@pytest.mark.parametrize(
    ("vendor", "model"), [("openai", "gpt-4.1"), ("anthropic", "claude-sonnet-5")]
)
def test_a_batch_endpoint_answers_at_the_batch_rate(vendor: str, model: str) -> None:
    call = Call("any", "messages.batches", model, tier="batch")
    assert str(cost(vendor, model, ONE_MILLION_IN, call=call).usd) == "0.001"


# -- speed, region, fees, kinds --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "terms", "asked", "usd", "marks"),
    [
        ("claude-opus-5", {"speed": "fast"}, {}, "0.01", ()),
        ("claude-opus-5", {"speed": "standard"}, {"speed": "fast"}, "0.005", ()),
        ("claude-opus-5", {}, {"speed": "fast"}, "0.01", ("speed_requested",)),
        ("claude-opus-5", {}, {"speed": "standard"}, "0.005", ()),
        ("claude-sonnet-5", {"speed": "fast"}, {}, "0.012", ("fast_rate_assumed",)),
        ("claude-opus-5", {"geo": "us"}, {}, "0.0055", ()),
        ("claude-opus-5", {"geo": "US"}, {}, "0.0055", ()),
        ("claude-opus-5", {"geo": "global"}, {"geo": "us"}, "0.005", ()),
        ("claude-opus-5", {}, {"geo": "us"}, "0.0055", ("geo_requested",)),
        ("claude-opus-5", {}, {"geo": "global"}, "0.005", ()),
        ("claude-opus-5", {"geo": "moon"}, {}, "0.0055", ("geo_rate_assumed",)),
        ("claude-opus-4-5", {"geo": "moon"}, {}, "0.005", ("geo_rate_assumed",)),
        ("claude-opus-5", {"speed": "fast", "geo": "us"}, {}, "0.011", ()),
    ],
)
def test_speed_and_region(
    model: str, terms: dict[str, Any], asked: dict[str, Any], usd: str, marks: tuple[str, ...]
) -> None:
    call = Call("anthropic", "messages", model, **asked)
    priced = cost("anthropic", model, ONE_MILLION_IN, call=call, **terms)
    assert (str(priced.usd), priced.marks) == (usd, marks)


def test_the_call_s_speed_is_not_its_advisor_s() -> None:
    samplings = (
        Sampling(ONE_MILLION_IN),
        Sampling(ONE_MILLION_IN, "claude-sonnet-5", "advisor_message"),
        Sampling(ONE_MILLION_IN, "claude-opus-5", "advisor_message"),
    )
    reading = Reading(samplings, "claude-opus-5", speed="fast")
    priced = TABLE.cost("anthropic", reading, CALL, MOMENT)
    assert (str(priced.usd), priced.marks) == ("0.022", ())


def test_search_fees() -> None:
    assert str(cost("anthropic", "claude-haiku-4-5", web_searches=2).usd) == "0.02"
    assert str(cost("openai", "gpt-4o-mini", web_searches=2).usd) == "0.05"
    unlisted = cost("openai", "gpt-5.4", web_searches=2)
    assert (str(unlisted.usd), unlisted.marks) == ("0.05", ("search_fee_assumed",))
    unknown = cost("openai", "gpt-6.3-sol", web_searches=1)
    assert (str(unknown.usd), unknown.price) == ("0.025", "assumed")


def test_audio_and_image_tokens_of_a_model_without_such_rates_cost_the_dearest_known() -> None:
    priced = cost("openai", "gpt-5.5", Usage(audio_input_tokens=1000, audio_output_tokens=1000))
    assert (str(priced.usd), priced.marks) == ("0.12", ("kind_rate_assumed",))
    drawn = Sampling(Usage(input_tokens=100, image_output_tokens=1000), "gpt-image-2", "image")
    reading = Reading((Sampling(Usage(input_tokens=100)), drawn), "gpt-5.5")
    assert str(TABLE.cost("openai", reading, CALL, MOMENT).usd) == "0.0313"


def test_an_image_of_an_unnamed_model_costs_as_the_dearest_image_model() -> None:
    drawn = Sampling(Usage(input_tokens=100, image_output_tokens=1000), None, "image")
    priced = TABLE.cost("openai", Reading((drawn,), "gpt-5.5"), CALL, MOMENT)
    assert (str(priced.usd), priced.price) == ("0.041", "assumed")
    assert priced.marks == ("image_model_assumed",)


def test_an_unlucky_model_name_is_not_taken_for_an_unnamed_image() -> None:
    TABLE.resolve("openai", None)  # type: ignore[arg-type]
    test_an_image_of_an_unnamed_model_costs_as_the_dearest_image_model()


def test_a_model_that_nobody_named_costs_as_the_requested_one() -> None:
    reading = Reading((Sampling(ONE_MILLION_IN),))
    assert str(TABLE.cost("openai", reading, Call("c", "e", "gpt-4"), MOMENT).usd) == "0.03"


def test_the_least_sure_price_names_the_cost() -> None:
    table = TABLE.with_overrides({"mine": {"input": "1", "output": "2"}})
    mine = Reading((Sampling(ONE_MILLION_IN),), "mine")
    both = evolve(mine, samplings=(*mine.samplings, Sampling(ONE_MILLION_IN, "gpt-9", "x")))
    known = evolve(mine, samplings=(Sampling(ONE_MILLION_IN, "gpt-4", "x"),))
    assert table.cost("openai", mine, CALL, MOMENT).price == "user"
    assert table.cost("openai", both, CALL, MOMENT).price == "assumed"
    assert table.cost("openai", known, CALL, MOMENT).price == "user"


def test_marks_of_the_reading_stay_in_front() -> None:
    priced = cost("openai", "gpt-5.5", ONE_MILLION_IN, tier="warp", marks=("estimated",))
    assert priced.marks == ("estimated", "unknown_tier")
    again = cost("openai", "gpt-5.5", ONE_MILLION_IN, tier="warp", marks=("unknown_tier",))
    assert again.marks == ("unknown_tier",)


def test_what_is_not_billed_costs_nothing() -> None:
    reading = Reading((Sampling(ONE_MILLION_IN),), "gpt-4", billed=False, web_searches=3)
    assert TABLE.cost("openai", reading, CALL, MOMENT) == Cost(Decimal(0))
    assert TABLE.explain("openai", reading, CALL, MOMENT) == ()


def test_the_day_of_a_price_ends_at_utc_midnight_wherever_the_user_is() -> None:
    reading = Reading((Sampling(Usage(cache_read_tokens=1_000_000)),), "claude-sonnet-5-5")
    east = datetime.fromisoformat("2026-10-08T01:00:00+02:00")
    west = datetime.fromisoformat("2026-10-07T19:00:00-06:00")
    assert str(TABLE.cost("anthropic", reading, CALL, east).usd) == "0.2"
    assert str(TABLE.cost("anthropic", reading, CALL, west).usd) == "0.1"
    assert str(TABLE.cost("anthropic", reading, CALL, MOMENT.replace(year=2020)).usd) == "0.2"


# -- impossible readings ---------------------------------------------------------------------------

junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.decimals(allow_nan=True),
    st.just([]),
    st.just({}),
    st.just(10**5000),
)


@given(
    st.dictionaries(st.sampled_from(COUNTS), junk),
    junk,
    st.tuples(junk, junk, junk, junk),
    st.sampled_from(("anthropic", "openai", "else")),
)
@settings(max_examples=300, deadline=None)
def test_no_reading_raises_or_costs_less_than_nothing(
    values: dict[str, Any], searches: Any, words: tuple[Any, ...], vendor: str
) -> None:
    model, tier, speed, geo = words
    reading = Reading(
        (Sampling(Usage(**values), model), Sampling(Usage(input_tokens=5))),
        model=model,
        tier=tier,
        speed=speed,
        geo=geo,
        web_searches=searches,
    )
    call = Call("d", "e", model, tier=geo, speed=tier, geo=speed)
    for subscription in (False, True):
        priced = TABLE.cost(vendor, reading, call, MOMENT, subscription=subscription)
        assert priced.usd > 0
        assert priced.usd.is_finite()
    TABLE.explain(vendor, reading, call, MOMENT)


@pytest.mark.parametrize(
    ("count", "tokens"),
    [
        (-5, 0),
        (None, 0),
        ("5", 5),
        (" 5 ", 5),
        ("five", 0),
        (2.0, 2),
        (2.1, 3),
        (float("nan"), 0),
        (float("inf"), 10**12),
        (float("-inf"), 0),
        (10**30, 10**12),
        (Decimal("1e30"), 10**12),
        ([], 0),
    ],
)
def test_an_impossible_count_is_clamped_and_marked(count: Any, tokens: int) -> None:
    priced = cost("openai", "gpt-4", Usage(input_tokens=count, output_tokens=1000))
    assert priced.usd == Decimal(tokens) * 30 / 10**6 + Decimal("0.06")
    assert priced.marks == ("clamped",)


def test_just_below_the_clamp_nothing_is_changed() -> None:
    both = Usage(input_tokens=2**39, output_tokens=2**39 + 2**38 - 1)
    assert cost("openai", "gpt-4", both).marks == ()


def test_clamped_searches_are_marked() -> None:
    assert cost("openai", "gpt-5", web_searches=-3) == Cost(Decimal(0), marks=("clamped",))


# -- explaining ------------------------------------------------------------------------------------


def test_lines_say_how_an_amount_comes_about() -> None:
    reading = Reading(
        (
            Sampling(Usage(10, 200_000, 0, 1000, output_tokens=5)),
            Sampling(Usage(input_tokens=7), "claude-opus-9", "advisor_message"),
        ),
        "claude-sonnet-5-5",
        geo="us",
        web_searches=2,
    )
    lines = TABLE.explain("anthropic", reading, CALL, MOMENT)
    told = [
        (line.kind, line.tokens, str(line.usd_per_million), line.model, line.note) for line in lines
    ]
    since = "x1.1, since 2026-10-08"
    assert told == [
        ("input", 10, "2.2", "claude-sonnet-5-5", since),
        ("cache_read", 200_000, "0.11", "claude-sonnet-5-5", since),
        ("cache_write_1h", 1000, "4.4", "claude-sonnet-5-5", since),
        ("output", 5, "11", "claude-sonnet-5-5", since),
        ("input", 7, "15", "claude-opus-4-0", "advisor message"),
        ("web_search", 2, "10000", "claude-sonnet-5-5", ""),
    ]


def test_lines_name_tier_and_band_and_what_was_assumed() -> None:
    reading = Reading((Sampling(Usage(input_tokens=300_000)),), "gpt-5.5", tier="priority")
    (line,) = TABLE.explain("openai", reading, CALL, MOMENT)
    assert line.note == "priority, >272 000 input tokens, band_rate_assumed"
    nothing = Reading((), "gpt-5.4", web_searches=-1)
    assert TABLE.explain("openai", nothing, CALL, MOMENT) == ()


# -- typical ---------------------------------------------------------------------------------------


def test_typical_rates_are_the_plain_ones() -> None:
    sonnet = TABLE.typical("anthropic", "claude-sonnet-5-5", MOMENT)
    assert tuple(
        map(str, (sonnet.input, sonnet.cache_read, sonnet.cache_write, sonnet.output))
    ) == (
        "2",
        "0.1",
        "2.5",
        "10",
    )
    assert (sonnet.context_window, sonnet.max_output_tokens) == (1_000_000, 128_000)
    terra = TABLE.typical("openai", "gpt-6.1-terra", MOMENT)
    assert (str(terra.cache_write), str(terra.web_search_usd)) == ("1.25", "0.01")


def test_every_kind_has_a_count() -> None:
    assert {f"{kind}_tokens" for kind in KINDS} == set(COUNTS)


@given(st.integers(-(10**30), 10**30), st.integers(-30, 12))
def test_equal_amounts_are_written_equally(count: int, exponent: int) -> None:
    amount = Decimal(count).scaleb(exponent)
    short = plain(amount)
    assert short == amount
    assert str(short) == str(plain(PRECISE.add(amount, Decimal("0E-40"))))
    _, digits, places = short.as_tuple()
    assert short == 0 or places == 0 or (int(places) < 0 and digits[-1] != 0)
