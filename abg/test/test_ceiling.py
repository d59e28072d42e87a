"""The dearest rates: what a request leaves open is taken dear, what it fixes is not."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.call import Call
from abg.pricing import Ceiling, Openness, PriceTable
from abg.usage import Reading, Sampling, Usage

TABLE = PriceTable.builtin()
NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)
NAMES = sorted((m.vendor, m.name) for m in TABLE.models.values() if m.rows[0].kind != "images")


def rates(vendor: str, model: str, tokens: int | None = 1, **known: Any) -> tuple[str, str]:
    band = TABLE.dearest(vendor, model, NOW, Openness(**known)).band(tokens)
    return f"{band.input.normalize():f}", f"{band.output.normalize():f}"


@pytest.mark.parametrize(
    ("model", "known", "expected"),
    [
        # An hour's cache write in the US.
        ("claude-opus-5-5", {}, ("8.8", "22")),
        ("claude-opus-5-5", {"geo": "global"}, ("8", "20")),
        ("claude-opus-5-5", {"account_geo": "global"}, ("8", "20")),
        ("claude-opus-5-5", {"geo": "us", "account_geo": "global"}, ("8.8", "22")),
        ("claude-opus-5-5", {"geo": "global", "account_geo": "us"}, ("8", "20")),
        ("claude-opus-5-5", {"geo": "mars"}, ("8.8", "22")),
        ("claude-opus-5-5", {"geo": "global", "cache_lifetimes": ()}, ("4", "20")),
        ("claude-opus-5-5", {"geo": "global", "cache_lifetimes": ("5m",)}, ("5", "20")),
        ("claude-opus-5-5", {"geo": "global", "speed": "fast"}, ("16", "40")),
        ("claude-opus-5-5", {"geo": "global", "speed": "standard"}, ("8", "20")),
        ("claude-opus-5-5", {"geo": "global", "batch": True}, ("4", "10")),
        ("claude-opus-5-5", {"geo": "global", "tier": "priority"}, ("8", "20")),
        ("claude-opus-4-5", {}, ("10", "25")),
    ],
)
def test_anthropic(model: str, known: dict[str, Any], expected: tuple[str, str]) -> None:
    assert rates("anthropic", model, **known) == expected


@pytest.mark.parametrize(
    ("model", "known", "expected"),
    [
        ("gpt-6.1-sol", {}, ("30", "60")),
        ("gpt-6.1-sol", {"tier": "auto"}, ("30", "60")),
        ("gpt-6.1-sol", {"account_tier": "default"}, ("5", "10")),
        ("gpt-6.1-sol", {"account_tier": "priority"}, ("10", "20")),
        ("gpt-6.1-sol", {"tier": "default"}, ("5", "10")),
        ("gpt-6.1-sol", {"tier": "default", "account_tier": "ultrafast"}, ("5", "10")),
        ("gpt-6.1-sol", {"tier": "flex"}, ("5", "10")),
        ("gpt-6.1-sol", {"tier": "fast"}, ("10", "20")),
        ("gpt-6.1-sol", {"tier": "warp"}, ("30", "60")),
        ("gpt-6.1-sol", {"tier": "default", "cache_lifetimes": ("30m",)}, ("2.5", "10")),
        ("gpt-6.1-sol", {"tier": "default", "batch": True}, ("2.5", "5")),
        ("gpt-6-cyber", {}, ("50", "100")),
        ("gpt-audio", {}, ("2.5", "10")),
        ("gpt-audio", {"audio": True}, ("32", "64")),
    ],
)
def test_openai(model: str, known: dict[str, Any], expected: tuple[str, str]) -> None:
    assert rates("openai", model, **known) == expected


def test_bands_by_the_input_that_is_possible() -> None:
    fixed = {"tier": "default", "cache_lifetimes": ()}
    assert rates("openai", "gpt-6.1-sol", 272_000, **fixed) == ("2", "10")
    assert rates("openai", "gpt-6.1-sol", 272_001, **fixed) == ("4", "15")
    assert rates("openai", "gpt-6.1-sol", None, **fixed) == ("4", "15")


def test_limits_and_fees() -> None:
    sol = TABLE.dearest("openai", "gpt-6.1-sol", NOW)
    assert sol == Ceiling("gpt-6.1-sol", sol.bands, Decimal("0.01"), 922_000, 128_000)
    assert TABLE.dearest("openai", "gpt-5.5-cyber", NOW).context_window is None


def test_an_unknown_model_is_as_dear_as_any_of_its_family() -> None:
    ceiling = TABLE.dearest("openai", "gpt-9", NOW, Openness(tier="default", cache_lifetimes=()))
    assert (ceiling.band(1).input, ceiling.band(1).output) == (30, 100)
    # gpt-6-rosalind's band raises the output only above it.
    assert ceiling.band(None).output == Decimal("112.5")
    assert ceiling.name == "gpt-9"


@given(
    st.sampled_from(NAMES),
    st.integers(0, 400_000),
    st.integers(0, 4),
    st.integers(0, 10_000),
    st.sampled_from((None, "default", "auto", "flex", "priority", "ultrafast")),
    st.sampled_from((None, "us", "global")),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_call_costs_more_than_the_dearest_rates(
    model: tuple[str, str],
    tokens: int,
    kind: int,
    output: int,
    tier: str | None,
    geo: str | None,
    fast: bool,
) -> None:
    vendor, name = model
    if vendor == "anthropic":
        tier = None
        read = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input")[kind]
    else:
        fast, geo = False, None
        read = ("input", "cache_read", "cache_write_30m", "cache_write_12h", "input")[kind]
    speed = "fast" if fast else None
    ceiling = TABLE.dearest(vendor, name, NOW, Openness(tier=tier, geo=geo, speed=speed))
    listed = {t for t, _ in TABLE.models[name].rows[-1].rates} - {"batch"}
    served = listed if tier in (None, "auto") and vendor == "openai" else {tier, "default"}
    for answered in served:
        for region in (geo,) if geo else (None, "us", "global"):
            usage = Usage(**{f"{read}_tokens": tokens, "output_tokens": output})
            reading = Reading((Sampling(usage),), name, tier=answered, geo=region, speed=speed)
            cost = TABLE.cost(vendor, reading, Call("d", "e", name), NOW).usd
            band = ceiling.band(tokens)
            assert cost * 10**6 <= band.input * tokens + band.output * output
