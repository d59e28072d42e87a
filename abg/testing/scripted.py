"""The fake vendor without sockets: a request goes in, an answer comes out, all is remembered.

Tests that run wholly in memory use this; ``abg.testing.vendor`` puts a server around it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import define, field, frozen

from abg.testing import anthropic, openai
from abg.testing.ask import Request
from abg.testing.script import Rule, Script, Step

__all__ = ["Answer", "Charge", "Record", "ScriptedVendor"]

KEPT_BODY = 1_000_000
"""Bodies up to this many bytes are remembered whole, longer ones by length and digest."""


@frozen
class Answer:
    """What to send, and what goes wrong with it on the way."""

    status: int
    headers: tuple[tuple[str, str], ...]
    pieces: Iterable[bytes]
    """The body: one piece, or one for each event of a stream."""
    length: int | None
    """Length of the whole body, if the answer declares one."""
    step: Step
    number: int
    """Number of the request this answers, from 1."""


@define
class Charge:
    """What the vendor booked for one answer."""

    number: int
    path: str
    model: str
    usage: dict[str, Any] | None
    """The counts in the vendor's own spelling; None: it never told any."""
    session: str
    """The agent's own session id as the request named it in a header; empty without."""
    told: bool = False
    """The client was sent the counts: the answer left whole, or at least its usage did."""


@define
class Record:
    """A request that came, and how its answer ended."""

    number: int
    request: Request
    status: int = 0
    ended: str = "running"
    """``complete``, ``broken`` (as the script wanted), ``client_gone`` or ``running``."""
    sent: int = 0
    """Bytes of body that went out, content coding included."""

    def as_json(self) -> dict[str, Any]:
        """The record for ``GET /_requests``."""
        body = self.request.body
        told: dict[str, Any] = {
            "n": self.number,
            "method": self.request.method,
            "path": self.request.target,
            "headers": [list(pair) for pair in self.request.headers],
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "status": self.status,
            "ended": self.ended,
            "sent": self.sent,
        }
        if len(body) <= KEPT_BODY:
            try:
                told["body"] = body.decode()
            except UnicodeDecodeError:
                told["body_base64"] = base64.b64encode(body).decode()
                told["body"] = self.request.plain.decode("utf-8", "replace")
        return told


