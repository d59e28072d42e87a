"""OpenAI Responses: usage comes with the response that ends the stream, or in the JSON.

Sources: OpenAI API reference (Responses, Streaming events), the Python SDK's
``types/responses/`` (3.57.0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from attrs import evolve

from abg.call import Call
from abg.dialects_old.base import StreamMeter
from abg.dialects_old.old_usage import image_sampling, usage_reading
from abg.dialects_old.old_readjson import count, fields_of, object_of, scan, text, whole
from abg.dialects_old.old_sse import data_of, events_of
from abg.usage import Reading

__all__ = ["ResponsesMeter", "read_call", "response_reading"]


class _Request(msgspec.Struct):
    model: Any = None
    stream: Any = None
    max_output_tokens: Any = None
    service_tier: Any = None
    background: Any = None
    client_metadata: Any = None
    prompt_cache_key: Any = None


_request = msgspec.json.Decoder(_Request)

_WANTED = re.compile(
    rb"response\.(?:completed|incomplete|failed|created|queued)|web_search_call"
    rb'|"type"\s*:\s*"error"|"object"\s*:\s*"response"'
)
_LAST = ("response.completed", "response.incomplete", "response.failed")


def read_call(name: str, endpoint: str, body: bytes) -> Call:
    """A Responses request; see ``Dialect.read_call``."""
    found = fields_of(body, _request)
    if found is None:
        return Call(name, endpoint, scan(body), readable=False, body_bytes=len(body))
    metadata = found.get("client_metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return Call(
        dialect=name,
        endpoint=endpoint,
        model=text(found.get("model")) or "",
        stream=found.get("stream") is True,
        max_output_tokens=whole(found.get("max_output_tokens")),
        tier=text(found.get("service_tier")),
        body_bytes=len(body),
        background=found.get("background") is True,
        session_hint=text(metadata.get("session_id")) or text(found.get("prompt_cache_key")),
        thread_hint=text(metadata.get("thread_id")),
    )


class ResponsesMeter(StreamMeter):
    """Reads the events that end a response, and those that name a billed search."""

    __slots__ = ("_bytes", "_searches", "_sequence")

    event_overhead = 180

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._bytes = 0
        self._searches: set[str] = set()
        self._sequence = 0

    @property
    def reading(self) -> Reading:
        if self._bytes != self._reading.output_bytes and not self.final:
            self._reading = evolve(self._reading, output_bytes=self._bytes)
        return self._reading

    @property
    def sequence(self) -> int:
        """A number above that of every event so far."""
        return self._sequence

    def _look(self, block: bytes) -> None:
        events = block.count(b"\n\n") or 1
        self._sequence += events
        if _WANTED.search(block) is None:
            self._bytes += max(0, len(block) - self.event_overhead * events)
            return
        for event in events_of(block):
            if _WANTED.search(event) is None:
                self._bytes += max(0, len(event) - self.event_overhead)
            else:
                self._event(event)

    def _event(self, event: bytes) -> None:
        value = object_of(data_of(event))
        if value is None:
            return
        kind = value.get("type")
        response = value.get("response")
        if kind in _LAST or (isinstance(kind, str) and isinstance(response, dict)):
            if isinstance(response, dict):
                self._take(response, kind in _LAST)
        elif kind == "response.output_item.done":
            self._item(value.get("item"))
        elif kind == "error":
            self._reading = evolve(self._reading, failed=True)
        elif kind == "response.output_text.delta":
            self._bytes += max(0, len(event) - self.event_overhead)

    def _take(self, response: dict[str, Any], last: bool) -> None:
        if self.final:
            return
        for item in response.get("output") or ():
            self._item(item)
        found = response_reading(response, self._reading, len(self._searches), self._call)
        if not last and not found.final:
            found = evolve(found, samplings=self._reading.samplings)
        self._reading = evolve(found, output_bytes=self._bytes)
        self.final = found.final

    def _item(self, item: Any) -> None:
        """Only searching is billed; opening a page and finding in it are free."""
        if not isinstance(item, dict) or item.get("type") != "web_search_call":
            return
        action = item.get("action")
        kind = action.get("type") if isinstance(action, dict) else None
        if kind in ("search", None):
            self._searches.add(text(item.get("id")) or f"#{len(self._searches)}")

    def _object(self, body: bytes) -> None:
        value = object_of(body)
        if value is None:
            return
        if isinstance(value.get("error"), dict) and "object" not in value:
            self._reading = evolve(self._reading, failed=True)
        self._take(value, True)
        if not self.final and not _unfinished(value):
            self._bytes = len(body)


def _unfinished(response: Mapping[str, Any]) -> bool:
    return response.get("status") in ("queued", "in_progress")


def response_reading(
    response: Mapping[str, Any], base: Reading, searches: int, call: Call
) -> Reading:
    """What a response object says; final if it carries usage.

    Args:
        searches: search items seen, which count where the vendor gives no number.
    """
    status = response.get("status")
    reading = evolve(
        base,
        model=text(response.get("model")) or base.model,
        response_id=text(response.get("id")) or base.response_id,
        tier=text(response.get("service_tier")) or base.tier,
        failed=base.failed or status == "failed",
    )
    tools = response.get("tool_usage")
    tools = tools if isinstance(tools, dict) else {}
    marks: set[str] = set(reading.marks)
    web = tools.get("web_search")
    if isinstance(web, dict) and web.get("num_requests") is not None:
        searches = count(web, "num_requests", marks)
    reading = evolve(reading, web_searches=searches)
    usage = response.get("usage")
    if not isinstance(usage, dict) or _unfinished(response):
        return evolve(reading, marks=tuple(sorted(marks)))
    reading = usage_reading(usage, reading)
    image = tools.get("image_gen")
    if isinstance(image, dict):
        sampling = image_sampling(image, marks)
        if sampling is not None:
            reading = evolve(reading, samplings=(*reading.samplings, sampling))
    return evolve(reading, marks=tuple(sorted({*reading.marks, *marks})))
