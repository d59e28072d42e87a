"""The meter of the Anthropic Messages API: a message as JSON, or as its events.

Order of events: ``message_start``; blocks of ``content_block_start``, ``…_delta``, ``…_stop``;
``message_delta`` (one or more, cumulative); ``message_stop``. ``ping`` and unknown events mean
nothing; an ``error`` event can end a stream.
"""

from __future__ import annotations

from typing import Any

import msgspec

from abg.call import Call
from abg.dialects.answer import AnswerMeter
from abg.dialects.anthropic_usage import AnthropicUsage
from abg.dialects.counts import mapping, text
from abg.dialects.generated import UNUSUAL, text_bytes
from abg.dialects.readjson import reader
from abg.dialects.relay import Strainer
from abg.dialects.sse import fields_of
from abg.usage import Reading, Sampling

__all__ = ["AnthropicMeter"]


class _Message(msgspec.Struct):
    id: Any = None
    model: Any = None
    usage: Any = None
    content: Any = None
    stop_reason: Any = None
    type: Any = None


class _Answer(msgspec.Struct):
    """A whole message; its content may be long, and seldom decides anything."""

    id: Any = None
    model: Any = None
    usage: Any = None
    stop_reason: Any = None
    type: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    message: _Message | None = None
    usage: Any = None
    delta: Any = None
    index: Any = None
    content_block: Any = None


_EVENT = reader(_Event)
# As the API, and others that speak like it, spell what they send most: it needs no closer look.
_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta"',
    b'event: content_block_delta\ndata: {"type": "content_block_delta"',
)
_OWN_TYPE = max(map(len, _DELTA))
"""Up to here an event's ``_delta"`` is that of its own type, and not yet of its piece."""
_ANSWER = reader(_Answer)
_MESSAGE = reader(_Message)


class AnthropicMeter(AnswerMeter):
    """Meters one message."""

    def __init__(self, call: Call, strainer: Strainer | None = None) -> None:
        super().__init__(call, strainer)
        self.usage = AnthropicUsage(call.body_bytes)
        self.model: str | None = None
        self.id: str | None = None
        self.begun = False
        """``message_start`` was seen."""
        self.open_block: int | None = None
        """The block that has begun and not ended."""
        self.stop_reason: str | None = None
        self.stopped = False
        """``message_stop`` was seen."""
        self.failed = False
        self._content = False
        """It says something; of a whole answer only known where that decides anything."""

    def look(self, event: bytes) -> None:
        if event.startswith(_DELTA):
            size = delta_bytes(event)
            if size != UNUSUAL:
                self.output_bytes += size
                return
        if _may_matter(event):
            self._read_event(event)

    def answer(self, body: bytes) -> None:
        answer, came_whole = self.told_by(body, _ANSWER, _Answer)
        if not came_whole:
            # All of it may be text.
            self.output_bytes = len(body)
            if "output_tokens" not in mapping(answer.usage):
                # It stands behind those of the input, of which the largest may be missing.
                answer.usage = None
        self._take(answer)
        self.failed = answer.type == "error"
        self.stop_reason = text(answer.stop_reason)
        if answer.usage is None or self.stop_reason == "refusal":
            message = _MESSAGE(body)
            self._content = message is not None and bool(message.content)
            if self._content and answer.usage is None:
                self.output_bytes = len(body)
        self.usage.whole(mapping(answer.usage))
        self.final = self.usage.told_output and came_whole

    def finish(self, complete: bool) -> None:
        super().finish(complete)
        # The end of the sampling was told, with its counts: only a farewell is missing.
        self.final = self.final or (self.stop_reason is not None and self.usage.told_output)

    def read(self) -> Reading:
        marks: list[str] = []
        samplings: tuple[Sampling, ...] = ()
        billed, searches = True, 0
        usage = self.usage
        if usage:
            refused = self.stop_reason == "refusal" and not self._content
            samplings, billed, searches = usage.samplings(refused=refused, marks=marks)
        return Reading(
            samplings,
            self.model,
            self.final,
            usage.word("service_tier"),
            usage.word("speed"),
            usage.word("inference_geo"),
            searches,
            usage.thinking_tokens,
            billed or not self.final,
            self.id,
            self.failed,
            self.output_bytes,
            tuple(marks),
        )

    def _read_event(self, event: bytes) -> None:
        name, data = fields_of(event)
        told = _EVENT(data)
        if told is None:
            return
        kind = told.type if isinstance(told.type, str) else name.decode("ascii", "replace")
        if kind == "content_block_delta":
            self.output_bytes += text_bytes(told.delta)
            return
        self.changed()
        if kind == "message_start":
            message = told.message or _Message()
            self.begun = True
            self._take(message)
            self._content = self._content or bool(message.content)
            self.stop_reason = text(message.stop_reason)
            self.usage.begin(mapping(message.usage))
        elif kind == "content_block_start":
            self._content = True
            self.open_block = told.index if isinstance(told.index, int) else 0
            self.output_bytes += _block_bytes(told.content_block)
        elif kind == "content_block_stop":
            self.open_block = None
        elif kind == "message_delta":
            self.usage.update(mapping(told.usage))
            self.stop_reason = text(mapping(told.delta).get("stop_reason")) or self.stop_reason
        elif kind == "message_stop":
            self.stopped = True
            self.final = self.usage.told_output
        elif kind == "error":
            self.failed = True

    def _take(self, message: _Message | _Answer) -> None:
        self.model = text(message.model) or self.model
        self.id = text(message.id) or self.id


def _may_matter(event: bytes) -> bool:
    """Whether an event can mean anything, however it is spelt."""
    return (
        event.find(b"message_") >= 0
        or event.find(b"content_block_") >= 0
        or event.find(b'"error"') >= 0
    )


def delta_bytes(event: bytes) -> int:
    """Bytes of generated text in a ``content_block_delta`` as usual, roughly; else ``UNUSUAL``."""
    # The last one: the event's own type ends like the delta's.
    at, colon = event.rfind(b'_delta","'), 3
    if at < 0:
        at, colon = event.rfind(b'_delta", "'), 4
    if at < _OWN_TYPE:
        return UNUSUAL
    if event.startswith(b"signature", at + 9):
        return 0
    begin = event.find(b'":', at + 9) + colon
    end = event.rfind(b'"')
    return end - begin if end > begin > colon else 0


def _block_bytes(block: object) -> int:
    """Bytes of a block that comes whole with its start (results of the vendor's own tools)."""
    told = mapping(block)
    return sum(len(told[name]) for name in ("text", "thinking") if isinstance(told.get(name), str))
