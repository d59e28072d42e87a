"""Prices from elsewhere: read exactly, compared honestly, written so that abg reads them again."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from typing import Any

import pytest

from abg.errors import ConfigError
from abg.priceimport import compare, read_prices, render
from abg.pricing import PriceTable

TABLE = PriceTable.builtin()
NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)


def litellm(**entries: Any) -> bytes:
    return json.dumps({name.replace("_", "-"): entry for name, entry in entries.items()}).encode()


def genai(*models: dict[str, Any], vendor: str = "openai") -> bytes:
    return json.dumps([{"id": vendor, "models": list(models)}]).encode()


OPUS = {
    "litellm_provider": "anthropic",
    "mode": "chat",
    "input_cost_per_token": 4e-06,
    "output_cost_per_token": 2e-05,
    "cache_read_input_token_cost": 2e-07,
    "cache_creation_input_token_cost": 5e-06,
    "cache_creation_input_token_cost_above_1hr": 8e-06,
    "input_cost_per_token_batches": 2e-06,
    "output_cost_per_token_batches": 1e-05,
    "max_input_tokens": 1000000,
    "max_output_tokens": 128000,
    "provider_specific_entry": {"fast": 2.0, "us": 1.1, "eu": None},
    "search_context_cost_per_query": {"search_context_size_high": 0.01, "x": "y"},
    "supports_vision": True,
}
SOL = {
    "litellm_provider": "openai",
    "mode": "responses",
    "input_cost_per_token": 2e-06,
    "output_cost_per_token": 1e-05,
    "cache_read_input_token_cost": 1e-07,
    "cache_creation_input_token_cost": 2.5e-06,
    "cache_creation_input_token_cost_above_12hr": 5e-06,
    "input_cost_per_token_above_272k_tokens": 4e-06,
    "output_cost_per_token_above_272k_tokens": 1.5e-05,
    "input_cost_per_token_priority": 4e-06,
    "output_cost_per_token_priority": 2e-05,
    "input_cost_per_token_above_272k_tokens_flex": 2e-06,
    "output_cost_per_token_above_272k_tokens_flex": 7.5e-06,
    "output_cost_per_token_ultrafast": 6e-05,
    "input_cost_per_audio_token": 3.2e-05,
    "output_cost_per_audio_token": 6.4e-05,
}


def test_litellm_rates_keep_their_decimals() -> None:
    found = read_prices(litellm(claude_new=OPUS, gpt_new=SOL))
    assert (found.source, found.skipped) == ("litellm", ())
    assert found.blocks["claude-new"] == {
        "vendor": "anthropic",
        "for": "text",
        "context_window": 1000000,
        "max_output_tokens": 128000,
        "multipliers": {"fast": "2", "us": "1.1"},
        "web_search_usd": "0.01",
        "rates": {
            "standard": {
                "input": "4",
                "cache_read": "0.2",
                "cache_write_5m": "5",
                "cache_write_1h": "8",
                "output": "20",
            },
            "batch": {"input": "2", "output": "10"},
        },
    }
    # Without a base flex rate and without ultrafast input these tiers say too little.
    assert found.blocks["gpt-new"]["rates"] == {
        "standard": {
            "input": "2",
            "cache_read": "0.1",
            "cache_write_30m": "2.5",
            "cache_write_12h": "5",
            "output": "10",
            "audio_input": "32",
            "audio_output": "64",
        },
        "standard >272000": {"input": "4", "output": "15"},
        "priority": {"input": "4", "output": "20"},
    }


def test_what_is_not_ours_is_left_out_silently() -> None:
    found = read_prices(
        litellm(
            sample_spec={"litellm_provider": "one of …", "mode": "one of: chat"},
            vertex={**OPUS, "litellm_provider": "vertex_ai"},
            sora={"litellm_provider": "openai", "mode": "video_generation"},
            tts={"litellm_provider": "openai", "mode": "chat", "input_cost_per_character": 1},
            text="no table",
        )
        .replace(b'"sora"', b'"openai/sora"')
        .replace(b'"tts"', b'"tts-1"')
    )
    assert (dict(found.blocks), found.skipped) == ({}, ())


def test_an_embedding_needs_no_output() -> None:
    entry = {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 2e-08}
    (block,) = read_prices(litellm(embed=entry)).blocks.values()
    assert block["rates"] == {"standard": {"input": "0.02", "output": "0"}}


def test_a_bad_entry_is_left_out_by_name() -> None:
    bad = {**SOL, "input_cost_per_token": -1e-06}
    odd = {**OPUS, "output_cost_per_token": "cheap"}
    found = read_prices(litellm(gpt_bad=bad, gpt_odd=odd, gpt_good=SOL))
    assert list(found.blocks) == ["gpt-good"]
    assert found.skipped[0].startswith("gpt-bad: rates: standard: input: must be between 0")
    assert found.skipped[1].startswith("gpt-odd: needs `input` and `output`")


@pytest.mark.parametrize("data", [b"{", b"5", b"{}", b"[]", b'{"a": {}}', b'[{"id": "openai"}]'])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"neither LiteLLM|not JSON"):
        read_prices(data)


LUNA = {
    "id": "gpt-luna",
    "context_window": 1050000,
    "prices": {
        "input_mtok": {"base": 0.1, "tiers": [{"start": 272000, "price": 0.2}]},
        "output_mtok": {"base": 0.5, "tiers": [{"start": 272000, "price": 0.75}]},
        "cache_read_mtok": 0.01,
        "cache_write_mtok": 0.125,
        "input_audio_mtok": None,
        "web_searches_kcount": 10,
        "storage_searches_kcount": 2.5,
    },
    "price_variants": [
        {"when": {"service_tier": "default"}, "prices": {}},
        {"when": {"service_tier": "flex"}, "prices": {"input_mtok": 0.05, "output_mtok": 0.25}},
        {"when": {"processing": "batch"}, "prices": {"input_mtok": 0.04, "output_mtok": 0.2}},
        {"when": {"speed": "slow"}, "prices": {"input_mtok": 9}},
    ],
}


def test_genai_prices_with_bands_and_tiers() -> None:
    found = read_prices(genai(LUNA))
    assert (found.source, found.skipped) == ("genai-prices", ())
    assert found.blocks["gpt-luna"] == {
        "vendor": "openai",
        "for": "text",
        "context_window": 1050000,
        "web_search_usd": "0.01",
        "rates": {
            "standard": {
                "input": "0.1",
                "cache_read": "0.01",
                "cache_write_30m": "0.125",
                "output": "0.5",
            },
            "standard >272000": {"input": "0.2", "output": "0.75"},
            "batch": {"input": "0.04", "output": "0.2"},
            "flex": {"input": "0.05", "output": "0.25"},
        },
    }


def test_genai_fast_speed_is_a_multiplier() -> None:
    model = {
        "id": "claude-x",
        "prices": {"input_mtok": 4, "output_mtok": 20, "cache_write_mtok": 5},
        "price_variants": [
            {"when": {"speed": "fast"}, "prices": {"input_mtok": 8, "output_mtok": 40}}
        ],
    }
    (block,) = read_prices(genai(model, vendor="anthropic")).blocks.values()
    assert block["multipliers"] == {"fast": "2"}
    assert block["rates"]["standard"]["cache_write_5m"] == "5"


def test_genai_dated_prices_are_the_newest() -> None:
    model = {
        "id": "gpt-dated",
        "prices": [
            {"prices": {"input_mtok": 10, "output_mtok": 40}},
            {
                "constraint": {"start_date": "2026-08-21"},
                "prices": {"input_mtok": 4, "output_mtok": 20},
            },
            {
                "constraint": {"start_date": "2025-08-21"},
                "prices": {"input_mtok": 9, "output_mtok": 30},
            },
            {
                "constraint": {"start_time": "00:00:00Z", "end_time": "01:00:00Z"},
                "prices": {"input_mtok": 1, "output_mtok": 2},
            },
        ],
    }
    (block,) = read_prices(genai(model)).blocks.values()
    assert block["rates"] == {"standard": {"input": "4", "output": "20"}}


def test_genai_oddities() -> None:
    found = read_prices(
        json.dumps(
            [
                {"id": "groq", "models": [LUNA]},
                {"id": "openai", "models": None},
                {
                    "id": "openai",
                    "models": [
                        "no model",
                        {"id": 5},
                        {"id": "whisper", "prices": {"audio_hours": 1}},
                        {"id": "draw", "prices": {"input_mtok": 1, "input_image_mtok": 2}},
                        {"id": "nothing", "prices": []},
                        {"id": "embed", "prices": {"input_mtok": 0.5}},
                        {"id": "odd", "prices": {"input_mtok": 1}, "price_variants": ["x"]},
                    ],
                },
            ]
        ).encode()
    )
    assert list(found.blocks) == ["embed"]
    assert found.skipped == ("odd: an entry of another shape",)


def test_what_would_change() -> None:
    opus = {**OPUS, "input_cost_per_token": 5e-06, "cache_creation_input_token_cost": 6e-06}
    opus["provider_specific_entry"] = {"us": 1.2}
    opus["search_context_cost_per_query"] = {"high": 0.02}
    opus["input_cost_per_token_above_500k_tokens"] = 9e-06
    opus["output_cost_per_token_above_500k_tokens"] = 2e-05
    (change,) = compare(TABLE, read_prices(litellm(claude_opus_5_5=opus)), NOW)
    assert (change.name, change.new) == ("claude-opus-5-5", False)
    assert change.lines == (
        "standard input: 4 -> 5",
        "standard cache_write_5m: 5 -> 6",
        "standard >500000 input: 4 -> 9",
        "us: x1.1 -> x1.2",
        "web search: 0.01 -> 0.02",
    )
    # What only the table knows stays.
    assert change.block["multipliers"] == {"fast": "2", "us": "1.2"}
    assert change.block["rates"]["batch"]["cache_write_5m"] == "2.5"
    assert change.block["rates"]["standard >500000"] == {"input": "9", "output": "20"}
    assert change.block["max_output_tokens"] == 128_000


def test_a_rate_that_follows_by_rule_is_no_change() -> None:
    opus = {**OPUS, "cache_creation_input_token_cost_above_1hr_batches": 4e-06}
    assert compare(TABLE, read_prices(litellm(claude_opus_5_5=opus)), NOW) == ()


def test_a_fee_that_the_table_does_not_list() -> None:
    gpt = {**SOL, "search_context_cost_per_query": {"high": 0.01}}
    for entry in (gpt, {**gpt, "input_cost_per_token": 3e-06}):
        changes = compare(TABLE, read_prices(litellm(gpt_4o=entry)), NOW)
        assert "web search: 0.025 -> 0.01" in changes[0].lines
        assert changes[0].block["web_search_usd"] == "0.01"


def test_a_new_model_is_new() -> None:
    (change,) = compare(TABLE, read_prices(litellm(gpt_9=SOL)), NOW)
    assert (change.name, change.new) == ("gpt-9", True)
    assert change.lines[2] == "priority: input 4, output 20"


def test_of_several_names_of_a_model_the_surest_counts() -> None:
    dear = {**OPUS, "input_cost_per_token": 9e-06}
    entries = {
        "claude-haiku-4-5-latest": dear,
        "claude-haiku-4-5-20251001": {**OPUS, "input_cost_per_token": 7e-06},
        "claude-haiku-4-5": {**OPUS, "input_cost_per_token": 6e-06},
        "CLAUDE-haiku-4-5-latest": dear,
        "claude-haiku-4-5:thinking": dear,
        "claude-haiku-4-5-20991231": dear,
    }
    changes = compare(TABLE, read_prices(json.dumps(entries).encode()), NOW)
    assert changes[0].lines[0] == "standard input: 1 -> 6"
    assert [(change.name, change.new) for change in changes] == [
        ("claude-haiku-4-5", False),
        ("claude-haiku-4-5:thinking", True),
        ("claude-haiku-4-5-20991231", True),
    ]


def test_what_is_written_is_read_back_and_then_agrees() -> None:
    dear = {**OPUS, "input_cost_per_token": 9e-06}
    imported = read_prices(litellm(claude_opus_5_5=dear, claude_new_1=OPUS, gpt_4o=SOL))
    changes = compare(TABLE, imported, NOW)
    text = render({change.name: change.block for change in changes}, date(2026, 11, 25), "a test")
    assert '"standard": {"input": "9", "cache_read": "0.2"' in text
    table = TABLE.with_file(text.encode(), "prices.json")
    assert compare(table, imported, NOW) == ()
    match = table.resolve("anthropic", "opus")
    assert (match.name, match.price) == ("claude-opus-5-5", "user")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "mine.json: "),
        (b"[]", "mine.json: has no table `models`"),
        (b'{"models": {"a": {"input": "1"}}}', "mine.json: a: lacks `output`"),
    ],
)
def test_a_wrong_price_file(data: bytes, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TABLE.with_file(data, "mine.json")
    assert str(caught.value).startswith(says)
