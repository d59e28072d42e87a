"""Answers of the vendors as bytes, and the ways a test feeds them to a meter.

The shapes are those of the vendors' API references and SDKs (anthropic 2.13.0, openai 3.57.0), and
of what the real clients were seen to take; the fields that abg does not read are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from abg.call import Call
from abg.dialects import DIALECTS, Meter
from abg.usage import Reading

__all__ = [
    "chat_events",
    "claude_events",
    "compact",
    "data",
    "event",
    "metered",
    "read_of",
    "relayed",
    "response_events",
    "split_at",
]


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def event(kind: str, **fields: Any) -> bytes:
    """A named event whose data says its type, as both vendors send them."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), compact({"type": kind, **fields}))


def data(value: Any) -> bytes:
    """An event without a name, as Chat Completions sends them."""
    return b"data: %s\n\n" % (value if isinstance(value, bytes) else compact(value))


def claude_events(
    begin: Any,
    *deltas: Any,
    text: Sequence[str] = ("Hello", " you"),
    stop_reason: str | None = "end_turn",
    stopped: bool = True,
    model: str = "claude-opus-5-5",
) -> bytes:
    """A stream of the Messages API.

    Args:
        begin: the usage in ``message_start``.
        deltas: the usage of each ``message_delta``.
        text: its pieces; no block at all without one.
        stop_reason: of the last delta.
    """
    message = {"id": "msg_1", "type": "message", "model": model, "content": [], "usage": begin}
    out = [event("message_start", message={**message, "stop_reason": None})]
    if text:
        block = {"type": "text", "text": ""}
        out.append(event("content_block_start", index=0, content_block=block))
        out.append(event("ping"))
        for piece in text:
            delta = {"type": "text_delta", "text": piece}
            out.append(event("content_block_delta", index=0, delta=delta))
        out.append(event("content_block_stop", index=0))
    for at, usage in enumerate(deltas):
        reason = stop_reason if at == len(deltas) - 1 else None
        out.append(event("message_delta", delta={"stop_reason": reason}, usage=usage))
    if stopped:
        out.append(event("message_stop"))
    return b"".join(out)


def chat_events(usage: Any, *text: str) -> bytes:
    """A stream of Chat Completions whose last chunk brings the usage."""
    base = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1764000000,
        "model": "gpt-4o",
        "service_tier": "default",
    }
    choice = {"index": 0, "logprobs": None, "finish_reason": None}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in text or ("Hello", " you")]
    out = [data({**base, "choices": [{**choice, "delta": delta}]}) for delta in deltas]
    out.append(data({**base, "choices": [{**choice, "delta": {}, "finish_reason": "stop"}]}))
    return b"".join([*out, data({**base, "choices": [], "usage": usage}), data(b"[DONE]")])


def response_events(
    final: dict[str, Any], *items: dict[str, Any], kind: str = "response.completed"
) -> bytes:
    """A stream of the Responses API: finished items, then the event that ends it."""
    begun = {"id": "resp_1", "object": "response", "created_at": 1764000000, "model": "gpt-6.1-sol"}
    running = {**begun, "status": "in_progress", "service_tier": "auto", "usage": None}
    out = [event("response.created", sequence_number=0, response=running)]
    for number, text in enumerate(("Hello", " you"), 1):
        out.append(
            event(
                "response.output_text.delta",
                sequence_number=number,
                item_id="msg_1",
                delta=text,
                obfuscation="xyz",
            )
        )
    for index, item in enumerate(items):
        out.append(
            event("response.output_item.done", sequence_number=9, output_index=index, item=item)
        )
    whole = {**begun, "status": kind.rpartition(".")[2], "output": [], **final}
    return b"".join([*out, event(kind, sequence_number=10, response=whole)])


def metered(
    dialect: str, pieces: Iterable[bytes], *, complete: bool = True, **call: Any
) -> tuple[Meter, bytes]:
    """The meter that took these pieces to their end, and what the client got."""
    call.setdefault("endpoint", dialect)
    meter = DIALECTS[dialect].meter(Call(dialect, **call))
    out = b"".join(map(meter.feed, pieces))
    return meter, out + meter.end(complete)


def read_of(dialect: str, answer: bytes | dict[str, Any], **call: Any) -> Reading:
    """The reading of an answer that came in one piece."""
    body = answer if isinstance(answer, bytes) else compact(answer)
    meter, out = metered(dialect, [body], **call)
    assert out == body
    assert meter.final == meter.reading.final
    return meter.reading


def relayed(dialect: str, *pieces: bytes, **call: Any) -> bytes:
    return metered(dialect, pieces, **call)[1]


def split_at(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The stream in pieces; cuts beyond its end wrap around."""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]
