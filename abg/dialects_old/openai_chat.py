"""OpenAI Chat Completions, Completions and Embeddings.

A chat stream carries usage only if it was asked for. Where the client did not ask, abg asks, and
takes the extra chunk out again; every other byte reaches the client as it came.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from attrs import evolve

from abg.call import Call
from abg.dialects_old.base import StreamMeter
from abg.dialects_old.old_usage import usage_reading
from abg.dialects_old.old_readjson import fields_of, object_of, scan, text, whole
from abg.dialects_old.old_sse import data_of, events_of
from abg.usage import Reading

__all__ = ["ChatMeter", "read_call"]


class _Request(msgspec.Struct):
    model: Any = None
    stream: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    service_tier: Any = None
    stream_options: Any = None
    prompt_cache_key: Any = None


_request = msgspec.json.Decoder(_Request)

_WANTED = re.compile(rb'"usage"\s*:\s*\{|\[DONE\]|"error"\s*:\s*[{"]')
_UNASKED = re.compile(rb',\s*"usage"\s*:\s*null')
"""What every chunk carries once usage was asked for. No JSON text can hold these bytes: its
quotes would be escaped."""


def read_call(name: str, endpoint: str, body: bytes) -> Call:
    """A chat, completion or embedding request; see ``Dialect.read_call``."""
    found = fields_of(body, _request)
    if found is None:
        return Call(name, endpoint, scan(body), readable=False, body_bytes=len(body))
    options = found.get("stream_options")
    asked = isinstance(options, dict) and options.get("include_usage") is True
    limit = whole(found.get("max_completion_tokens"))
    return Call(
        dialect=name,
        endpoint=endpoint,
        model=text(found.get("model")) or "",
        stream=found.get("stream") is True,
        max_output_tokens=whole(found.get("max_tokens")) if limit is None else limit,
        tier=text(found.get("service_tier")),
        body_bytes=len(body),
        include_usage=asked or found.get("stream") is not True,
    )


class ChatMeter(StreamMeter):
    """Reads the chunk that carries usage; holds it back if nobody but abg asked for it."""

    __slots__ = ("_bytes", "_held", "_id", "_last", "_swallow")

    event_overhead = 150

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._swallow = not call.include_usage
        self._bytes = 0
        self._last: dict[str, Any] = {}
        self._held: list[bytes] = []

    @property
    def reading(self) -> Reading:
        if self._bytes != self._reading.output_bytes and not self.final:
            self._reading = evolve(self._reading, output_bytes=self._bytes)
        return self._reading

    @property
    def last_chunk(self) -> dict[str, Any]:
        """Id, model and creation time of the stream, for a chunk of abg's own."""
        return self._last

    def feed(self, data: bytes) -> bytes:
        if not self._swallow:
            return super().feed(data)
        undecided = self.streaming is None
        super().feed(data)
        if self.streaming is None:
            return b""
        if not self.streaming:
            return b"".join(self._json) if undecided else data
        held, self._held = self._held, []
        return b"".join(held)

    def end(self, complete: bool) -> bytes:
        undecided = b"".join(self._json) if self._swallow and self.streaming is None else b""
        super().end(complete)
        held, self._held = self._held, []
        return undecided + b"".join(held)

    def _look(self, block: bytes) -> None:
        if self._swallow:
            self._held = [
                _UNASKED.sub(b"", event, 1)
                for event in events_of(block)
                if not self._event_is_ours(event)
            ]
            return
        if self._last and _WANTED.search(block) is None:
            self._bytes += max(0, len(block) - self.event_overhead * block.count(b"\n\n"))
            return
        for event in events_of(block):
            self._event(event)

    def _event_is_ours(self, event: bytes) -> bool:
        """Whether this is the chunk that only came because abg asked for usage."""
        value = self._event(event)
        return (
            value is not None
            and isinstance(value.get("usage"), dict)
            and value.get("choices") == []
        )

    def _event(self, event: bytes) -> dict[str, Any] | None:
        if self._last and _WANTED.search(event) is None:
            self._bytes += max(0, len(event) - self.event_overhead)
            return None
        data = data_of(event)
        if data.strip() == b"[DONE]":
            self._done()
            return None
        value = object_of(data) if data else None
        if value is None:
            return None
        if not self._last:
            self._last = {
                key: value[key] for key in ("id", "object", "created", "model") if key in value
            }
        self._names(value)
        usage = value.get("usage")
        if isinstance(usage, dict):
            self._usage(usage, last=not value.get("choices"))
        else:
            self._bytes += max(0, len(event) - self.event_overhead)
        return value

    def _names(self, value: dict[str, Any]) -> None:
        self._reading = evolve(
            self._reading,
            model=text(value.get("model")) or self._reading.model,
            response_id=text(value.get("id")) or self._reading.response_id,
            tier=text(value.get("service_tier")) or self._reading.tier,
            failed=self._reading.failed or bool(value.get("error")),
        )

    def _usage(self, usage: dict[str, Any], last: bool) -> None:
        """Counts are cumulative where a vendor sends them with every chunk."""
        if self.final:
            return
        reading = usage_reading(usage, evolve(self._reading, marks=()))
        if self._reading.model and "search" in self._reading.model:
            # The search models of this API search in every call, and bill it by the piece.
            reading = evolve(reading, web_searches=1)
        self._reading = evolve(reading, final=reading.final and last, output_bytes=self._bytes)
        self.final = self._reading.final

    def _done(self) -> None:
        if self._reading.samplings and not self.final:
            self.final = "unreadable" not in self._reading.marks
            self._reading = evolve(self._reading, final=self.final, output_bytes=self._bytes)

    def _object(self, body: bytes) -> None:
        value = object_of(body)
        if value is None:
            return
        self._names(value)
        usage = value.get("usage")
        if isinstance(usage, dict):
            self._usage(usage, last=True)
        else:
            self._bytes = len(body)

    def _ended(self, complete: bool) -> None:
        if complete:
            self._done()
