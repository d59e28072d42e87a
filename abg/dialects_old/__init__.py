"""The wire formats that abg speaks, by name: ``DIALECTS`` is the one table of them.

A new dialect is one room that reads requests and answers, and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from abg.bound import BoundFacts
from abg.call import Call
from abg.dialects_old import anthropic, openai_chat, openai_responses, other
from abg.dialects_old.base import Dialect, Meter, Refusal
from abg.dialects_old.bounds import anthropic_facts, chat_facts, other_facts, responses_facts
from abg.dialects_old.cuts import cut_anthropic, cut_chat, cut_plain, cut_responses
from abg.dialects_old.edits import ask_for_usage, lower_anthropic, lower_openai
from abg.dialects_old.fingerprints import last_input, last_message
from abg.dialects_old.shapes import (
    anthropic_error,
    anthropic_refusal,
    openai_error,
    openai_refusal,
)

__all__ = ["DIALECTS", "Dialect", "Meter", "Refusal"]


def _unchanged(body: bytes) -> bytes:
    return body


def _not_lowered(body: bytes, allowance: int) -> bytes | None:
    return None


def _no_fingerprint(body: bytes) -> bytes | None:
    return None


def _lower_responses(body: bytes, allowance: int) -> bytes | None:
    return lower_openai(body, allowance, "max_output_tokens")


def _lower_chat(body: bytes, allowance: int) -> bytes | None:
    return lower_openai(body, allowance, "max_completion_tokens", ("max_tokens",))


def _lower_completions(body: bytes, allowance: int) -> bytes | None:
    return lower_openai(body, allowance, "max_tokens")


@frozen
class _Dialect:
    """One row of the table; see ``abg.dialects_old.base.Dialect``."""

    name: str
    vendor: str
    read: Callable[[str, str, bytes], Call]
    meter: Callable[[Call], Meter]
    bound_facts: Callable[[str, bytes], BoundFacts]
    lower_output: Callable[[bytes, int], bytes | None] = _not_lowered
    cut: Callable[[Meter, str], bytes] = cut_plain
    fingerprint: Callable[[bytes], bytes | None] = _no_fingerprint
    ask_for_usage: Callable[[bytes], bytes] = _unchanged
    refusal_code: str = "budget_exceeded"

    def read_call(self, endpoint: str, body: bytes) -> Call:
        return self.read(self.name, endpoint, body)

    def refusal(self, message: str, *, kind: str, request_id: str = "") -> Refusal:
        if self.vendor == "anthropic":
            return anthropic_refusal(message, kind, request_id)
        return openai_refusal(message, self.refusal_code)

    def error(self, status: int, message: str) -> Refusal:
        if self.vendor == "anthropic":
            return anthropic_error(status, message)
        return openai_error(status, message)


_TABLE = (
    _Dialect(
        "anthropic",
        "anthropic",
        anthropic.read_call,
        anthropic.AnthropicMeter,
        anthropic_facts,
        lower_anthropic,
        cut_anthropic,
        last_message,
    ),
    _Dialect("anthropic_other", "anthropic", other.read_call, other.meter_for, other_facts),
    _Dialect(
        "openai_responses",
        "openai",
        openai_responses.read_call,
        openai_responses.ResponsesMeter,
        responses_facts,
        _lower_responses,
        cut_responses,
        last_input,
        refusal_code="invalid_prompt",
    ),
    _Dialect(
        "openai_chat",
        "openai",
        openai_chat.read_call,
        openai_chat.ChatMeter,
        chat_facts,
        _lower_chat,
        cut_chat,
        last_message,
        ask_for_usage,
    ),
    _Dialect(
        "openai_completions",
        "openai",
        openai_chat.read_call,
        openai_chat.ChatMeter,
        chat_facts,
        _lower_completions,
        cut_chat,
        ask_for_usage=ask_for_usage,
    ),
    _Dialect(
        "openai_embeddings",
        "openai",
        openai_chat.read_call,
        openai_chat.ChatMeter,
        chat_facts,
    ),
    _Dialect("openai_other", "openai", other.read_call, other.meter_for, other_facts),
)

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in _TABLE}
