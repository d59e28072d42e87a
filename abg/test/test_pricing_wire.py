"""The worked examples as they come on the wire: JSON and stream, in any split, through the meters.

``test_pricing`` prices a plain reading of the same usages; here the dialects read them.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from attrs import evolve

from abg.dialects import DIALECTS
from abg.pricing import PriceTable
from abg.test.worked import EXAMPLES, call_of, moment_of, reading_of, vendor_of

TABLE = PriceTable.builtin()
by_example = pytest.mark.parametrize("example", EXAMPLES, ids=[e["note"] for e in EXAMPLES])


def answer_of(example: dict[str, Any]) -> dict[str, Any]:
    """The whole JSON answer that holds such a usage."""
    dialect, model, usage = example["dialect"], example["model"], example["usage"]
    if dialect == "anthropic":
        refused = example.get("stop_reason") == "refusal" and not example.get("text")
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [] if refused else [{"type": "text", "text": "Hello."}],
            "stop_reason": example.get("stop_reason", "end_turn"),
            "usage": usage,
        }
    answer: dict[str, Any] = {"id": "x_1", "model": model, "usage": usage}
    if "service_tier" in example:
        answer["service_tier"] = example["service_tier"]
    if dialect == "openai_responses":
        answer |= {
            "object": "response",
            "status": "completed",
            "output": example.get("output", []),
        }
        if "tool_usage" in example:
            answer["tool_usage"] = example["tool_usage"]
    elif dialect == "openai_chat":
        message = {"role": "assistant", "content": "Hello."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer |= {"object": "chat.completion", "choices": [choice]}
    elif dialect == "openai_completions":
        answer |= {"object": "text_completion", "choices": [{"index": 0, "text": "Hello."}]}
    else:
        answer |= {"object": "list", "data": [{"index": 0, "embedding": [0.5]}]}
    return answer


def stream_of(example: dict[str, Any]) -> bytes:
    """The same answer as events; what comes when is as the vendors send it."""
    answer = answer_of(example)
    if example["dialect"] == "anthropic":
        return b"".join(_anthropic_events(answer))
    if example["dialect"] == "openai_responses":
        begun = answer | {"status": "in_progress", "usage": None, "output": []}
        begun["service_tier"] = "auto"
        return b"".join(
            (
                _event({"type": "response.created", "response": begun}, named=True),
                _event({"type": "response.output_text.delta", "delta": "Hello."}, named=True),
                _event({"type": "response.completed", "response": answer}, named=True),
            )
        )
    kind = "chat.completion.chunk" if example["dialect"] == "openai_chat" else "text_completion"
    chunk = {"id": "x_1", "object": kind, "model": answer["model"], "usage": None}
    if "service_tier" in answer:
        chunk["service_tier"] = answer["service_tier"]
    text = {"delta": {"content": "Hello."}} if kind.startswith("chat") else {"text": "Hello."}
    return b"".join(
        (
            _event(chunk | {"choices": [{"index": 0, **text}]}),
            _event(chunk | {"choices": [], "usage": answer["usage"]}),
            b"data: [DONE]\n\n",
        )
    )


def _anthropic_events(answer: dict[str, Any]) -> list[bytes]:
    usage = answer["usage"]
    late = {"output_tokens", "iterations", "server_tool_use"}
    early = {key: value for key, value in usage.items() if key not in late}
    begun = answer | {"content": [], "stop_reason": None, "usage": early | {"output_tokens": 1}}
    events = [_event({"type": "message_start", "message": begun}, named=True)]
    if answer["content"]:
        block = {"type": "content_block_delta", "index": 0}
        events += [
            _event({"type": "ping"}, named=True),
            _event(
                {
                    "type": "content_block_start",
                    "index": 0,
                    "content_block": {"type": "text", "text": ""},
                },
                named=True,
            ),
            _event(block | {"delta": {"type": "text_delta", "text": "Hello."}}, named=True),
            _event({"type": "content_block_stop", "index": 0}, named=True),
        ]
    ended = {key: value for key, value in usage.items() if key in late}
    delta = {"stop_reason": answer["stop_reason"]}
    events += [
        _event({"type": "message_delta", "delta": delta, "usage": ended}, named=True),
        _event({"type": "message_stop"}, named=True),
    ]
    return events


def _event(value: dict[str, Any], *, named: bool = False) -> bytes:
    name = f"event: {value['type']}\n" if named else ""
    return f"{name}data: {json.dumps(value)}\n\n".encode()


def _metered(example: dict[str, Any], body: bytes, pieces: int) -> None:
    call = evolve(call_of(example), stream=body.startswith((b"event:", b"data:")))
    meter = DIALECTS[example["dialect"]].meter(call)
    rng = random.Random(example["note"])
    cuts = sorted(rng.randrange(len(body) + 1) for _ in range(pieces))
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        meter.feed(body[start:end])
    meter.end(True)
    reading = meter.reading
    assert reading.final
    cost = TABLE.cost(vendor_of(example), reading, call, moment_of(example))
    assert str(cost.usd) == example["cost_usd"]
    assert cost.marks == tuple(example.get("marks", ()))
    assert cost.price == example.get("price", "table")
    plain = reading_of(example)
    if plain.billed:
        assert reading.usage == plain.usage


@by_example
@pytest.mark.parametrize("pieces", [0, 5])
def test_json(example: dict[str, Any], pieces: int) -> None:
    _metered(example, json.dumps(answer_of(example)).encode(), pieces)


@pytest.mark.parametrize(
    "example",
    [e for e in EXAMPLES if e["dialect"] != "openai_embeddings"],
    ids=lambda e: e["note"],
)
@pytest.mark.parametrize("pieces", [0, 20])
def test_stream(example: dict[str, Any], pieces: int) -> None:
    _metered(example, stream_of(example), pieces)
