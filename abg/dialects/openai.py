"""OpenAI's metered APIs: Responses, Chat Completions, completions, embeddings."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec

from abg.bound import BoundFacts
from abg.call import Call
from abg.dialects import openai_bound
from abg.dialects.chat_meter import ChatMeter, EmbeddingsMeter, WithoutUsage
from abg.dialects.counts import count_of, mapping, text
from abg.dialects.edits import said, with_member
from abg.dialects.fingerprints import digest_of_last
from abg.dialects.pictures import text_bytes
from abg.dialects.protocol import Meter, Refusal
from abg.dialects.readjson import read, reader, scan
from abg.dialects.relay import Strainer
from abg.dialects.responses_meter import ResponsesMeter
from abg.dialects.speech import cleaned, openai_error, openai_refusal

__all__ = ["Chat", "Completions", "Embeddings", "OpenAI", "Responses"]

LONGEST_HINT = 4096


class _Ask(msgspec.Struct):
    model: Any = None
    stream: Any = None
    stream_options: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    service_tier: Any = None
    background: Any = None
    prompt_cache_key: Any = None
    client_metadata: Any = None
    n: Any = None
    best_of: Any = None
    prompt: Any = None


_ASK = reader(_Ask)


class OpenAI(ABC):
    """What the OpenAI dialects share."""

    name = ""
    vendor = "openai"
    refusal_code = "budget_exceeded"
    limits: tuple[str, ...] = ()
    """Where a request says how much output it allows; the first is the one to add."""

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
                session_hint=self.scanned_session(body),
            )
        session, thread = self.session_of(asked)
        return Call(
            self.name,
            endpoint,
            text(asked.model) or "",
            asked.stream is True,
            self.most_output(asked),
            text(asked.service_tier),
            body_bytes=text_bytes(body),
            background=asked.background is True,
            include_usage=not self.wants_usage(asked),
            session_hint=session,
            thread_hint=thread,
            choices=self.choices_of(asked),
        )

    def fingerprint(self, body: bytes) -> bytes | None:
        """See ``Dialect.fingerprint``."""
        return digest_of_last(body)

    @abstractmethod
    def meter(self, call: Call, *, whole_events: bool = False) -> Meter:
        """See ``Dialect.meter``."""

    def refusal(self, message: str, *, kind: str, request_id: str = "") -> Refusal:
        """See ``Dialect.refusal``."""
        ledger = kind == "ledger" and self.refusal_code == "budget_exceeded"
        return openai_refusal(message, "ledger_unavailable" if ledger else self.refusal_code)

    def error(self, status: int, message: str) -> Refusal:
        """See ``Dialect.error``."""
        return openai_error(status, message)

    def ask_for_usage(self, body: bytes) -> bytes:
        """See ``Dialect.ask_for_usage``."""
        return body

    def cut(self, meter: Meter, message: str) -> bytes:
        """See ``Dialect.cut``."""
        return b""

    def lower_output(self, body: bytes, allowance: int) -> bytes | None:
        """See ``Dialect.lower_output``."""
        asked = _ASK(body)
        if asked is None or not self.limits:
            return None
        present = [name for name in self.limits if getattr(asked, name) is not None]
        for name in present or self.limits[:1]:
            now = count_of(getattr(asked, name))
            lower = allowance if now is None else min(now, allowance)

            def holds(edited: bytes, name: str = name, lower: int = lower) -> bool:
                told = _ASK(edited)
                return told is not None and getattr(told, name) == lower

            edited = with_member(body, name, getattr(asked, name), b"%d" % lower, holds)
            if edited is None:
                return None
            body = edited
        return body

    @abstractmethod
    def bound_facts(self, endpoint: str, body: bytes) -> BoundFacts:
        """See ``Dialect.bound_facts``."""

    # -- what differs --------------------------------------------------------------------------

    def session_of(self, asked: Any) -> tuple[str | None, str | None]:
        """The agent's own session and thread."""
        return None, None

    def scanned_session(self, body: bytes) -> str | None:
        """The session in a body that is no JSON."""
        return None

    def wants_usage(self, asked: Any) -> bool:
        """Whether usage would be missing unless abg asks for it."""
        return False

    def choices_of(self, asked: Any) -> int:
        """How many answers the request asks for."""
        return 1

    def most_output(self, asked: Any) -> int | None:
        """The largest output that the request allows, for each answer."""
        told = [count_of(getattr(asked, name)) for name in self.limits]
        said = [count for count in told if count is not None]
        return min(said) if said else None


