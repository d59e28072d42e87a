"""Meters of answers that do not tell their cost, or only later.

A batch is answered with an id; its usage comes with its results (Anthropic: one JSON object a
line, each with a message) or with the batch itself once it has ended (OpenAI).
"""

from __future__ import annotations

from typing import Any

import msgspec

from abg.call import Call
from abg.dialects.answer import AnswerMeter
from abg.dialects.anthropic_usage import AnthropicUsage
from abg.dialects.counts import CLAMPED, SEARCH_ASSUMED, Counts, mapping, text
from abg.dialects.openai_usage import image_sampling, tokens_of
from abg.dialects.readjson import reader
from abg.dialects.sse import LONGEST, fields_of
from abg.usage import NOTHING_USED, Reading, Sampling

__all__ = ["BatchMeter", "BatchResultsMeter", "ImagesMeter", "SearchMeter", "SilentMeter"]

BYTES_PER_TOKEN = 3


class _Answer(msgspec.Struct):
    id: Any = None
    model: Any = None
    error: Any = None
    usage: Any = None
    status: Any = None


class _Message(msgspec.Struct):
    model: Any = None
    usage: Any = None
    content: Any = None
    stop_reason: Any = None


class _Result(msgspec.Struct):
    type: Any = None
    message: _Message | None = None


class _Line(msgspec.Struct):
    id: Any = None
    custom_id: Any = None
    result: _Result | None = None


_TEXT_EVENT = 4096
_ONE_BATCH = 64 << 10
"""Bytes kept of what is not results: a batch alone is no longer."""
_ERROR_STANDS_IN = 256
"""Bytes of an answer that was cut, in which its error would stand."""
_ANSWER = reader(_Answer)
_LINE = reader(_Line)


class SilentMeter(AnswerMeter):
    """Reads who answered, and under which id.

    Usage that it tells against expectation is the least that an estimate comes to, and no last
    word: nobody knows what else such a call costs.
    """

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.told = _Answer()
        self.used: Sampling | None = None
        self.odd = False
        self.came_whole = True
        """As far as a JSON answer shows it."""

    def look(self, event: bytes) -> None:
        # What is longer, or no event at all, holds pictures or sound, whose bytes say nothing
        # about tokens.
        size = len(event.strip(b"\n"))
        if size <= _TEXT_EVENT and event.find(b"data:") >= 0:
            self.output_bytes += size
        if event.find(b'"usage"') >= 0:
            told = _ANSWER(fields_of(event)[1])
            if told is not None:
                self.changed()
                self.use(told.usage)

    def answer(self, body: bytes) -> None:
        self.told, self.came_whole = self.told_by(body, _ANSWER, _Answer)
        self.use(self.told.usage)

    def use(self, usage: object) -> None:
        """The usage of the answer, if it is one."""
        counts = Counts()
        used = tokens_of(mapping(usage), counts, 0)
        self.odd = counts.odd
        if used is not None:
            self.used = Sampling(used.usage)

    def read(self) -> Reading:
        return Reading(
            samplings=() if self.used is None else (self.used,),
            model=text(self.told.model),
            final=self.final,
            response_id=text(self.told.id),
            failed=bool(self.told.error),
            marks=(CLAMPED,) if self.odd else (),
        )


class ImagesMeter(SilentMeter):
    """Pictures: their tokens stand at the end of the answer, or in the event that ends it.

    Its text and its pictures are not told apart in what all models answer: all output counts as
    pictures, which are the dearer ones.
    """

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._told = 0
        """Usages, one for each picture or one for all."""
        self._counted = False
        """Nothing that has to be in the last one was missing."""

    def use(self, usage: object) -> None:
        """See ``SilentMeter.use``."""
        counts = Counts()
        told = mapping(usage)
        drawn = image_sampling({"image_gen": told}, counts)
        if drawn is None:
            return
        self.odd = self.odd or counts.odd
        # Of an upload nobody read the model: the dearest one for pictures counts.
        kind = "message" if self.call.model else "image"
        before = self.used.usage if self.used is not None else NOTHING_USED
        self.used = Sampling(before + drawn.usage, None, kind)
        ways = ("input_tokens", "output_tokens")
        self._counted = self.came_whole and all(counts.get(told, way) is not None for way in ways)
        self._told += 1
        # In a stream each picture comes with an event, and perhaps with a usage, of its own.
        enough = not self.streaming or self._told >= self.call.choices
        self.final = self._counted and enough

    def finish(self, complete: bool) -> None:
        super().finish(complete)
        self.final = self.final or (complete and self._counted)


