"""Ending a running stream so that its client stops, and does not ask again.

Measured (Claude Code 2.1.197, 2.1.331; Codex 0.98 to 0.169): ``stop_reason: max_tokens`` keeps the
partial text, and the next request is refused; ``response.failed`` with ``invalid_prompt`` stops
Codex at once with the message whole. Anything else makes them send all of it again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from abg.dialects_old.anthropic import AnthropicMeter
from abg.dialects_old.base import Meter
from abg.dialects_old.openai_chat import ChatMeter
from abg.dialects_old.openai_responses import ResponsesMeter
from abg.dialects_old.shapes import clean

__all__ = ["cut_anthropic", "cut_chat", "cut_plain", "cut_responses"]

_encode = msgspec.json.Encoder().encode


def _event(value: dict[str, Any]) -> bytes:
    return b"event: " + value["type"].encode() + b"\ndata: " + _encode(value) + b"\n\n"


def cut_anthropic(meter: Meter, message: str) -> bytes:
    """Close the block, say why, stop; the usage is what was counted so far."""
    assert isinstance(meter, AnthropicMeter)
    ending = b""
    if meter.open_block is not None:
        ending += _event({"type": "content_block_stop", "index": meter.open_block})
    output = max(meter.reading.usage.output_tokens, meter.reading.output_bytes // 4)
    ending += _event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
            "usage": {"output_tokens": output},
        }
    )
    return ending + _event({"type": "message_stop"})


def cut_responses(meter: Meter, message: str) -> bytes:
    """``response.failed`` with the code on which Codex shows the message and stops."""
    assert isinstance(meter, ResponsesMeter)
    reading = meter.reading
    return _event(
        {
            "type": "response.failed",
            "sequence_number": meter.sequence + 1,
            "response": {
                "id": reading.response_id or "resp_abg_cut",
                "object": "response",
                "status": "failed",
                "model": reading.model,
                "output": [],
                "error": {"code": "invalid_prompt", "message": clean(message)},
                "usage": None,
            },
        }
    )


def cut_chat(meter: Meter, message: str) -> bytes:
    """A last chunk with ``finish_reason: length``, and the end mark."""
    assert isinstance(meter, ChatMeter)
    kind = "chat.completion.chunk"
    chunk = {"id": "chatcmpl-abg-cut", "object": kind, "created": 0, "model": ""}
    chunk.update(meter.last_chunk)
    if chunk["object"] == "text_completion":
        choice: dict[str, Any] = {"index": 0, "text": "", "finish_reason": "length"}
    else:
        choice = {"index": 0, "delta": {}, "finish_reason": "length"}
    chunk["choices"] = [choice]
    return b"data: " + _encode(chunk) + b"\n\ndata: [DONE]\n\n"


def cut_plain(meter: Meter, message: str) -> bytes:
    """A stream that nobody knows ends as it stands."""
    return b""
