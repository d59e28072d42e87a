"""Answers of both vendors, as JSON or as their streams, sent through a stage of the corridor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from abg.ledger import Entry
from abg.test.playbook import CLAUDE, CODEX, Stage

__all__ = ["SOL", "THOUSAND_EACH", "as_events", "event", "message", "response", "told"]

SOL = "gpt-6.1-sol"
# input 2, cached 0.10, output 10; opus-5-5: input 4, cache read 0.20, write 5 and 8, output 20
THOUSAND_EACH = {"input_tokens": 1000, "output_tokens": 1000}


def response(**more: Any) -> dict[str, Any]:
    base = {"id": "resp_1", "object": "response", "status": "completed", "model": SOL}
    return {**base, "output": [], "usage": THOUSAND_EACH, **more}


def message(usage: Any, model: str = "claude-opus-5-5", **more: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "x"}]
    base = {"id": "msg_1", "type": "message", "model": model, "content": content}
    return {**base, "stop_reason": "end_turn", "usage": usage, **more}


def event(data: Mapping[str, Any]) -> bytes:
    named = f"event: {data['type']}\n" if "type" in data else ""
    return f"{named}data: {json.dumps(data)}\n\n".encode()


def as_events(answer: dict[str, Any]) -> Iterator[bytes]:
    """An answer as its stream."""
    kind = answer.get("object")
    if kind == "response":
        begun = {**answer, "status": "in_progress", "usage": None, "output": []}
        begun["service_tier"] = "auto"
        begun.pop("tool_usage", None)
        yield event({"type": "response.created", "response": begun})
        yield event({"type": "response.completed", "response": answer})
    elif kind == "chat.completion":
        base = {**answer, "object": "chat.completion.chunk", "choices": []}
        usage = base.pop("usage")
        yield event({**base, "choices": [{"index": 0, "delta": {"content": "x"}}]})
        yield event({**base, "usage": usage}) + b"data: [DONE]\n\n"
    else:
        usage = answer["usage"]
        begun = {**answer, "content": [], "stop_reason": None, "usage": {"input_tokens": 1}}
        yield event({"type": "message_start", "message": begun})
        for index, block in enumerate(answer["content"]):
            yield event({"type": "content_block_start", "index": index, "content_block": block})
        ended = {"stop_reason": answer["stop_reason"]}
        yield event({"type": "message_delta", "delta": ended, "usage": usage})
        yield event({"type": "message_stop"})


PATHS = {"response": b"/v1/responses", "chat.completion": b"/v1/chat/completions"}


def told(
    answer: dict[str, Any],
    stream: bool,
    stage: Stage | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
    **asked: Any,
) -> Entry:
    """The entry of a call that is so answered; the client gets the answer byte for byte."""
    stage = Stage() if stage is None else stage
    path = PATHS.get(str(answer.get("object")), b"/v1/messages")
    body = {"model": answer["model"], "stream": stream, **asked}
    if stream:
        body["stream_options"] = {"include_usage": True}
    own = CLAUDE if path == b"/v1/messages" else CODEX
    client = stage.ask(path, body, headers or own)
    pieces = list(as_events(answer)) if stream else [json.dumps(answer).encode()]
    vendor = stage.vendor()
    vendor.head()
    for piece in pieces:
        vendor.data(piece[:7])
        vendor.data(piece[7:])
    vendor.finish()
    assert client.received == b"".join(pieces)
    return stage.entries[-1]
