"""Anthropic's Messages API, as Claude Code and the SDKs speak it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from abg.bound import BoundFacts
from abg.call import Call
from abg.dialects.anthropic_bound import facts_of
from abg.dialects.anthropic_meter import AnthropicMeter
from abg.dialects.counts import count_of, mapping, text
from abg.dialects.edits import said, with_member
from abg.dialects.fingerprints import digest_of_last
from abg.dialects.pictures import text_bytes
from abg.dialects.protocol import Meter, Refusal
from abg.dialects.readjson import read, reader, scan
from abg.dialects.relay import Strainer
from abg.dialects.speech import anthropic_error, anthropic_refusal, cleaned

__all__ = ["Anthropic", "session_of"]

LEAST_THINKING = 1024
"""The API takes no smaller thinking budget."""
BYTES_PER_TOKEN = 3
LONGEST_HINT = 4096


class _Ask(msgspec.Struct):
    model: Any = None
    stream: Any = None
    max_tokens: Any = None
    service_tier: Any = None
    speed: Any = None
    inference_geo: Any = None
    metadata: Any = None
    thinking: Any = None


_ASK = reader(_Ask)


class Anthropic:
    """``POST /v1/messages``."""

    name = "anthropic"
    vendor = "anthropic"

    def read_call(self, endpoint: str, body: bytes) -> Call:
        """See ``Dialect.read_call``."""
        asked = _ASK(body)
        if asked is None:
            return Call(
                self.name,
                endpoint,
                scan(body, "model") or "",
                body_bytes=text_bytes(body),
                readable=False,
                session_hint=scan(body, "session_id"),
            )
        tier, speed, geo = asked.service_tier, asked.speed, asked.inference_geo
        return Call(
            self.name,
            endpoint,
            text(asked.model) or "",
            asked.stream is True,
            count_of(asked.max_tokens),
            None if tier is None else text(tier),
            None if speed is None else text(speed),
            None if geo is None else text(geo),
            text_bytes(body),
            session_hint=session_of(asked.metadata),
        )

    def fingerprint(self, body: bytes) -> bytes | None:
        """See ``Dialect.fingerprint``."""
        return digest_of_last(body)

    def meter(self, call: Call, *, whole_events: bool = False) -> Meter:
        """See ``Dialect.meter``."""
        return AnthropicMeter(call, Strainer() if whole_events else None)

    def refusal(self, message: str, *, kind: str, request_id: str = "") -> Refusal:
        """See ``Dialect.refusal``."""
        return anthropic_refusal(message, kind, request_id)

    def error(self, status: int, message: str) -> Refusal:
        """See ``Dialect.error``."""
        return anthropic_error(status, message)

    def ask_for_usage(self, body: bytes) -> bytes:
        """Usage always comes."""
        return body

    def cut(self, meter: Meter, message: str) -> bytes:
        """Close the block, say that the output limit was reached, and end.

        Whatever else ends a stream makes Claude Code ask again (``docs/agents.md``); after this
        it asks once more, and that is refused.
        """
        if not isinstance(meter, AnthropicMeter) or not meter.streaming or meter.stopped:
            return b""
        if not meter.begun:
            error = {"type": "billing_error", "message": cleaned(message)}
            return _event("error", error=error)
        # Half an event cannot be taken back, but renamed: clients ignore a ping.
        out = b"" if meter.whole else b"\nevent: ping\n\n"
        if meter.open_block is not None:
            out += _event("content_block_stop", index=meter.open_block)
        if meter.stop_reason is None:
            seen = meter.usage.output_tokens
            tokens = max(seen, -(-meter.output_bytes // BYTES_PER_TOKEN))
            delta = {"stop_reason": "max_tokens", "stop_sequence": None}
            out += _event("message_delta", delta=delta, usage={"output_tokens": tokens})
        return out + _event("message_stop")

    def lower_output(self, body: bytes, allowance: int) -> bytes | None:
        """See ``Dialect.lower_output``; a thinking budget is lowered along, or there is none."""
        asked = _ASK(body)
        if asked is None:
            return None
        thinking = mapping(asked.thinking)
        budget = count_of(thinking.get("budget_tokens"))
        if budget is not None and budget >= allowance:
            if allowance <= LEAST_THINKING:
                return None
            lower = dict(thinking, budget_tokens=max(LEAST_THINKING, allowance - 1))

            def thinks_less(edited: bytes) -> bool:
                return bool(_reads(edited, "thinking") == lower)

            lowered = with_member(body, "thinking", asked.thinking, said(lower), thinks_less)
            if lowered is None:
                return None
            body = lowered

        def holds(edited: bytes) -> bool:
            return bool(_reads(edited, "max_tokens") == allowance)

        return with_member(body, "max_tokens", asked.max_tokens, b"%d" % allowance, holds)

    def bound_facts(self, endpoint: str, body: bytes) -> BoundFacts:
        """See ``Dialect.bound_facts``."""
        return facts_of(body)


def session_of(metadata: Any) -> str | None:
    """Claude Code's session id: in ``metadata.user_id`` as JSON, or behind ``_session_``."""
    user = mapping(metadata).get("user_id")
    if not isinstance(user, str) or not user or len(user) > LONGEST_HINT:
        return None
    return _session_in(user)


# A session says the same in each of its calls.
@lru_cache(512)
def _session_in(user: str) -> str | None:
    if user.startswith("{"):
        return text(mapping(read(user.encode("utf-8", "replace"))).get("session_id"))
    return text(user.rpartition("_session_")[2]) if "_session_" in user else None


def _reads(body: bytes, name: str) -> Any:
    asked = _ASK(body)
    return None if asked is None else getattr(asked, name)


def _event(kind: str, **data: Any) -> bytes:
    told: Mapping[str, Any] = {"type": kind, **data}
    line = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return b"event: " + kind.encode() + b"\ndata: " + line.encode("utf-8", "replace") + b"\n\n"
