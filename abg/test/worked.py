"""The worked examples of prices, and a plain reading of them that owes nothing to the dialects.

``pricing_examples.json``: usages as they come on the wire, each with its exact cost; most say how
it comes about (``products``: tokens and the vendor's rate, taken by hand from the price lists).
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from abg.call import Call
from abg.usage import Reading, Sampling, Usage

__all__ = ["EXAMPLES", "MOMENT", "call_of", "moment_of", "reading_of", "vendor_of"]

EXAMPLES: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("pricing_examples.json").read_text("utf-8")
)
MOMENT = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)


def vendor_of(example: dict[str, Any]) -> str:
    return str(example["dialect"]).partition("_")[0]


def moment_of(example: dict[str, Any]) -> datetime:
    at = example.get("at")
    return datetime.fromisoformat(at.replace("Z", "+00:00")) if at else MOMENT


def call_of(example: dict[str, Any]) -> Call:
    return Call(dialect=example["dialect"], endpoint="", model=example["model"])


def reading_of(example: dict[str, Any]) -> Reading:
    return _anthropic(example) if example["dialect"] == "anthropic" else _openai(example)


def _anthropic(example: dict[str, Any]) -> Reading:
    usage = example["usage"]
    iterations = usage.get("iterations")
    if iterations:
        samplings = tuple(
            Sampling(_anthropic_counts(it), it.get("model"), it["type"]) for it in iterations
        )
    else:
        samplings = (Sampling(_anthropic_counts(usage)),)
    return Reading(
        samplings,
        model=example["model"],
        final=True,
        tier=usage.get("service_tier"),
        speed=usage.get("speed"),
        geo=usage.get("inference_geo"),
        web_searches=usage.get("server_tool_use", {}).get("web_search_requests", 0),
        billed=not (example.get("stop_reason") == "refusal" and not example.get("text")),
    )


def _anthropic_counts(usage: dict[str, Any]) -> Usage:
    hour = usage.get("cache_creation", {}).get("ephemeral_1h_input_tokens", 0)
    return Usage(
        input_tokens=usage["input_tokens"],
        cache_read_tokens=usage["cache_read_input_tokens"],
        cache_write_5m_tokens=usage["cache_creation_input_tokens"] - hour,
        cache_write_1h_tokens=hour,
        output_tokens=usage["output_tokens"],
    )


def _openai(example: dict[str, Any]) -> Reading:
    usage = example["usage"]
    whole = usage.get("input_tokens", usage.get("prompt_tokens"))
    out = usage.get("output_tokens", usage.get("completion_tokens", 0))
    inside = usage.get("input_tokens_details") or usage.get("prompt_tokens_details") or {}
    spoken = usage.get("completion_tokens_details", {}).get("audio_tokens", 0)
    cached, heard = inside.get("cached_tokens", 0), inside.get("audio_tokens", 0)
    written = inside.get("cache_write_tokens", 0)
    long = inside.get("cache_write_tokens_details", {}).get("ttl_12h_tokens", 0)
    counts = Usage(
        input_tokens=whole - cached - written - heard,
        cache_read_tokens=cached,
        cache_write_30m_tokens=written - long,
        cache_write_12h_tokens=long,
        output_tokens=out - spoken,
        audio_input_tokens=heard,
        audio_output_tokens=spoken,
    )
    told = example.get("tool_usage", {}).get("web_search", {}).get("num_requests")
    shown = sum(i["action"]["type"] == "search" for i in example.get("output", ()))
    return Reading(
        (Sampling(counts),),
        model=example["model"],
        final=True,
        tier=example.get("service_tier"),
        web_searches=shown if told is None else told,
    )
