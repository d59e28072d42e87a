"""The last message of a request by its content, so that a loop can be told from progress.

The same by content, not by bytes: ids, cache marks, metadata and the spelling as a string or as
blocks do not count, nor does what agents put in anew on each turn (Claude Code's reminders; the
clock and the number of a command in Codex's results). Results of tools that came together are one
message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from abg.dialects.readjson import crowded, read

__all__ = ["digest_of_last"]

_UNTOLD = frozenset(
    (
        "annotations",
        "cache_control",
        "call_id",
        "caller",
        "citations",
        "id",
        "internal_chat_message_metadata_passthrough",
        "logprobs",
        "metadata",
        "prompt_cache_breakpoint",
        "signature",
        "status",
        "tool_call_id",
        "tool_use_id",
    )
)
_TEXT_BLOCKS = ("text", "input_text", "output_text")
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>\s*", re.DOTALL)
_REMINDER_ENDS = "</system-reminder>"
_CLOCK = re.compile(
    r"^(?:Chunk ID|Wall time|Original token count)\b[^\n]*\n?", re.MULTILINE | re.IGNORECASE
)


class _Asked(msgspec.Struct):
    """Where requests keep what is said; each message stays text until it is the last."""

    messages: list[msgspec.Raw] | None = None
    input: list[msgspec.Raw] | None = None


_DECODE = msgspec.json.Decoder(_Asked).decode


def digest_of_last(body: bytes) -> bytes | None:
    """16 bytes that are the same for the same last message; None if there is none."""
    messages = () if crowded(body) else _messages(body)
    if not messages:
        return None
    try:
        content = [_told(message) for message in _last_of(messages)]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        return None
    return blake2b(text.encode(), digest_size=16).digest()


def _messages(body: bytes) -> Sequence[Any]:
    try:
        asked = _DECODE(body)
        found = asked.messages if asked.messages is not None else asked.input
        if found is not None:
            return _Lazily(found)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    value = read(body)
    if not isinstance(value, dict):
        return ()
    for name in ("messages", "input", "prompt"):
        told = value.get(name)
        if isinstance(told, str):
            return ({"role": "user", "content": told},)
        if isinstance(told, list):
            return told
    return ()


class _Lazily(Sequence[Any]):
    """Messages that are read when they are looked at."""

    def __init__(self, raw: list[msgspec.Raw]) -> None:
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw)

    def __getitem__(self, index: Any) -> Any:
        return read(bytes(self._raw[index]))


def _last_of(messages: Sequence[Any]) -> list[Any]:
    """The last message; with it the results of tools that stand right before it, if it is one."""
    at = len(messages) - 1
    while at and _is_instruction(messages[at]):
        at -= 1
    last = [messages[at]]
    while _is_result(last[0]) and at:
        at -= 1
        before = messages[at]
        if not _is_result(before):
            break
        last.append(before)
    last.reverse()
    return last


def _is_instruction(message: Any) -> bool:
    """What an agent adds in the middle of a conversation, and not its user."""
    return isinstance(message, dict) and message.get("role") in ("system", "developer")


def _is_result(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    return message.get("role") == "tool" or str(message.get("type")).endswith("_call_output")


def _told(message: Any) -> Any:
    if not isinstance(message, dict):
        return _parts(message)
    kind = message.get("role") or message.get("type")
    rest = {k: v for k, v in message.items() if k not in ("role", "type")}
    return [kind, _parts(rest)]


def _parts(value: Any) -> list[Any]:
    """The content, flattened: texts without what changes on each turn, then everything else."""
    found: list[Any] = []
    _flatten(value, found)
    return found


def _flatten(value: Any, found: list[Any]) -> None:
    if isinstance(value, str):
        if value.startswith('{"output":'):
            # Older versions of Codex wrap a command's result, and say how long it took.
            wrapped = read(value.encode("utf-8", "surrogatepass"))
            if isinstance(wrapped, dict) and isinstance(wrapped.get("output"), str):
                value = wrapped["output"]
        text = _CLOCK.sub("", _without_reminders(value)).strip()
        if text:
            found.append(text)
    elif isinstance(value, list):
        for item in value:
            _flatten(item, found)
    elif isinstance(value, dict):
        if value.get("type") in _TEXT_BLOCKS and isinstance(value.get("text"), str):
            _flatten(value["text"], found)
            return
        for name in sorted(value):
            if name in _UNTOLD:
                continue
            if name != "content":
                inside = _parts(value[name])
                if inside:
                    found.append([name, inside])
            else:
                _flatten(value[name], found)
    elif value:
        found.append(value)


def _without_reminders(text: str) -> str:
    # Behind the last end none is closed, and each beginning would be followed to the end of all.
    end = text.rfind(_REMINDER_ENDS)
    if end < 0:
        return text
    rest = text[end + len(_REMINDER_ENDS) :].lstrip()
    return _REMINDER.sub("", text[: len(text) - len(rest)]) + rest
