"""OpenAI's usage objects as disjoint counts.

Responses and batches say ``input_tokens`` / ``output_tokens``, the older APIs ``prompt_tokens`` /
``completion_tokens``; both **include** what their details list. Sources: SDK 3.57.0
(``types/responses/response_usage.py``, ``types/completion_usage.py``, ``types/responses/
response.py``: ``tool_usage``). Reasoning, accepted and rejected prediction tokens are inside the
output; audio has its own rates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from abg.dialects.counts import Counts, mapping
from abg.usage import Sampling, Usage

__all__ = ["OpenAIUsage", "image_sampling", "tokens_of"]

BYTES_PER_TOKEN = 3
"""Of text, where a count that must be there is none; dear."""


@frozen
class OpenAIUsage:
    """One usage object, read."""

    usage: Usage
    reasoning_tokens: int
    complete: bool
    """All counts that must be there are there."""


def tokens_of(
    told: Mapping[str, Any], counts: Counts, body_bytes: int, *, with_output: bool = True
) -> OpenAIUsage | None:
    """A usage object as disjoint counts; None if it counts nothing at all.

    Args:
        body_bytes: stands in for an input count that is missing or none.
        with_output: False for calls that generate nothing.
    """
    whole = _either(told, counts, "input_tokens", "prompt_tokens")
    out = _either(told, counts, "output_tokens", "completion_tokens")
    if whole is None and out is None:
        return None
    if whole is None:
        counts.odd = True
        rest = counts.whole(told, "total_tokens") - (out or 0)
        whole = max(rest, -(-body_bytes // BYTES_PER_TOKEN))
    inside = mapping(told.get("input_tokens_details") or told.get("prompt_tokens_details"))
    outside = mapping(told.get("output_tokens_details") or told.get("completion_tokens_details"))
    reasoning = counts.whole(outside, "reasoning_tokens")
    spoken = counts.whole(outside, "audio_tokens")
    text_out = (out or 0) - spoken
    if text_out < 0 or reasoning > (out or 0):
        # More inside than there is: the larger one counts.
        counts.odd = True
        text_out = max(text_out, 0, reasoning - spoken)
    fresh, cached, short, long, heard = _disjoint(whole, inside, counts)
    return OpenAIUsage(
        Usage(fresh, cached, 0, 0, short, long, text_out, heard, spoken),
        reasoning,
        out is not None or not with_output,
    )


def image_sampling(tool_usage: Mapping[str, Any], counts: Counts) -> Sampling | None:
    """What an image tool used beside the answer's own tokens; None if nothing."""
    told = mapping(tool_usage.get("image_gen"))
    read = counts.whole(told, "input_tokens")
    drawn = counts.whole(told, "output_tokens")
    if not read and not drawn:
        return None
    cached = counts.whole(told, "cached_tokens")
    if cached > read:
        counts.odd = True
        cached = 0
    usage = Usage(input_tokens=read - cached, cache_read_tokens=cached, image_output_tokens=drawn)
    return Sampling(usage, None, "image")


def _either(told: Mapping[str, Any], counts: Counts, name: str, older: str) -> int | None:
    found = counts.get(told, name)
    return found if found is not None else counts.get(told, older)


def _disjoint(
    whole: int, inside: Mapping[str, Any], counts: Counts
) -> tuple[int, int, int, int, int]:
    """The input, taken apart; what cannot be inside it is read dear.

    Returns:
        Fresh, read from a cache, written for 30 minutes, written for twelve hours, heard.
    """
    cached = counts.whole(inside, "cached_tokens")
    heard = counts.whole(inside, "audio_tokens")
    written = counts.whole(inside, "cache_write_tokens")
    lifetimes = mapping(inside.get("cache_write_tokens_details"))
    short = counts.whole(lifetimes, "ttl_30m_tokens")
    long = counts.whole(lifetimes, "ttl_12h_tokens")
    if short + long <= written:
        short = written - long
    else:
        counts.odd = counts.odd or inside.get("cache_write_tokens") is not None
        written = short + long
    if cached > whole or written + heard > whole:
        # Impossible: the larger number of tokens counts, and nothing of it was cheap.
        counts.odd = True
        whole = max(whole, cached, written + heard)
        cached = 0
    rest = whole - written - heard
    if cached > rest:
        # Sound that was cached is told twice: it costs as sound. Anything else is impossible.
        if cached > rest + heard:
            counts.odd = True
            cached = 0
        else:
            cached = rest
    return rest - cached, cached, short, long, heard
