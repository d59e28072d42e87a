"""The last message by content: what a loop repeats.

Ids, cache marks, metadata, the spelling of a text as string or block, and what an agent changes
on each turn (its reminders) do not count; what the model is told does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from abg.dialects_old.old_readjson import object_of

__all__ = ["last_input", "last_message"]

_IGNORED = frozenset(
    (
        "cache_control",
        "call_id",
        "citations",
        "id",
        "metadata",
        "status",
        "tool_call_id",
        "tool_use_id",
    )
)
_REMINDER = re.compile(r"<(system-reminder|environment_context)>.*?</\1>", re.DOTALL)
_DEEPEST = 30


def last_message(body: bytes) -> bytes | None:
    """Of a request with ``messages``; None if it has none."""
    value = object_of(body)
    messages = value.get("messages") if value is not None else None
    if not isinstance(messages, list) or not messages:
        return None
    return _digest(messages[-1])


def last_input(body: bytes) -> bytes | None:
    """Of a request with ``input``: its text, or the items after the model's last own one."""
    value = object_of(body)
    given = value.get("input") if value is not None else None
    if isinstance(given, str) and given:
        return _digest(given)
    if not isinstance(given, list):
        return None
    tail: list[Any] = []
    for item in reversed(given):
        if isinstance(item, dict) and _is_models(item):
            break
        tail.append(item)
    return _digest(tail[::-1]) if tail else None


def _is_models(item: Mapping[str, Any]) -> bool:
    kind = item.get("type")
    return item.get("role") == "assistant" or kind in (
        "function_call",
        "custom_tool_call",
        "local_shell_call",
        "reasoning",
    )


def _digest(message: Any) -> bytes:
    plain = msgspec.json.encode(_plain(message, 0), order="sorted")
    return blake2b(plain, digest_size=16).digest()


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        said = _REMINDER.sub("", value).strip()
        return said.encode("utf-8", "replace").decode("utf-8")
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, list):
        parts = [_plain(item, depth + 1) for item in value]
        # A text is the same as a list of one block with that text.
        kept = [part for part in parts if part not in ("", {}, [])]
        return kept[0] if len(kept) == 1 else kept
    if isinstance(value, dict):
        if value.get("type") in ("text", "input_text", "output_text") and "text" in value:
            return _plain(value["text"], depth + 1)
        return {
            str(key): _plain(item, depth + 1) for key, item in value.items() if key not in _IGNORED
        }
    if isinstance(value, float):
        return repr(value)
    return value
