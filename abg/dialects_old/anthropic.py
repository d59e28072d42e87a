"""Anthropic Messages: what a message was charged for, as JSON and as events.

Sources: Anthropic API reference (Messages, Streaming), the Python SDK's ``types/usage.py`` and
``types/beta/beta_usage.py`` (2.13.0), release notes on refusals (2026).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from attrs import evolve

from abg.call import Call
from abg.dialects_old.base import StreamMeter
from abg.dialects_old.old_readjson import count, fields_of, object_of, scan, text, whole
from abg.dialects_old.old_sse import data_of, events_of
from abg.usage import Reading, Sampling, Usage

__all__ = ["AnthropicMeter", "read_call", "samplings_of", "usage_reading"]


class _Request(msgspec.Struct):
    model: Any = None
    stream: Any = None
    max_tokens: Any = None
    service_tier: Any = None
    speed: Any = None
    inference_geo: Any = None
    metadata: Any = None


_request = msgspec.json.Decoder(_Request)


class _Identity(msgspec.Struct):
    session_id: Any = None


_identity = msgspec.json.Decoder(_Identity)


def read_call(name: str, endpoint: str, body: bytes) -> Call:
    """A Messages request; see ``Dialect.read_call``."""
    found = fields_of(body, _request)
    if found is None:
        return Call(name, endpoint, scan(body), readable=False, body_bytes=len(body))
    return Call(
        dialect=name,
        endpoint=endpoint,
        model=text(found.get("model")) or "",
        stream=found.get("stream") is True,
        max_output_tokens=whole(found.get("max_tokens")),
        tier=text(found.get("service_tier")),
        speed=text(found.get("speed")),
        geo=text(found.get("inference_geo")),
        body_bytes=len(body),
        session_hint=_session(found.get("metadata")),
    )


def _session(metadata: Any) -> str | None:
    """Claude Code's session in ``metadata.user_id``: a JSON text, or ``…_session_<uuid>``."""
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user, str) or len(user) > 10_000:
        return None
    if user.startswith("{"):
        found = fields_of(user.encode("utf-8", "replace"), _identity)
        return None if found is None else text(found.get("session_id"))
    before, mark, session = user.rpartition("_session_")
    return text(session) if mark and before else None


_MARKS = (b"content_block_st", b"message_", b'"error"')
"""An event without any of these is a delta or a ping."""


class AnthropicMeter(StreamMeter):
    """Merges ``message_start`` and the cumulative ``message_delta`` counts."""

    __slots__ = ("_bytes", "_content", "_open_block", "_seen", "_stop", "_usage")

    event_overhead = 110

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._usage: dict[str, Any] = {}
        self._seen = False
        self._stop: str | None = None
        self._content = False
        self._bytes = 0
        self._open_block: int | None = None

    @property
    def reading(self) -> Reading:
        if self._bytes != self._reading.output_bytes and not self.final:
            self._reading = evolve(self._reading, output_bytes=self._bytes)
        return self._reading

    @property
    def open_block(self) -> int | None:
        """Index of the content block that is streaming; None: none is."""
        return self._open_block

    @property
    def usage(self) -> Mapping[str, Any]:
        """The merged counts as the vendor spells them."""
        return self._usage

    def _look(self, block: bytes) -> None:
        if (
            b"content_block_st" not in block
            and b"message_" not in block
            and b'"error"' not in block
        ):
            self._bytes += max(0, len(block) - self.event_overhead * block.count(b"\n\n"))
            return
        for event in events_of(block):
            if b"content_block_delta" in event and b'"message_' not in event:
                self._bytes += max(0, len(event) - self.event_overhead)
            else:
                self._event(event)

    def _event(self, event: bytes) -> None:
        data = data_of(event)
        if not data:
            return
        value = object_of(data)
        if value is None:
            return
        kind = value.get("type")
        if kind == "message_start":
            self._start(value.get("message"))
        elif kind == "message_delta":
            delta = value.get("delta")
            if isinstance(delta, dict):
                self._stop = text(delta.get("stop_reason")) or self._stop
            self._merge(value.get("usage"))
        elif kind == "message_stop":
            self._close()
        elif kind == "content_block_start":
            self._content = True
            self._open_block = whole(value.get("index")) or 0
        elif kind == "content_block_stop":
            self._open_block = None
        elif kind == "content_block_delta":
            self._bytes += max(0, len(event) - self.event_overhead)
        elif kind == "error":
            self._reading = evolve(self._reading, failed=True)

    def _start(self, message: Any) -> None:
        if not isinstance(message, dict):
            return
        self._reading = evolve(
            self._reading,
            model=text(message.get("model")) or self._reading.model,
            response_id=text(message.get("id")) or self._reading.response_id,
        )
        if message.get("content"):
            self._content = True
        self._stop = text(message.get("stop_reason")) or self._stop
        usage = message.get("usage")
        if isinstance(usage, dict):
            self._usage = dict(usage)
            self._seen = True
            self._update()

    def _merge(self, usage: Any) -> None:
        """Counts are cumulative: output replaces; input and cache only when they say something."""
        if not isinstance(usage, dict):
            return
        self._seen = True
        for key, value in usage.items():
            if value is None or (key in _ONLY_POSITIVE and not value):
                continue
            self._usage[key] = value
        self._update()

    def _update(self) -> None:
        if not self.final:
            self._reading = usage_reading(self._usage, self._reading)

    def _close(self) -> None:
        if self.final or not self._seen:
            return
        output = self._reading.usage.output_tokens
        refused = self._stop == "refusal" and not self._content and output <= 1
        readable = "unreadable" not in self._reading.marks
        self._reading = evolve(
            self._reading, final=readable, billed=not refused, output_bytes=self._bytes
        )
        self.final = readable

    def _object(self, body: bytes) -> None:
        value = object_of(body)
        if value is None:
            return
        if value.get("type") == "error":
            self._reading = evolve(self._reading, failed=True)
        self._start(value)
        if self._seen:
            self._close()
        else:
            self._bytes = len(body)

    def _ended(self, complete: bool) -> None:
        if self.streaming and self._stop is not None:
            # The reason to stop comes with the last counts; only ``message_stop`` is missing.
            self._close()


