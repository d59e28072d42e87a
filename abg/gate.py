"""An exchange that can hold back the client's bytes until the ledger is on disk.

``ledger_sync: always`` promises that no client has seen the event that carries its usage before
the entry survives a power loss. While the gate is shut everything for the client waits, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from abg.call import Headers
from abg.exchange import Exchange

__all__ = ["LONGEST", "Gate"]

LONGEST = 16 << 20
"""Bytes that are held back at most, as long as the longest answer that is read whole. Of a longer
one the beginning passes: nobody has the whole of it without its end."""


class Gate:
    """Wraps an exchange; see ``abg.exchange.Exchange`` for its methods."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._waiting: deque[tuple[int, Callable[[], None]]] | None = None
        self._size = 0
        self.method = exchange.method
        self.target = exchange.target
        self.headers: Headers = exchange.headers
        self.peer = exchange.peer
        self.content_length = exchange.content_length
        self.kin = exchange.kin

    @property
    def shut(self) -> bool:
        return self._waiting is not None

    def close(self) -> None:
        """Hold back what comes from now on."""
        if self._waiting is None:
            self._waiting = deque()
            self._size = 0

    def open(self) -> None:
        """Let through what waited, in order, and all that follows."""
        waiting, self._waiting = self._waiting, None
        for _, step in waiting or ():
            step()

    def pause_body(self) -> None:
        self._exchange.pause_body()

    def resume_body(self) -> None:
        self._exchange.resume_body()

    def respond(self, status: int, reason: bytes, headers: Headers) -> None:
        self._pass(lambda: self._exchange.respond(status, reason, headers))

    def write(self, data: bytes) -> None:
        self._pass(lambda: self._exchange.write(data), len(data))

    def flush(self) -> None:
        self._pass(self._exchange.flush)

    def finish(self) -> None:
        self._pass(self._exchange.finish)

    def abort(self) -> None:
        # A client that is to see a cut has no claim on what waits behind it.
        self._waiting = None
        self._exchange.abort()

    def _pass(self, step: Callable[[], None], size: int = 0) -> None:
        waiting = self._waiting
        if waiting is None:
            step()
            return
        waiting.append((size, step))
        self._size += size
        while self._size > LONGEST and len(waiting) > 1:
            size, step = waiting.popleft()
            self._size -= size
            step()


_check: type[Exchange] = Gate
