"""What signals do to ``abg proxy``: TERM and INT end it in order, HUP reopens its ledger.

The handlers are there before the program says that it listens: who reads that line may end the
program at once, and gets exit code 0 all the same.
"""

# twisted.internet has no types for its reactors.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

__all__ = ["Signals"]

_ENDING = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """The handlers of one program.

    Args:
        reactor: Twisted's; what a signal asks for is done in its thread.
        hurry: ends what still runs; asked for by a second TERM or INT.
        reopen: HUP (logrotate, a closed terminal) reopens the ledger instead of ending the
            program.
    """

    def __init__(self, reactor: Any, hurry: Callable[[], None], reopen: Callable[[], None]) -> None:
        self._reactor = reactor
        self._hurry = hurry
        self._reopen = reopen
        self._ending = False

    def install(self) -> None:
        """Take the signals, now and again when Twisted has taken them for itself."""
        self._take()
        self._reactor.callWhenRunning(self._take)

    def _take(self) -> None:
        for number in _ENDING:
            signal.signal(number, lambda *_: self._reactor.callFromThread(self.end))
        if hasattr(signal, "SIGHUP"):  # Windows has none
            signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._reopen))

    def stop(self) -> None:
        """Stop in order; once is enough."""
        if not self._ending:
            self._ending = True
            self._reactor.stop()

    def end(self) -> None:
        """Stop in order; asked for again, do it now."""
        if self._ending:
            self._hurry()
        self.stop()

    def forget(self) -> None:
        """All is settled: nothing may change the exit code any more."""
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