class SearchMeter(SilentMeter):
    """Codex's ``alpha/search``: one search, whatever it answers but an error."""

    def answer(self, body: bytes) -> None:
        super().answer(body)
        # Cut or not: a search that began to answer was made.
        failed = self.told.error or b'"error":{' in body[:_ERROR_STANDS_IN]
        self.final = body.lstrip().startswith(b"{") and not failed

    def read(self) -> Reading:
        return Reading(
            samplings=() if self.used is None else (self.used,),
            final=self.final,
            web_searches=1 if self.final else 0,
            failed=bool(self.told.error),
            marks=(SEARCH_ASSUMED,) if self.final else (),
        )


class BatchMeter(SilentMeter):
    """A batch of OpenAI, which says its usage once it has ended."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._samplings: tuple[Sampling, ...] = ()
        self._reasoning = 0
        self._odd = False

    def answer(self, body: bytes) -> None:
        super().answer(body)
        counts = Counts()
        used = tokens_of(mapping(self.told.usage), counts, 0)
        running = self.told.status not in ("completed", "failed", "expired", "cancelled")
        if used is not None and not running:
            self._samplings = (Sampling(used.usage),)
            self._reasoning = used.reasoning_tokens
            self._odd = counts.odd
            self.final = used.complete

    def read(self) -> Reading:
        return Reading(
            self._samplings,
            text(self.told.model),
            self.final,
            "batch",
            reasoning_tokens=self._reasoning,
            response_id=text(self.told.id),
            failed=bool(self.told.error),
            marks=(CLAMPED,) if self._odd else (),
        )


class BatchResultsMeter(AnswerMeter):
    """What comes from Anthropic's batch endpoints: a batch, or its results line by line."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.id: str | None = None
        self.model: str | None = None
        self.searches = 0
        self._samplings: list[Sampling] = []
        self._tier: str | None = None
        self._geo: str | None = None
        self._speed: str | None = None
        self._marks: dict[str, None] = {}
        self._line = bytearray()
        self._skipping = False
        self._results = 0

    def feed(self, data: bytes) -> bytes:
        self.streaming = False
        if len(self._body) < _ONE_BATCH:
            self._body += data
        at = data.rfind(b"\n")
        if at < 0:
            self._keep(data)
            return data
        lines = data[:at].split(b"\n")
        self._keep(lines[0])
        self.look(bytes(self._line))
        self._line.clear()
        self._skipping = False
        for line in lines[1:]:
            self.look(line)
        self._keep(data[at + 1 :])
        return data

    def end(self, complete: bool) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        self.look(bytes(self._line))
        self._line.clear()
        if not self._results and self.id is None:
            self.answer(bytes(self._body))
        self.changed()
        if self._results:
            self.final = complete and not self._too_large
        elif self.call.max_output_tokens is not None:
            # The batch was taken: all that its requests allow may be generated.
            self.output_bytes = self.call.max_output_tokens * BYTES_PER_TOKEN
        return b""

    def read(self) -> Reading:
        return Reading(
            tuple(self._samplings),
            self.model,
            self.final,
            self._tier or "batch",
            self._speed,
            self._geo,
            self.searches,
            response_id=self.id,
            marks=tuple(self._marks),
        )

    def _keep(self, data: bytes) -> None:
        if self._skipping:
            return
        self._line += data
        if len(self._line) > LONGEST:
            self._line.clear()
            self._skipping = True
            self._too_large = True

    def answer(self, body: bytes) -> None:
        """A batch that is written over several lines."""
        told = _LINE(body)
        if told is not None:
            self.id = text(told.id)

    def look(self, event: bytes) -> None:
        """A line: a batch, or one of its results."""
        if len(event) > LONGEST:
            self._too_large = True
            return
        told = _LINE(event) if event.strip() else None
        if told is None:
            return
        if told.result is None:
            self.id = self.id or text(told.id)
            return
        self._results += 1
        message = told.result.message
        if message is None:
            return
        model = text(message.model)
        self.model = self.model or model
        usage = AnthropicUsage(0)
        usage.whole(mapping(message.usage))
        refused = message.stop_reason == "refusal" and not message.content
        marks = [] if usage.told_output else [CLAMPED]
        samplings, billed, searches = usage.samplings(refused=refused, marks=marks)
        self._marks.update(dict.fromkeys(marks))
        if not billed:
            return
        for sampling in samplings:
            own = sampling.model or model
            self._samplings.append(Sampling(sampling.usage, own, sampling.kind))
        self.searches += searches
        self._tier = self._tier or usage.word("service_tier")
        self._geo = self._geo or usage.word("inference_geo")
        self._speed = self._speed or usage.word("speed")
