"""Asking a vendor's free counter how many tokens a request's input has.

The counters take only what decides the input; everything else in the body is left out. Chat
Completions has no counter. What is taken over is not taken apart: 20 MB may be millions of values.
Sources: Anthropic API reference, *Count tokens in a Message*; OpenAI API reference, *Get input
token counts* (as of 2026-11). Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from abg.dialects.readjson import read

__all__ = ["count_question", "counted"]

_ASKED = {
    "messages": (
        b"/count_tokens",
        frozenset(
            (
                "cache_control",
                "context_management",
                "mcp_servers",
                "messages",
                "model",
                "output_config",
                "output_format",
                "system",
                "thinking",
                "tool_choice",
                "tools",
            )
        ),
    ),
    "responses": (
        b"/input_tokens",
        frozenset(
            (
                "conversation",
                "input",
                "instructions",
                "model",
                "parallel_tool_calls",
                "previous_response_id",
                "reasoning",
                "text",
                "tool_choice",
                "tools",
                "truncation",
            )
        ),
    ),
}
MOST_TOKENS = 10**9


def count_question(endpoint: str, target: bytes, body: bytes) -> tuple[bytes, bytes] | None:
    """Target and body of the question, or None where there is no counter or no question.

    Args:
        target: where the call itself would go.
        body: decompressed.
    """
    asked = _ASKED.get(endpoint)
    if asked is None:
        return None
    suffix, keys = asked
    path, mark, query = target.partition(b"?")
    question = _said(keys, body)
    return None if question is None else (path + suffix + mark + query, question)


def counted(answer: bytes) -> int | None:
    """The number in a counter's answer; None if it gives none."""
    try:
        value: Any = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    count = value.get("input_tokens") if isinstance(value, dict) else None
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_TOKENS:
        return None
    return count


def _taken(keys: frozenset[str]) -> Callable[[bytes], Any]:
    fields = [(key, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for key in sorted(keys)]
    return msgspec.json.Decoder(msgspec.defstruct("Question", fields)).decode


_TAKEN = {keys: _taken(keys) for _, keys in _ASKED.values()}


def _said(keys: frozenset[str], body: bytes) -> bytes | None:
    try:
        return msgspec.json.encode(_TAKEN[keys](body))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    value = read(body)
    with suppress(RecursionError):
        if isinstance(value, dict):
            question = {key: value[key] for key in value if key in keys}
            return json.dumps(question, separators=(",", ":")).encode("ascii")
    return None