@define
class ScriptedVendor:
    """Both vendors at once: answers by script, and keeps a list of requests and charges."""

    script: Script = field(factory=Script)
    records: list[Record] = field(factory=list)
    charges: list[Charge] = field(factory=list)
    _uses: dict[int, int] = field(factory=dict)
    _background: dict[str, dict[str, Any]] = field(factory=dict)

    def use(self, script: Script) -> None:
        """Answer by another script from now on, from its first turn."""
        self.script = script
        self._uses.clear()

    def reset(self) -> None:
        """Forget all requests and charges; the numbering starts again."""
        self.records.clear()
        self.charges.clear()
        self._uses.clear()
        self._background.clear()

    def answer(self, request: Request) -> Answer:
        """The answer to a request; both are remembered."""
        record = Record(len(self.records) + 1, request)
        self.records.append(record)
        answer = self._answer(request, record.number)
        record.status = answer.status
        return answer

    def ended(self, number: int, how: str, sent: int, *, told: bool) -> None:
        """How the answer to a request left, and whether its counts were ``told`` in it."""
        if not 0 < number <= len(self.records):
            return
        record = self.records[number - 1]
        record.ended, record.sent = how, sent
        for charge in self.charges:
            if charge.number == number:
                charge.told = told

    # -- what is answered ------------------------------------------------------------------------

    def _answer(self, request: Request, number: int) -> Answer:
        if request.header("upgrade"):
            return _plain(426, b"", Step(), number)
        path = request.path.rstrip("/") or "/"
        step = self._step(path, request)
        if request.method == "HEAD":
            return _plain(200, b"", step or Step(), number)
        if step is None:
            return self._free(path, request, number)
        if step.status != 200 or step.error:
            return self._error(step, path, number)
        if step.body is not None:
            stream = step.stream if step.stream is not None else bool(request.json.get("stream"))
            kind = step.content_type or ("text/event-stream" if stream else "application/json")
            return _answer(200, kind, [step.body.encode()], step, number, stream=stream)
        return self._paid(step, path, request, number)

    def _step(self, path: str, request: Request) -> Step | None:
        """The step for this request; None: it is free and no rule speaks of its path."""
        paid = request.method == "POST" and path in _PAID
        body = request.plain.decode("utf-8", "replace") if self.script.rules else ""
        for index, rule in enumerate(self.script.rules):
            if rule.path == "*" and not paid:
                continue
            if not rule.fits(path, request.model, body, request.headers):
                continue
            used = self._uses.get(index, 0)
            if rule.times is not None and used >= rule.times:
                continue
            self._uses[index] = used + 1
            return _turn(rule, used, request)
        return Step() if paid else None

    def _error(self, step: Step, path: str, number: int) -> Answer:
        if step.body is not None:
            body = step.body.encode()
        elif path.startswith("/messages"):
            body = _json(anthropic.error_body(step.status, step.error, number))
        else:
            body = _json(openai.error_body(step.status, step.error))
        return _answer(step.status, step.content_type or _JSON, [body], step, number)

    def _paid(self, step: Step, path: str, request: Request, number: int) -> Answer:
        stream = step.stream if step.stream is not None else bool(request.json.get("stream"))
        usage: dict[str, Any] | None
        if path == "/messages":
            usage = anthropic.usage_of(step)
            whole, events = anthropic.message, anthropic.events
        elif path in ("/responses", "/responses/compact"):
            usage = openai.usage_of(step, "/responses")
            whole, events = openai.response, openai.response_events
        elif path == "/chat/completions":
            usage = openai.usage_of(step, path)
            whole, events = openai.chat, openai.chat_events
        elif path == "/completions":
            usage = openai.usage_of(step, path)
            whole, events = openai.completion, openai.completion_events
        elif path == "/embeddings":
            usage = openai.usage_of(step, path)
            whole, events, stream = openai.embedding, openai.response_events, False
        else:
            body = _json({"encrypted_output": None, "output": step.text, **step.fields})
            self._book(number, path, request, None)
            return _answer(200, _JSON, [body], step, number)
        self._book(number, path, request, usage, step.model)
        if path == "/responses" and request.json.get("background"):
            return self._later(step, request, number)
        if stream:
            kind = step.content_type or "text/event-stream; charset=utf-8"
            return _answer(200, kind, events(step, request, number), step, number, stream=True)
        body = _json(whole(step, request, number))
        return _answer(200, step.content_type or _JSON, [body], step, number)

    def _later(self, step: Step, request: Request, number: int) -> Answer:
        """A background response: the POST tells no usage, a later GET does."""
        whole = openai.response(step, request, number)
        self._background[whole["id"]] = whole
        queued = dict(whole, status="queued", output=[], usage=None)
        return _answer(200, _JSON, [_json(queued)], step, number)

    def _free(self, path: str, request: Request, number: int) -> Answer:
        step = Step()
        if path in ("/messages/count_tokens", "/responses/input_tokens"):
            counted: dict[str, Any] = {"input_tokens": max(1, len(request.plain) // 4)}
            if path.startswith("/responses"):
                counted["object"] = "response.input_tokens"
            return _answer(200, _JSON, [_json(counted)], step, number)
        if path == "/models" and request.method == "GET":
            if "client_version=" in request.target:
                models: dict[str, Any] = {"models": []}
            elif request.header("anthropic-version"):
                models = {"data": [], "has_more": False, "first_id": None, "last_id": None}
            else:
                models = {"object": "list", "data": []}
            return _answer(200, _JSON, [_json(models)], step, number)
        known = self._background.get(path.rpartition("/")[2])
        if known is not None and request.method == "GET":
            return _answer(200, _JSON, [_json(known)], step, number)
        if request.method == "POST":
            return _answer(200, _JSON, [b"{}"], step, number)
        return self._error(Step(status=404), path, number)

    def _book(
        self,
        number: int,
        path: str,
        request: Request,
        usage: dict[str, Any] | None,
        model: str | None = None,
    ) -> None:
        session = request.header("x-claude-code-session-id") or request.header("session-id")
        model = model or request.model
        self.charges.append(Charge(number, path, model, usage, session))


_PAID = frozenset(
    {
        "/messages",
        "/responses",
        "/responses/compact",
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/alpha/search",
    }
)
_JSON = "application/json"


def _turn(rule: Rule, used: int, request: Request) -> Step:
    turn = request.answers_so_far if rule.by == "conversation" else used
    return rule.turns[min(turn, len(rule.turns) - 1)]


def _answer(
    status: int,
    content_type: str,
    pieces: Iterable[bytes],
    step: Step,
    number: int,
    *,
    stream: bool = False,
) -> Answer:
    headers = {
        "date": "Tue, 24 Nov 2026 12:00:00 GMT",
        "content-type": content_type,
        "request-id": f"req_fake_{number:06d}",
        "x-request-id": f"req_fake_{number:06d}",
        "server": "fake-vendor",
    }
    if stream:
        headers["cache-control"] = "no-cache"
    if step.encoding is not None:
        headers["content-encoding"] = step.encoding
        pieces = _encoded(step.encoding, pieces)
    length = None
    if not stream or step.framing == "length":
        body = b"".join(pieces)
        pieces, length = [body], len(body)
    headers.update({name.lower(): value for name, value in step.headers.items()})
    return Answer(status, tuple(headers.items()), pieces, length, step, number)


def _plain(status: int, body: bytes, step: Step, number: int) -> Answer:
    return Answer(status, tuple(step.headers.items()), [body], len(body), step, number)


def _encoded(coding: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces compressed, each flushed so that it can be read at once."""
    if coding in ("gzip", "deflate"):
        import zlib

        packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
        for piece in pieces:
            yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield packer.flush()
    elif coding == "br":
        import brotli  # type: ignore[import-untyped]

        brotlier = brotli.Compressor()
        for piece in pieces:
            yield bytes(brotlier.process(piece) + brotlier.flush())
        yield bytes(brotlier.finish())
    else:
        import zstandard

        zipper = zstandard.ZstdCompressor().compressobj()
        for piece in pieces:
            yield zipper.compress(piece) + zipper.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        yield zipper.flush()


def _json(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
