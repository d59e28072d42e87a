"""One question to a vendor's free token counter, bounded in time and size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from abg.call import Headers
from abg.counting import counted
from abg.exchange import VendorCall

__all__ = ["Question"]

PATIENCE = 10.0
"""Seconds; without an answer the call is judged by the size of its body."""
LONGEST = 65_536


class Question:
    """Listens to the counter's answer, and tells the number, or None, exactly once."""

    def __init__(
        self, told: Callable[[int | None], None], later: Callable[[float, Any], Any]
    ) -> None:
        self._told: Callable[[int | None], None] | None = told
        self._parts: list[bytes] = []
        self._size = 0
        self._status = 0
        self.vendor: VendorCall | None = None
        self._timer = later(PATIENCE, self.give_up)

    def give_up(self) -> None:
        """No answer is awaited any more; the asker is told None."""
        if self._told is not None:
            if self.vendor is not None:
                self.vendor.abort()
            self._tell(None)

    def forget(self) -> None:
        """The asker has gone."""
        self._told = None
        self._stop()
        if self.vendor is not None:
            self.vendor.abort()

    def answer_head(self, status: int, reason: bytes, headers: Headers, has_body: bool) -> None:
        self._status = status

    def answer_data(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > LONGEST:
            self.give_up()
        else:
            self._parts.append(data)

    def answer_flush(self) -> None: ...

    def answer_end(self) -> None:
        self._tell(counted(b"".join(self._parts)) if self._status == 200 else None)

    def answer_failed(self, kind: str, message: str) -> None:
        self._tell(None)

    def upstream_pause(self) -> None: ...

    def upstream_resume(self) -> None: ...

    def body_left(self) -> None: ...

    def _tell(self, count: int | None) -> None:
        told, self._told = self._told, None
        if told is not None:
            self._stop()
            told(count)

    def _stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
