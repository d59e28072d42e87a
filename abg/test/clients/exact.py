"""What the vendors would charge, worked out anew and apart from abg's own price table.

USD per million tokens: Claude Code's own catalog and OpenAI's list, as of 2026-11-24.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

__all__ = ["charged", "price"]

MILLION = Decimal(1_000_000)
# input, output, cache read, cache write for 5 minutes, for an hour
ANTHROPIC = {
    "claude-opus-5-5": ("4", "20", "0.20", "5", "8"),
    "claude-opus-4-8": ("5", "25", "0.50", "6.25", "10"),
    "claude-sonnet-5-5": ("2", "10", "0.10", "2.5", "4"),
    "claude-haiku-4-5": ("1", "5", "0.10", "1.25", "2"),
}
# input, output, cache read
OPENAI = {
    "gpt-6.2-sol": ("2", "10", "0.1"),
    "gpt-6.1-sol": ("2", "10", "0.1"),
    "gpt-5.5": ("5", "30", "0.5"),
    "gpt-4o-mini": ("0.15", "0.60", "0.075"),
    "text-embedding-3-small": ("0.02", "0", "0.02"),
}


def price(model: str, usage: Mapping[str, Any]) -> Decimal:
    """USD for one answer's usage, in either vendor's spelling."""
    if model in ANTHROPIC:
        fresh, out, read, short, long = map(Decimal, ANTHROPIC[model])
        writes = usage.get("cache_creation_input_tokens", 0)
        an_hour = usage.get("cache_creation", {}).get("ephemeral_1h_input_tokens", 0)
        searches = usage.get("server_tool_use", {}).get("web_search_requests", 0)
        tokens = (
            usage["input_tokens"] * fresh
            + usage.get("cache_read_input_tokens", 0) * read
            + (writes - an_hour) * short
            + an_hour * long
            + usage["output_tokens"] * out
        )
        return tokens / MILLION + searches * Decimal("0.01")
    fresh, out, read = map(Decimal, OPENAI[model])
    read_in = usage.get("input_tokens", usage.get("prompt_tokens", 0))
    details = usage.get("input_tokens_details", usage.get("prompt_tokens_details", {}))
    cached = details.get("cached_tokens", 0)
    written = usage.get("output_tokens", usage.get("completion_tokens", 0))
    return ((read_in - cached) * fresh + cached * read + written * out) / MILLION


def charged(charges: Iterable[Any]) -> Decimal:
    """USD for all that a fake vendor booked and told."""
    told = (c for c in charges if c.usage is not None and c.told)
    return sum((price(c.model, c.usage) for c in told), Decimal(0))
