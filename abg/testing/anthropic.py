"""Answers of the Anthropic Messages API, as JSON and as its stream of events.

The order of events is the real one: ``message_start``, blocks with a ``ping`` after the first
start, ``message_delta`` with cumulative counts, ``message_stop``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from abg.testing.ask import Request
from abg.testing.script import DefaultUsage, Step

__all__ = ["error_body", "events", "message", "usage_of"]

USAGE = {
    "input_tokens": 100,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 20,
    "service_tier": "standard",
}


def usage_of(step: Step) -> dict[str, Any] | None:
    """The counts that this answer is charged for; None: the vendor does not say."""
    if step.usage is None:
        return None
    usage = dict(USAGE) if step.tier is None else {**USAGE, "service_tier": step.tier}
    if isinstance(step.usage, DefaultUsage):
        return usage
    usage.update(step.usage)
    if "cache_creation" not in step.usage and "cache_creation_input_tokens" in step.usage:
        usage["cache_creation"] = {
            "ephemeral_5m_input_tokens": step.usage["cache_creation_input_tokens"],
            "ephemeral_1h_input_tokens": 0,
        }
    return usage


def message(step: Step, request: Request, number: int) -> dict[str, Any]:
    """The whole message, as the API answers without a stream."""
    blocks = _blocks(step, request, number)
    whole: dict[str, Any] = {
        "id": f"msg_fake_{number:06d}",
        "type": "message",
        "role": "assistant",
        "model": step.model or request.model,
        "content": blocks,
        "stop_reason": _stop_reason(step, blocks),
        "stop_sequence": None,
        **step.fields,
    }
    usage = usage_of(step)
    if usage is not None:
        whole["usage"] = usage
    return whole


def events(step: Step, request: Request, number: int) -> Iterator[bytes]:
    """The same message as its stream."""
    whole = message(step, request, number)
    usage = whole.pop("usage", None)
    opening = dict(whole, content=[], stop_reason=None)
    if usage is not None:
        opening["usage"] = dict(usage, output_tokens=min(1, _count(usage, "output_tokens")))
        opening["usage"].pop("server_tool_use", None)
        opening["usage"].pop("iterations", None)
    yield _event("message_start", message=opening)
    for index, block in enumerate(whole["content"]):
        yield from _block_events(index, block, step)
    delta: dict[str, Any] = {
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None, **step.fields}
    }
    if usage is not None:
        # The last delta repeats the cumulative counts, but knows no breakdown of cache writes.
        told = ("cache_creation", "service_tier", "inference_geo", "speed")
        delta["usage"] = {key: value for key, value in usage.items() if key not in told}
    yield _event("message_delta", **delta)
    yield _event("message_stop")


def error_body(status: int, error: Mapping[str, Any], number: int) -> dict[str, Any]:
    """An error in the API's shape."""
    kinds = {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    told = {"type": kinds.get(status, "api_error"), "message": "fake vendor error", **error}
    return {"type": "error", "error": told, "request_id": f"req_fake_{number:06d}"}


def _count(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) else 0


def _blocks(step: Step, request: Request, number: int) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if step.thinking is not None:
        blocks.append({"type": "thinking", "thinking": step.thinking, "signature": "ZmFrZQ=="})
    if step.text:
        blocks.append({"type": "text", "text": step.text * max(1, step.events)})
    tools = list(step.tools)
    if step.run is not None:
        told = {"command": step.run, "description": "Run the next command"}
        tools.append({"name": "Bash", "input": told})
    for index, tool in enumerate(tools):
        called = f"toolu_fake_{number:06d}_{index}"
        inside = tool.get("input", {})
        blocks.append({"type": "tool_use", "id": called, "name": tool["name"], "input": inside})
    return blocks


def _stop_reason(step: Step, blocks: list[dict[str, Any]]) -> str:
    if step.stop_reason is not None:
        return step.stop_reason
    return "tool_use" if blocks and blocks[-1]["type"] == "tool_use" else "end_turn"


def _block_events(index: int, block: Mapping[str, Any], step: Step) -> Iterator[bytes]:
    kind = block["type"]
    if kind == "text":
        empty: dict[str, Any] = {"type": "text", "text": ""}
        deltas = _text_deltas(index, step)
    elif kind == "thinking":
        empty = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = iter(
            [
                _delta(index, {"type": "thinking_delta", "thinking": block["thinking"]}),
                _delta(index, {"type": "signature_delta", "signature": block["signature"]}),
            ]
        )
    else:
        empty = dict(block, input={})
        typed = json.dumps(block["input"])
        half = len(typed) // 2
        deltas = iter(
            _delta(index, {"type": "input_json_delta", "partial_json": part})
            for part in ("", typed[:half], typed[half:])
        )
    yield _event("content_block_start", index=index, content_block=empty)
    if index == 0:
        yield _event("ping")
    yield from deltas
    yield _event("content_block_stop", index=index)


def _text_deltas(index: int, step: Step) -> Iterator[bytes]:
    if step.events:
        one = _delta(index, {"type": "text_delta", "text": step.text})
        for _ in range(step.events):
            yield one
        return
    half = (len(step.text) + 1) // 2
    for part in (step.text[:half], step.text[half:]):
        if part:
            yield _delta(index, {"type": "text_delta", "text": part})


def _delta(index: int, delta: Mapping[str, Any]) -> bytes:
    return _event("content_block_delta", index=index, delta=delta)


def _event(kind: str, **data: Any) -> bytes:
    told = json.dumps({"type": kind, **data}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {told}\n\n".encode()
