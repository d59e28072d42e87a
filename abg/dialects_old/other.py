"""Paid calls that cannot be metered, or only in part: searches, batches, images, audio, unknown.

Their meter leaves the reading open, so that the call settles as a marked estimate; what can be
known is read all the same: the id under which a batch's usage may come later, the results of a
batch, and Codex's search, which is billed by the piece.
"""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import evolve

from abg.call import Call
from abg.dialects_old.anthropic import usage_reading as anthropic_reading
from abg.dialects_old.base import StreamMeter
from abg.dialects_old.old_readjson import fields_of, object_of, scan, text, whole
from abg.usage import Reading

__all__ = ["BatchResultsMeter", "OtherMeter", "meter_for", "read_call"]


class _Request(msgspec.Struct):
    model: Any = None
    stream: Any = None
    max_tokens: Any = None
    service_tier: Any = None
    requests: Any = None
    id: Any = None


_request = msgspec.json.Decoder(_Request)


def read_call(name: str, endpoint: str, body: bytes) -> Call:
    """Any other paid request; a batch is taken as the sum of its requests."""
    found = fields_of(body, _request) if body else {}
    if found is None:
        return Call(name, endpoint, scan(body), readable=False, body_bytes=len(body))
    model, limit = text(found.get("model")) or "", whole(found.get("max_tokens"))
    requests = found.get("requests")
    if isinstance(requests, list):
        params = [r.get("params") for r in requests if isinstance(r, dict)]
        asked = [p for p in params if isinstance(p, dict)]
        model = model or next((m for p in asked if (m := text(p.get("model")))), "")
        limit = sum(whole(p.get("max_tokens")) or 0 for p in asked) or limit
    return Call(
        dialect=name,
        endpoint=endpoint,
        model=model,
        stream=found.get("stream") is True,
        max_output_tokens=limit,
        tier="batch" if endpoint.endswith("batches") else text(found.get("service_tier")),
        body_bytes=len(body),
        session_hint=text(found.get("id")) if endpoint == "alpha.search" else None,
    )


def meter_for(call: Call) -> StreamMeter:
    """The meter for one answer to such a call."""
    if call.endpoint == "messages.batches":
        return BatchResultsMeter(call)
    return OtherMeter(call)


class OtherMeter(StreamMeter):
    """Leaves the usage open; ``alpha.search`` is one search."""

    __slots__ = ()

    def _look(self, block: bytes) -> None:
        self._reading = evolve(self._reading, output_bytes=self._reading.output_bytes + len(block))

    def _object(self, body: bytes) -> None:
        value = object_of(body)
        if value is None:
            return
        self._reading = evolve(
            self._reading,
            response_id=text(value.get("id")),
            model=text(value.get("model")),
            failed=isinstance(value.get("error"), dict),
        )

    def _ended(self, complete: bool) -> None:
        if complete and self._call.endpoint == "alpha.search" and not self._reading.failed:
            self._reading = evolve(
                self._reading, web_searches=1, final=True, marks=("one_search_assumed",)
            )
            self.final = True


class BatchResultsMeter(StreamMeter):
    """A batch: its creation answers an id; its results are one JSON object a line."""

    __slots__ = ("_found", "_line", "_model")

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._line = b""
        self._found: list[Any] = []
        self._model: str | None = None

    def feed(self, data: bytes) -> bytes:
        self.streaming = False
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._take(line)
        return data

    def end(self, complete: bool) -> bytes:
        self._take(self._line)
        self._line = b""
        if complete and self._found:
            self._reading = evolve(
                self._reading,
                samplings=tuple(self._found),
                model=self._model,
                tier="batch",
                final=True,
            )
            self.final = True
        return b""

    def _take(self, line: bytes) -> None:
        value = object_of(line) if line.strip() else None
        if value is None:
            return
        result = value.get("result")
        message = result.get("message") if isinstance(result, dict) else None
        if isinstance(message, dict) and isinstance(message.get("usage"), dict):
            model = text(message.get("model"))
            reading = anthropic_reading(message["usage"], Reading())
            self._found += [evolve(s, model=s.model or model) for s in reading.samplings]
            self._model = self._model or model
            searches = self._reading.web_searches + reading.web_searches
            self._reading = evolve(self._reading, web_searches=searches)
        elif self._reading.response_id is None:
            self._reading = evolve(self._reading, response_id=text(value.get("id")))
