"""An exchange that can hold back the client's bytes until the ledger is on disk.

``ledger_sync: always`` promises that no client has seen the event that carries its usage before
the entry survives a power loss. While the gate is shut everything for the client waits, in order.
"""

from __future__ import annotations

from collections.abc import Callable

from abg.call import Headers
from abg.exchange import Exchange

__all__ = ["Gate"]


class Gate:
    """Wraps an exchange; see ``abg.exchange.Exchange`` for its methods."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._waiting: list[Callable[[], None]] | None = None
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
            self._waiting = []

    def open(self) -> None:
        """Let through what waited, in order, and all that follows."""
        waiting, self._waiting = self._waiting, None
        for step in waiting or ():
            step()

    def pause_body(self) -> None:
        self._exchange.pause_body()

    def resume_body(self) -> None:
        self._exchange.resume_body()

    def respond(self, status: int, reason: bytes, headers: Headers) -> None:
        self._pass(lambda: self._exchange.respond(status, reason, headers))

    def write(self, data: bytes) -> None:
        self._pass(lambda: self._exchange.write(data))

    def flush(self) -> None:
        self._pass(self._exchange.flush)

    def finish(self) -> None:
        self._pass(self._exchange.finish)

    def abort(self) -> None:
        # A client that is to see a cut has no claim on what waits behind it.
        self._waiting = None
        self._exchange.abort()

    def _pass(self, step: Callable[[], None]) -> None:
        if self._waiting is None:
            step()
        else:
            self._waiting.append(step)


_check: type[Exchange] = Gate