_ONLY_POSITIVE = frozenset(
    (
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "cache_creation",
        "iterations",
        "server_tool_use",
    )
)


def usage_reading(usage: Mapping[str, Any], base: Reading) -> Reading:
    """A reading with the counts of a ``usage`` object."""
    marks = {m for m in base.marks if m not in ("clamped", "unreadable")}
    samplings = samplings_of(usage, marks)
    tools = usage.get("server_tool_use")
    searches = count(tools, "web_search_requests", marks) if isinstance(tools, dict) else 0
    details = usage.get("output_tokens_details")
    thinking = count(details, "thinking_tokens", set()) if isinstance(details, dict) else 0
    return evolve(
        base,
        samplings=samplings,
        web_searches=searches,
        reasoning_tokens=thinking,
        tier=text(usage.get("service_tier")),
        speed=text(usage.get("speed")),
        geo=text(usage.get("inference_geo")),
        marks=tuple(sorted(marks)),
    )


def samplings_of(usage: Mapping[str, Any], marks: set[str]) -> tuple[Sampling, ...]:
    """The passes that a ``usage`` was charged for.

    ``iterations`` are priced entry by entry; advisor and compaction come besides, and where there
    is no ``message`` among them, the top level is the message's own.
    """
    iterations = usage.get("iterations")
    entries = [e for e in iterations if isinstance(e, dict)] if isinstance(iterations, list) else []
    found, has_message = [], False
    hops = any(e.get("type") == "fallback_message" for e in entries)
    for entry in entries:
        kind = text(entry.get("type")) or "message"
        counts = _usage(entry, marks)
        if kind in ("message", "fallback_message"):
            has_message = True
            if hops and kind == "message" and counts.output_tokens <= 1:
                # A model that declined before it said anything is not billed.
                continue
        found.append(Sampling(counts, text(entry.get("model")), kind))
    if not has_message:
        found.insert(0, Sampling(_usage(usage, marks)))
    return tuple(found)


def _usage(table: Mapping[str, Any], marks: set[str]) -> Usage:
    written = count(table, "cache_creation_input_tokens", marks)
    by_lifetime = table.get("cache_creation")
    short, long = written, 0
    if isinstance(by_lifetime, dict):
        short = count(by_lifetime, "ephemeral_5m_input_tokens", marks)
        long = count(by_lifetime, "ephemeral_1h_input_tokens", marks)
        if short + long > written:
            if written:
                marks.add("clamped")
        else:
            short = written - long
    return Usage(
        input_tokens=count(table, "input_tokens", marks),
        cache_read_tokens=count(table, "cache_read_input_tokens", marks),
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        output_tokens=count(table, "output_tokens", marks),
    )
