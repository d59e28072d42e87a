"""The exchange of the fast lane: one request on one connection, and the framing of its answer."""

from __future__ import annotations

from typing import Protocol

from abg.call import Headers
from abg.exchange import Exchange, Handler, Kin
from abg.wire.framing import answer_head, bodiless, declared_length

__all__ = ["LaneExchange", "Line"]

_CHUNKED, _COUNTED, _NONE = range(3)


class Line(Protocol):
    """What an exchange needs of its connection."""

    @property
    def keeps(self) -> bool:
        """Another request may follow on this connection."""

    def send(self, data: bytes) -> None: ...

    def answered(self, whole: bool) -> None:
        """The exchange has ended; ``whole``: its answer is complete and framed to the byte."""

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...


class LaneExchange:
    """See ``abg.exchange.Exchange``; when it ends it leaves the lane, and calls are ignored."""

    __slots__ = (
        "_framing",
        "_head",
        "_lane",
        "_left",
        "_out",
        "content_length",
        "handler",
        "headers",
        "kin",
        "method",
        "peer",
        "responded",
        "target",
    )

    def __init__(
        self,
        lane: Line,
        method: bytes,
        target: bytes,
        headers: Headers,
        peer: str,
        content_length: int | None,
        kin: Kin | None = None,
    ) -> None:
        self._lane: Line | None = lane
        self.method = method
        self.target = target
        self.headers = headers
        self.peer = peer
        self.content_length = content_length
        self.kin = kin or Kin()
        self.handler: Handler | None = None
        self.responded = False
        self._head = b""
        self._out: list[bytes] = []
        self._framing = _NONE
        self._left = 0

    def pause_body(self) -> None:
        if self._lane is not None:
            self._lane.pause_body()

    def resume_body(self) -> None:
        if self._lane is not None:
            self._lane.resume_body()

    def respond(self, status: int, reason: bytes, headers: Headers) -> None:
        lane = self._lane
        if lane is None or self.responded:
            return
        self.responded = True
        framing = b"" if lane.keeps else b"Connection: close\r\n"
        if bodiless(self.method, status):
            self._framing = _NONE
        else:
            length = declared_length(headers)
            if length is None:
                self._framing = _CHUNKED
                framing += b"Transfer-Encoding: chunked\r\n"
            else:
                self._framing = _COUNTED
                self._left = length
        self._head = answer_head(status, reason, headers, framing)

    def write(self, data: bytes) -> None:
        if self._framing != _NONE and data:
            self._out.append(data)

    def flush(self) -> None:
        lane, parts = self._lane, self._out
        if lane is None or not self.responded:
            return
        if len(parts) == 1 and self._framing == _CHUNKED and not self._head:
            # A piece of a stream, as nearly always.
            body = parts.pop()
            lane.send(b"%x\r\n%b\r\n" % (len(body), body))
            return
        data = self._take(False)
        if data:
            lane.send(data)

    def finish(self) -> None:
        lane = self._lane
        if lane is None or not self.responded:
            return
        data = self._take(True)
        if data:
            lane.send(data)
        self._lane = self.handler = None
        lane.answered(self._left == 0)

    def abort(self) -> None:
        lane = self._lane
        if lane is None:
            return
        if self.responded:
            data = self._take(False)
            if data:
                lane.send(data)
        self._lane = self.handler = None
        lane.answered(False)

    def lost(self) -> None:
        """The lane has lost the connection."""
        handler, self._lane, self.handler = self.handler, None, None
        self._out.clear()
        if handler is not None:
            handler.gone()

    def _take(self, last: bool) -> bytes:
        """What is to be sent now, framed and in one piece."""
        parts = self._out
        head = self._head
        if head:
            self._head = b""
        if self._framing == _COUNTED and parts:
            self._count(parts)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if self._framing != _CHUNKED:
            return head + body if head else body
        if body:
            return b"%b%x\r\n%b\r\n%b" % (head, len(body), body, b"0\r\n\r\n" if last else b"")
        return head + b"0\r\n\r\n" if last else head

    def _count(self, parts: list[bytes]) -> None:
        """Hold the body to its declared length: more would be read as another answer."""
        left = self._left - sum(map(len, parts))
        if left < 0:
            whole = b"".join(parts)[: self._left]
            parts[:] = [whole]
            left = 0
        self._left = left


_check: type[Exchange] = LaneExchange
