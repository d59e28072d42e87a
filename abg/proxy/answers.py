"""abg's own words to a client, and the handler of an exchange that has been answered."""

from __future__ import annotations

from abg.call import Headers
from abg.dialects import Refusal
from abg.exchange import Exchange, Handler

__all__ = ["DEAF", "Deaf", "say"]


def say(exchange: Exchange, refusal: Refusal) -> Handler:
    """Answer with abg's own words; whatever the client still sends is ignored."""
    headers: Headers = [*refusal.headers, (b"Content-Length", b"%d" % len(refusal.body))]
    exchange.respond(refusal.status, refusal.reason, headers)
    if refusal.body and exchange.method != b"HEAD":
        exchange.write(refusal.body)
    exchange.finish()
    return DEAF


class Deaf:
    """The handler of an exchange that has been answered: nothing matters any more."""

    def body(self, data: bytes) -> None: ...

    def body_end(self) -> None: ...

    def gone(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


DEAF = Deaf()
