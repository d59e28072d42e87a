"""Paid calls without usage in their answer: batches, Codex's search, images, audio, the unknown.

They settle as a marked estimate. What can be known is read all the same: the id under which the
usage of a batch comes later, its results, and the one search of Codex's ``alpha/search``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from abg.bound import BoundFacts
from abg.call import Call
from abg.dialects import openai_bound
from abg.dialects.anthropic import LONGEST_HINT, session_of
from abg.dialects.counts import Counts, text
from abg.dialects.openai_bound import choices_of
from abg.dialects.other_meter import (
    BatchMeter,
    BatchResultsMeter,
    ImagesMeter,
    SearchMeter,
    SilentMeter,
)
from abg.dialects.pictures import text_bytes
from abg.dialects.protocol import Meter, Refusal
from abg.dialects.readjson import reader, scan
from abg.dialects.speech import (
    anthropic_error,
    anthropic_refusal,
    openai_error,
    openai_refusal,
)

__all__ = ["AnthropicOther", "OpenAIOther"]


class _Params(msgspec.Struct):
    model: Any = None
    max_tokens: Any = None
    metadata: Any = None


class _Request(msgspec.Struct):
    params: _Params | None = None


class _Ask(msgspec.Struct):
    model: Any = None
    id: Any = None
    max_tokens: Any = None
    max_output_tokens: Any = None
    max_tokens_to_sample: Any = None
    service_tier: Any = None
    stream: Any = None
    n: Any = None
    requests: list[_Request] | None = None


_ASK = reader(_Ask)
_LIMITS = ("max_output_tokens", "max_tokens", "max_tokens_to_sample")


class _Other:
    """What both vendors' unmetered calls share."""

    name = ""
    vendor = ""
    meters: dict[str, Callable[[Call], Meter]] = {}

    def read_call(self, endpoint: str, body: bytes) -> Call:
        """See ``Dialect.read_call``; a batch is the sum of its requests, at its first model."""
        asked = _ASK(body) if body else _Ask()
        tier = "batch" if "batches" in endpoint else None
        if asked is None:
            return Call(
                self.name,
                endpoint,
                scan(body, "model") or "",
                tier=tier,
                body_bytes=text_bytes(body),
                readable=False,
            )
        counts = Counts()
        told = [counts.get({"": getattr(asked, name)}, "") for name in _LIMITS]
        limit = next((count for count in told if count is not None), None)
        model = text(asked.model)
        session: str | None = None
        params = [r.params for r in asked.requests or () if r.params is not None]
        if params:
            limit = sum(counts.whole({"": p.max_tokens}, "") for p in params)
            model = model or next((m for p in params if (m := text(p.model))), None)
            session = next((s for p in params if (s := session_of(p.metadata))), None)
        if endpoint == "alpha.search":
            session = text(asked.id) if len(text(asked.id) or "") <= LONGEST_HINT else None
        return Call(
            self.name,
            endpoint,
            model or "",
            asked.stream is True,
            limit,
            tier or text(asked.service_tier),
            body_bytes=text_bytes(body),
            session_hint=session,
            choices=choices_of(asked.n),
        )

    def fingerprint(self, body: bytes) -> bytes | None:
        """None: no conversation is known in it."""
        return None

    def meter(self, call: Call, *, whole_events: bool = False) -> Meter:
        """See ``Dialect.meter``."""
        return self.meters.get(call.endpoint, SilentMeter)(call)

    def ask_for_usage(self, body: bytes) -> bytes:
        """Nothing to ask for."""
        return body

    def cut(self, meter: Meter, message: str) -> bytes:
        """Nobody knows how such a stream ends."""
        return b""

    def lower_output(self, body: bytes, allowance: int) -> bytes | None:
        """None: nobody knows how."""
        return None

    def bound_facts(self, endpoint: str, body: bytes) -> BoundFacts:
        """See ``Dialect.bound_facts``."""
        if endpoint == "alpha.search":
            return openai_bound.search_facts(body)
        return openai_bound.unmeterable(self.vendor, endpoint)


class AnthropicOther(_Other):
    """Message batches, the old completions, and what Anthropic may yet add."""

    name = "anthropic_other"
    vendor = "anthropic"
    meters = {"messages.batches": BatchResultsMeter}

    def refusal(self, message: str, *, kind: str, request_id: str = "") -> Refusal:
        """See ``Dialect.refusal``."""
        return anthropic_refusal(message, kind, request_id)

    def error(self, status: int, message: str) -> Refusal:
        """See ``Dialect.error``."""
        return anthropic_error(status, message)


class OpenAIOther(_Other):
    """Batches, images, audio, Codex's search, and what OpenAI may yet add."""

    name = "openai_other"
    vendor = "openai"
    meters = {
        "batches": BatchMeter,
        "alpha.search": SearchMeter,
        "images.generations": ImagesMeter,
        "images.edits": ImagesMeter,
        "images.variations": ImagesMeter,
    }

    def refusal(self, message: str, *, kind: str, request_id: str = "") -> Refusal:
        """See ``Dialect.refusal``."""
        ledger = kind == "ledger"
        return openai_refusal(message, "ledger_unavailable" if ledger else "budget_exceeded")

    def error(self, status: int, message: str) -> Refusal:
        """See ``Dialect.error``."""
        return openai_error(status, message)
