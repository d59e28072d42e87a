"""A ``Site`` that is made when the first connection needs it.

A proxy that only serves model calls never pays for twisted.web: 4 MB and a tenth of its start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["LateSite"]


class LateSite:
    """Stands in for a ``Site`` behind the fast lane.

    Args:
        make: imports and makes it.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._site: Any = None
        self._started = False

    def doStart(self) -> None:
        self._started = True
        if self._site is not None:
            self._site.doStart()

    def doStop(self) -> None:
        self._started = False
        if self._site is not None:
            self._site.doStop()

    def buildProtocol(self, address: Any) -> Any:
        """The Site's channel for a connection that is handed over."""
        if self._site is None:
            self._site = self._make()
            if self._started:
                self._site.doStart()
        return self._site.buildProtocol(address)

    def drain(self) -> None:
        """No further request on its connections."""
        if self._site is not None:
            self._site.drain()
