"""Asking a vendor's free counter how many tokens a request's input has.

The counters take only what decides the input; everything else in the body is left out. Chat
Completions has no counter. Sources: Anthropic API reference, *Count tokens in a Message*; OpenAI
API reference, *Get input token counts* (as of 2026-11). Pure.
"""

from __future__ import annotations

import json
from typing import Any

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
    try:
        value = json.loads(body)
        if not isinstance(value, dict):
            return None
        question = {key: value[key] for key in value if key in keys}
        encoded = json.dumps(question, separators=(",", ":")).encode("ascii")
    except (ValueError, RecursionError):
        return None
    return path + suffix + mark + query, encoded


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
