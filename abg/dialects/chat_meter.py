"""The meter of Chat Completions and of the older completions: JSON, or chunks as events.

In a stream the usage comes in a last chunk with empty ``choices``, and only if it was asked for.
Where abg asked for the client, that chunk is taken out again and every other byte stays.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from abg.call import Call
from abg.dialects.answer import AnswerMeter
from abg.dialects.content import dicts
from abg.dialects.counts import CLAMPED, SEARCH_ASSUMED, Counts, mapping, text
from abg.dialects.generated import UNUSUAL, text_bytes
from abg.dialects.openai_usage import OpenAIUsage, tokens_of
from abg.dialects.readjson import reader
from abg.dialects.relay import Strainer
from abg.dialects.sse import fields_of
from abg.usage import Reading, Sampling

__all__ = ["ChatMeter", "EmbeddingsMeter", "WithoutUsage"]


class _Chunk(msgspec.Struct):
    id: Any = None
    model: Any = None
    service_tier: Any = None
    usage: Any = None
    choices: Any = None
    error: Any = None
    created: Any = None
    object: Any = None


class _Whole(msgspec.Struct):
    """A JSON answer; its choices may be long and say nothing of money."""

    id: Any = None
    model: Any = None
    service_tier: Any = None
    usage: Any = None
    error: Any = None


_CHUNK = reader(_Chunk)
_WHOLE = reader(_Whole)
_PARTS = (
    (b'content":"', b'"},"'),
    (b'"arguments":"', b'"}}]'),
    (b'"text":"', b'","'),
)
"""What generated text stands between in a chunk of one choice, as the API spells it."""
_GOES_ON = b'"finish_reason":null'
_GENERATED = ("delta", "message", "text")
"""Where a choice keeps it."""
_NO_USAGE = re.compile(rb',\s*("usage")\s*:\s*null|("usage")\s*:\s*null\s*,\s*')
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_USUAL_NULL = b'}],"usage":null'
"""As the API writes it: behind the choices."""


class ChatMeter(AnswerMeter):
    """Meters one completion."""

    with_output = True

    def __init__(self, call: Call, strainer: Strainer | None = None) -> None:
        super().__init__(call, strainer)
        self.model: str | None = None
        self.id: str | None = None
        self.created: object = None
        self.kind: str | None = None
        """What the chunks call themselves (``chat.completion.chunk``)."""
        self.failed = False
        self.done = False
        """The end mark was seen."""
        self.choices: dict[int, bool] = {}
        """Those that have begun, by their index; True: they go on."""
        self._tier: str | None = None
        self._used: OpenAIUsage | None = None
        self._odd = False
        self._opened = False
        self._one = call.choices == 1

    def look(self, event: bytes) -> None:
        usual = self._opened and self._one and event.find(b"[DONE]", 0, 40) < 0
        if (
            usual
            and event.find(_GOES_ON) >= 0
            and event.find(b'"error"') < 0
            and not _may_have_usage(event)
        ):
            size = delta_bytes(event)
            if size != UNUSUAL:
                self.output_bytes += size
                return
        self._read_event(event)

    def answer(self, body: bytes) -> None:
        told, came_whole = self.told_by(body, _WHOLE, _Whole)
        self._take(told)
        self.failed = bool(told.error)
        self._use(told.usage)
        self.final = self._complete and came_whole
        if not self.final and not self.failed:
            self.output_bytes = len(body) if self.with_output else 0

    def read(self) -> Reading:
        used = self._used
        marks = (CLAMPED,) if self._odd else ()
        # The search models of this API search in every call; no count of it comes.
        searched = self.final and _searches(self.model or self.call.model)
        return Reading(
            samplings=() if used is None else (Sampling(used.usage),),
            model=self.model,
            final=self.final,
            tier=self._tier,
            web_searches=1 if searched else 0,
            reasoning_tokens=0 if used is None else used.reasoning_tokens,
            response_id=self.id,
            failed=self.failed,
            output_bytes=self.output_bytes,
            marks=(*marks, SEARCH_ASSUMED) if searched else marks,
        )

    def _read_event(self, event: bytes) -> None:
        data = fields_of(event)[1]
        if data.strip() == b"[DONE]":
            self.done = True
            self._close()
            return
        chunk = _CHUNK(data) if data else None
        if chunk is None:
            return
        self._opened = True
        self.changed()
        for choice in dicts(chunk.choices):
            self.output_bytes += text_bytes([choice.get(name) for name in _GENERATED])
            index = choice.get("index")
            index = index if isinstance(index, int) else 0
            goes_on = choice.get("finish_reason") is None
            self.choices[index] = goes_on and self.choices.get(index, True)
        self._take(chunk)
        self.created = chunk.created
        self.kind = text(chunk.object)
        self.failed = self.failed or bool(chunk.error)
        self._use(chunk.usage)
        if chunk.choices == [] and chunk.usage is not None and self._all_have_ended:
            self._close()

    def _close(self) -> None:
        """No later chunk changes the usage that was told."""
        if self._complete and not self.final:
            self.changed()
            self.final = True

    def finish(self, complete: bool) -> None:
        super().finish(complete)
        if complete:
            self._close()

    @property
    def _all_have_ended(self) -> bool:
        """Each choice has begun and come to its end: usage that comes before is one so far."""
        return bool(self.choices) and not any(self.choices.values())

    @property
    def _complete(self) -> bool:
        return self._used is not None and self._used.complete

    def _take(self, answer: _Chunk | _Whole) -> None:
        self.model = text(answer.model) or self.model
        self.id = text(answer.id) or self.id
        self._tier = text(answer.service_tier) or self._tier

    def _use(self, usage: object) -> None:
        if usage is None:
            return
        counts = Counts()
        used = tokens_of(mapping(usage), counts, self.call.body_bytes, with_output=self.with_output)
        self._odd = counts.odd or used is None
        if used is not None:
            # Some servers tell the usage so far in every chunk: the last one counts.
            self._used = used


class EmbeddingsMeter(ChatMeter):
    """Meters vectors: they have input alone."""

    with_output = False


class WithoutUsage:
    """A stream as it would have come had nobody asked for usage.

    The chunk that only brings the usage is gone, and so is the ``"usage":null`` of all others.
    """

    def event(self, event: bytes) -> bytes:
        """See ``Change.event``."""
        if b'"usage"' not in event:
            return event
        if _may_have_usage(event):
            data = fields_of(event.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))[1]
            chunk = _CHUNK(data)
            if chunk is not None and chunk.choices == [] and isinstance(chunk.usage, dict):
                return b""
        own = _own_usage(event)
        # No text inside can hold these bytes: its quotes would be escaped.
        return _NO_USAGE.sub(
            lambda n: b"" if max(n.start(1), n.start(2)) in own else n.group(), event
        )

    def events(self, data: bytes) -> bytes | None:
        """See ``Change.events``."""
        told = data.count(b'"usage"')
        if not told:
            return data
        usual = data.replace(_USUAL_NULL, b"}]")
        return usual if len(data) - len(usual) == told * len(b',"usage":null') else None


def _own_usage(event: bytes) -> set[int]:
    """Where the word stands at the top of a chunk: what stands deeper is the vendor's own."""
    places, depth = set(), 0
    for token in _TOKEN.finditer(event, event.find(b"{")):
        word = token.group()
        if word in (b"{", b"["):
            depth += 1
        elif word in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and word == b'"usage"':
            places.add(token.start())
    return places


def _searches(model: str) -> bool:
    return "-search-preview" in model or "-search-api" in model


def _may_have_usage(event: bytes) -> bool:
    """Where it was asked for, every chunk has the word, but only the last one a value."""
    at = event.find(b'"usage"')
    while at >= 0:
        at += 7
        if not event.startswith(b":null", at):
            return True
        at = event.find(b'"usage"', at)
    return False


def delta_bytes(event: bytes) -> int:
    """Bytes of generated text in a chunk as usual, roughly; else ``UNUSUAL``."""
    for begin, end in _PARTS:
        at = event.find(begin)
        if at >= 0:
            at += len(begin)
            stop = event.find(end, at)
            # Other texts stand beside this one, if its quote is closed before.
            return stop - at if stop >= 0 > event.find(b'","', at, stop) else UNUSUAL
    return UNUSUAL
