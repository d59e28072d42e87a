"""The way of a large or a streamed request body out to the vendor, at the vendor's own pace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

if TYPE_CHECKING:
    from abg.wire.outlet import Sender
    from abg.wire.vendor import VendorConnection

__all__ = ["Upload"]

SLICE = 524_288
"""Bytes of a whole body that are handed on at a time."""
_NOTHING = memoryview(b"")


@implementer(IPushProducer)
class Upload:
    """One body on its way; it tells its connection when the transport has taken all of it."""

    def __init__(self, connection: VendorConnection, sender: Sender) -> None:
        self._connection = connection
        self._sender = sender
        self._body = _NOTHING
        self._offset = 0
        self._full = False
        self._over = False

    def begin(self, head: bytes, body: bytes | None) -> None:
        """Send a head and the body behind it; None: the connection is given that in pieces."""
        transport: Any = self._connection.transport
        transport.registerProducer(self, True)
        if body is None:
            self._sender.send(head)
            return
        # A view, so that only what the socket does not take is copied.
        self._body = memoryview(body)
        self._offset = max(0, SLICE - len(head))
        self._sender.send(head + body[: self._offset])
        self._push()

    def _push(self) -> None:
        """Hand the body on for as long as the transport takes it."""
        body, size = self._body, len(self._body)
        while not (self._over or self._full):
            offset = self._offset
            if offset >= size:
                self._connection.uploaded()
                return
            self._offset = offset + SLICE
            self._sender.send_view(body[offset : offset + SLICE])

    def end(self) -> None:
        """The transport is not watched any more."""
        transport: Any = self._connection.transport
        self.forget()
        transport.unregisterProducer()

    def forget(self) -> None:
        """What was not handed on is not sent: the connection is broken, or all of it was."""
        self._over = True
        self._body = _NOTHING

    def pauseProducing(self) -> None:
        self._full = True
        call = self._connection.call
        if call is not None and not self._body:
            call.upstream_full(True)

    def resumeProducing(self) -> None:
        self._full = False
        connection = self._connection
        connection.since = connection.pool.now
        if self._body:
            self._push()
        elif connection.call is not None:
            connection.call.upstream_full(False)

    def stopProducing(self) -> None:
        """The connection is lost; it is told so itself."""