class Responses(OpenAI):
    """``POST /v1/responses``, as Codex speaks it."""

    name = "openai_responses"
    refusal_code = "invalid_prompt"
    limits = ("max_output_tokens",)

    def meter(self, call: Call, *, whole_events: bool = False) -> Meter:
        return ResponsesMeter(call, Strainer() if whole_events else None)

    def error(self, status: int, message: str) -> Refusal:
        # On a 400 without this code Codex shows the raw JSON.
        return openai_error(status, message, "invalid_prompt" if status == 400 else None)

    def cut(self, meter: Meter, message: str) -> bytes:
        """A failure on which Codex stops at once and shows the message whole."""
        if not isinstance(meter, ResponsesMeter) or not meter.streaming or meter.ended:
            return b""
        began = mapping(mapping(read(meter.created)).get("response"))
        response = {
            "id": meter.id or "resp_abg",
            "object": "response",
            "created_at": began.get("created_at", 0),
            "status": "failed",
            "background": False,
            "error": {"code": "invalid_prompt", "message": cleaned(message)},
            "incomplete_details": None,
            "model": meter.model or meter.call.model,
            "output": [],
            "usage": None,
        }
        told = {
            "type": "response.failed",
            "sequence_number": meter.sequence + 1,
            "response": response,
        }
        out = b"" if meter.whole else b"\n\n"
        return out + b"event: response.failed\ndata: " + _line(told) + b"\n\n"

    def bound_facts(self, endpoint: str, body: bytes) -> BoundFacts:
        return openai_bound.responses_facts(body)

    def session_of(self, asked: Any) -> tuple[str | None, str | None]:
        told = mapping(asked.client_metadata)
        session, thread = _name(told.get("session_id")), _name(told.get("thread_id"))
        if session is None:
            turn = told.get("x-codex-turn-metadata")
            if isinstance(turn, str) and len(turn) <= LONGEST_HINT:
                turned = mapping(read(turn.encode("utf-8", "replace")))
                session, thread = _name(turned.get("session_id")), _name(turned.get("thread_id"))
        return session or _name(asked.prompt_cache_key), thread

    def scanned_session(self, body: bytes) -> str | None:
        return scan(body, "session_id") or scan(body, "prompt_cache_key")


class Chat(OpenAI):
    """``POST /v1/chat/completions``."""

    name = "openai_chat"
    limits: tuple[str, ...] = ("max_completion_tokens", "max_tokens")

    def meter(self, call: Call, *, whole_events: bool = False) -> Meter:
        if not call.include_usage:
            return ChatMeter(call, Strainer(WithoutUsage()))
        return ChatMeter(call, Strainer() if whole_events else None)

    def ask_for_usage(self, body: bytes) -> bytes:
        """The body with ``stream_options.include_usage``; unchanged where that says nothing."""
        asked = _ASK(body)
        if asked is None or not self.wants_usage(asked):
            return body
        options = dict(asked.stream_options or {}, include_usage=True)

        def asks(edited: bytes) -> bool:
            told = _ASK(edited)
            return told is not None and told.stream_options == options

        return (
            with_member(body, "stream_options", asked.stream_options, said(options), asks) or body
        )

    def cut(self, meter: Meter, message: str) -> bytes:
        """A last chunk for each choice that goes on, as if its length was reached, and the end
        mark."""
        if not isinstance(meter, ChatMeter) or not meter.streaming or meter.final or meter.done:
            return b""
        out = b"" if meter.whole else b"\n\n"
        begun = meter.choices or {0: True}
        for index in sorted(index for index, goes_on in begun.items() if goes_on):
            chunk: dict[str, Any] = {
                "id": meter.id or "chatcmpl-abg",
                "object": meter.kind or "chat.completion.chunk",
                "created": meter.created if isinstance(meter.created, int) else 0,
                "model": meter.model or meter.call.model,
                "choices": [self.last_choice(index)],
            }
            out += b"data: " + _line(chunk) + b"\n\n"
        return out + b"data: [DONE]\n\n"

    def bound_facts(self, endpoint: str, body: bytes) -> BoundFacts:
        return openai_bound.chat_facts(body)

    def wants_usage(self, asked: Any) -> bool:
        options = asked.stream_options
        if asked.stream is not True or not (options is None or isinstance(options, dict)):
            return False
        return options is None or options.get("include_usage") is not True

    def choices_of(self, asked: Any) -> int:
        return openai_bound.choices_of(asked.n)

    def last_choice(self, index: int) -> dict[str, Any]:
        """A choice of a last chunk."""
        return {"index": index, "delta": {}, "logprobs": None, "finish_reason": "length"}


class Completions(Chat):
    """``POST /v1/completions``."""

    name = "openai_completions"
    limits = ("max_tokens",)

    def bound_facts(self, endpoint: str, body: bytes) -> BoundFacts:
        return openai_bound.completion_facts(body)

    def choices_of(self, asked: Any) -> int:
        return openai_bound.choices_of(asked.n, asked.best_of, asked.prompt)

    def last_choice(self, index: int) -> dict[str, Any]:
        return {"index": index, "text": "", "logprobs": None, "finish_reason": "length"}


class Embeddings(OpenAI):
    """``POST /v1/embeddings``."""

    name = "openai_embeddings"

    def meter(self, call: Call, *, whole_events: bool = False) -> Meter:
        return EmbeddingsMeter(call)

    def bound_facts(self, endpoint: str, body: bytes) -> BoundFacts:
        return openai_bound.embedding_facts(body)


def _name(value: object) -> str | None:
    return text(value) if isinstance(value, str) and len(value) <= LONGEST_HINT else None


def _line(told: Mapping[str, Any]) -> bytes:
    line = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return line.encode("utf-8", "replace")
