"""OpenAI's overlapping counts made disjoint, the same for all of its formats.

``input_tokens`` (``prompt_tokens``) includes what was read from and written to the cache, and
audio; ``output_tokens`` includes reasoning, audio, and accepted and rejected predictions.
Sources: the Python SDK's ``types/responses/response_usage.py``, ``types/completion_usage.py``
(3.57.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from abg.dialects_old.old_readjson import count
from abg.usage import Reading, Sampling, Usage

__all__ = ["image_sampling", "usage_of", "usage_reading"]

_NOTHING: Mapping[str, Any] = {}


def usage_of(table: Mapping[str, Any], marks: set[str]) -> Usage:
    """Disjoint counts. Where the parts exceed the whole, everything that is not a write counts
    as uncached input, and the larger total counts: the dear reading."""
    new = "input_tokens" in table or "output_tokens" in table
    total = count(table, "input_tokens" if new else "prompt_tokens", marks)
    output = count(table, "output_tokens" if new else "completion_tokens", marks)
    inside = _details(table, "input_tokens_details" if new else "prompt_tokens_details")
    outside = _details(table, "output_tokens_details" if new else "completion_tokens_details")
    cached = count(inside, "cached_tokens", marks)
    written = count(inside, "cache_write_tokens", marks)
    audio = count(inside, "audio_tokens", marks)
    half_hour, half_day = _by_lifetime(inside, written, marks)
    written = half_hour + half_day
    if cached + written + audio > total:
        marks.add("clamped")
        total = max(total, cached + written + audio)
        cached = 0
    spoken = count(outside, "audio_tokens", marks)
    if spoken > output:
        marks.add("clamped")
        output = spoken
    return Usage(
        input_tokens=total - cached - written - audio,
        cache_read_tokens=cached,
        cache_write_30m_tokens=half_hour,
        cache_write_12h_tokens=half_day,
        output_tokens=output - spoken,
        audio_input_tokens=audio,
        audio_output_tokens=spoken,
    )


def _by_lifetime(inside: Mapping[str, Any], written: int, marks: set[str]) -> tuple[int, int]:
    details = _details(inside, "cache_write_tokens_details")
    short = count(details, "ttl_30m_tokens", marks)
    long = count(details, "ttl_12h_tokens", marks)
    if short + long > written:
        if written:
            marks.add("clamped")
        return short, long
    return written - long, long


def _details(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = table.get(key)
    return found if isinstance(found, dict) else _NOTHING


def usage_reading(table: Mapping[str, Any], base: Reading) -> Reading:
    """A final reading with the counts of a ``usage`` object; not final if they say nothing."""
    marks: set[str] = set()
    usage = usage_of(table, marks)
    outside = _details(table, "output_tokens_details") or _details(
        table, "completion_tokens_details"
    )
    return evolve(
        base,
        samplings=(Sampling(usage),),
        reasoning_tokens=count(outside, "reasoning_tokens", set()),
        final="unreadable" not in marks,
        marks=tuple(sorted({*base.marks, *marks})),
    )


def image_sampling(table: Mapping[str, Any], marks: set[str]) -> Sampling | None:
    """The tokens of an image tool, which stand beside the usage; None: there are none."""
    usage = Usage(
        input_tokens=count(table, "input_tokens", marks),
        image_output_tokens=count(table, "output_tokens", marks),
    )
    if not usage.input_tokens and not usage.image_output_tokens:
        return None
    model = table.get("model")
    return Sampling(usage, model if isinstance(model, str) and model else None, "image")
