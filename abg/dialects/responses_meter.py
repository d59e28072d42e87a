"""The meter of the OpenAI Responses API: a response as JSON, or as its events.

``response.created`` and ``response.in_progress`` say who answers; ``response.completed``,
``response.incomplete`` and ``response.failed`` carry the usage. Codex hangs up right after the
first of those, so it is final there and not at the end of the connection.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from abg.call import Call
from abg.dialects.answer import AnswerMeter
from abg.dialects.counts import CLAMPED, Counts, mapping, text
from abg.dialects.generated import UNUSUAL, text_bytes
from abg.dialects.openai_usage import OpenAIUsage, image_sampling, tokens_of
from abg.dialects.readjson import reader
from abg.dialects.relay import Strainer
from abg.dialects.sse import fields_of
from abg.usage import Reading, Sampling

__all__ = ["TOOL_FEE_UNKNOWN", "ResponsesMeter"]

TOOL_FEE_UNKNOWN = "tool_fee_unknown"
"""The answer used a tool whose fee no list of ours names."""
_WITH_FEES = ("file_search_call", "code_interpreter_call")
_UNFINISHED = ("queued", "in_progress")
_ENDED = ("completed", "incomplete", "failed", "cancelled")
_TERMINAL = tuple(f"response.{status}" for status in _ENDED)


class _Item(msgspec.Struct):
    type: Any = None
    id: Any = None
    action: Any = None


class _Response(msgspec.Struct):
    id: Any = None
    model: Any = None
    status: Any = None
    usage: Any = None
    tool_usage: Any = None
    service_tier: Any = None
    output: list[_Item] | None = None
    error: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    response: _Response | None = None
    item: _Item | None = None
    output_index: Any = None
    delta: Any = None


_EVENT = reader(_Event)
_SEQUENCE = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')
_RESPONSE = reader(_Response)
# As the API spells what it sends most: it needs no closer look.
_DELTAS = tuple(
    f'event: response.{kind}.delta\ndata: {{"type":"response.{kind}.delta"'.encode()
    for kind in (
        "output_text",
        "function_call_arguments",
        "custom_tool_call_input",
        "reasoning_summary_text",
    )
)
_NO_RESPONSE = _Response()


class ResponsesMeter(AnswerMeter):
    """Meters one response."""

    def __init__(self, call: Call, strainer: Strainer | None = None) -> None:
        super().__init__(call, strainer)
        self.model: str | None = None
        self.id: str | None = None
        self.failed = False
        self.ended = False
        """A terminal event was seen."""
        self.created = b""
        """Data of the event that opened the stream."""
        self._tier: str | None = None
        self._used: OpenAIUsage | None = None
        self._image: Sampling | None = None
        self._told_searches: int | None = None
        self._searches: set[object] = set()
        self._fees = False
        self._odd = False

    def look(self, event: bytes) -> None:
        if event.startswith(_DELTAS) or not _may_matter(event):
            size = delta_bytes(event)
            if size != UNUSUAL:
                self.output_bytes += size
                return
        self._read_event(event)

    def answer(self, body: bytes) -> None:
        response, came_whole = self.told_by(body, _RESPONSE, _Response)
        self._end_with(response)
        self.final = self.final and came_whole
        if (response.output or not came_whole) and not self.final:
            self.output_bytes = len(body)

    def read(self) -> Reading:
        marks = ((CLAMPED,) if self._odd else ()) + ((TOOL_FEE_UNKNOWN,) if self._fees else ())
        samplings: tuple[Sampling, ...] = ()
        if self._used is not None:
            samplings = (Sampling(self._used.usage),)
        if self._image is not None:
            samplings += (self._image,)
        told = self._told_searches
        return Reading(
            samplings=samplings,
            model=self.model,
            final=self.final,
            tier=self._tier,
            web_searches=len(self._searches) if told is None else told,
            reasoning_tokens=0 if self._used is None else self._used.reasoning_tokens,
            response_id=self.id,
            failed=self.failed,
            output_bytes=self.output_bytes,
            marks=marks,
        )

    @property
    def sequence(self) -> int:
        """The number of the last event that was fed; -1 without one."""
        found = _SEQUENCE.findall(self.last)
        return int(found[-1]) if found else -1

    def _read_event(self, event: bytes) -> None:
        name, data = fields_of(event)
        told = _EVENT(data)
        if told is None:
            return
        kind = told.type if isinstance(told.type, str) else name.decode("ascii", "replace")
        if kind in _TERMINAL or (told.response is not None and told.response.status in _ENDED):
            self.ended = True
            self.failed = self.failed or kind == "response.failed"
            self._end_with(told.response or _NO_RESPONSE)
        elif kind == "response.output_item.done":
            if told.item is not None:
                self._item(told.item, told.output_index)
        elif kind == "error":
            self.changed()
            self.failed = True
        elif told.response is not None:
            self.changed()
            self._take(told.response)
            self._use(told.response.usage)
            self.created = self.created or data
        else:
            self.output_bytes += text_bytes(told.delta)

    def _take(self, response: _Response) -> None:
        self.model = text(response.model) or self.model
        self.id = text(response.id) or self.id

    def _end_with(self, response: _Response) -> None:
        self.changed()
        self._take(response)
        self.failed = self.failed or response.status == "failed" or bool(response.error)
        # One that comes again, and tells less, takes nothing back.
        self._tier = text(response.service_tier) or self._tier
        for index, item in enumerate(response.output or ()):
            self._item(item, index)
        counts = Counts()
        tools = mapping(response.tool_usage)
        self._image = image_sampling(tools, counts) or self._image
        searches = counts.get(mapping(tools.get("web_search")), "num_requests")
        self._told_searches = self._told_searches if searches is None else searches
        complete = self._use(response.usage)
        self._odd = self._odd or counts.odd
        self.final = self.final or (complete and response.status not in _UNFINISHED)

    def _use(self, usage: object) -> bool:
        """Usage so far, or the last word of it; whether it counts all that it has to."""
        if usage is None:
            return False
        counts = Counts()
        used = tokens_of(mapping(usage), counts, self.call.body_bytes)
        self._odd = counts.odd or used is None
        if used is not None:
            self._used = used
        return used is not None and used.complete

    def _item(self, item: _Item, index: object) -> None:
        """A finished item of the output: is it one that is billed by the piece?"""
        kind = item.type
        if kind == "web_search_call":
            action = mapping(item.action).get("type")
            # Opening a page and finding in it is free; an older answer has no action at all.
            if action == "search" or not isinstance(item.action, dict):
                self.changed()
                self._searches.add(item.id if isinstance(item.id, str) else _index(index))
        elif kind in _WITH_FEES:
            self.changed()
            self._fees = True


def _may_matter(event: bytes) -> bool:
    """Whether an event can be anything but a piece of text, however it is spelt."""
    return (
        event.find(b'"response"') >= 0
        or event.find(b"output_item.done") >= 0
        or event.find(b'"error"') >= 0
    )


def delta_bytes(event: bytes) -> int:
    """Bytes of generated text in a ``….delta`` event as usual, roughly; else ``UNUSUAL``."""
    at = event.find(b'"delta":"')
    if at < 0:
        # Another event that says nothing of money, or one that is spelt otherwise.
        return UNUSUAL if event.find(b'"delta"') >= 0 else 0
    begin = at + 9
    end = event.find(b'","', begin)
    if end < begin:
        end = event.rfind(b'"')
    return end - begin if end > begin else 0


def _index(index: object) -> int:
    return index if isinstance(index, int) else -1
