"""A call that costs nothing: it streams through."""

from __future__ import annotations

from abg.call import Call
from abg.dialects import Meter
from abg.proxy.passage import Passage

__all__ = ["FreeCall"]


class FreeCall(Passage):
    """Its answer is read only if it may carry the usage of a background call still open."""

    _open_id: str | None = None
    _open_meter: Meter | None = None

    def start(self) -> None:
        guard, exchange = self._corridor.guard, self._exchange
        guard.tally.count("free")
        if len(guard.opened) and exchange.method != b"HEAD":
            self._look_for_open_id()
        self._send(b"" if exchange.content_length == 0 else None)

    def body_left(self) -> None:
        """Nobody counts it: it streams."""

    def _look_for_open_id(self) -> None:
        opened = self._corridor.guard.opened
        path = self._route.target.partition(b"?")[0].decode("ascii", "replace")
        for segment in path.split("/"):
            found = opened.get(segment)
            if found is not None:
                call = Call(self._dialect.name, found.endpoint, found.model)
                self._open_id = segment
                self._open_meter = self._dialect.meter(call)
                self._metering = True

    def _meter(self, data: bytes) -> bytes:
        return data if self._open_meter is None else self._open_meter.feed(data)

    def _meter_end(self, complete: bool) -> bytes:
        return b"" if self._open_meter is None else self._open_meter.end(complete)

    def _land(self, end: str, *, status: int = 0, reason: str = "") -> None:
        guard = self._corridor.guard
        if self._open_id is not None and self._open_meter is not None:
            guard.observe(self._open_id, self._dialect, self._open_meter)
        if status:
            guard.tally.count(end)
