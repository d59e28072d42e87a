"""What follows from the head of a request alone: where to, who may, how it is read."""

from __future__ import annotations

from abg.attribution import Said
from abg.call import Headers
from abg.dialects import Dialect
from abg.headers import Outgoing, for_vendor
from abg.routing import Kind, Route

__all__ = ["Papers", "header", "reads_whole"]


class Papers:
    """Worked out once for all requests of a connection whose heads are alike (``Kin``).

    Args:
        refusal: why nobody may ask this; None: he may.
        token: of abg's own, if the request presents one.
        extra: what the configuration adds for the vendor.
    """

    __slots__ = ("coding", "dialect", "outgoing", "refusal", "route", "said", "token", "whole")

    def __init__(
        self,
        route: Route,
        dialect: Dialect,
        headers: Headers,
        *,
        refusal: str | None,
        token: str | None,
        extra: Headers,
    ) -> None:
        self.route = route
        self.dialect = dialect
        self.refusal = refusal
        self.token = token
        self.said = Said(headers)
        """Of the session."""
        self.coding = header(headers, b"content-encoding")
        """Of the body."""
        self.whole = reads_whole(route, headers)
        """The body is read whole before the call is judged."""
        self.outgoing = Outgoing(for_vendor(headers, extra))
        """The fields that the vendor gets, where nobody changes the client's."""


def reads_whole(route: Route, headers: Headers) -> bool:
    """Bodies of metered calls, and JSON ones; an upload to an unmetered path streams."""
    if route.kind is Kind.MODEL:
        return True
    return b"json" in header(headers, b"content-type").lower()


def header(headers: Headers, name: bytes) -> bytes:
    """The first field of that name (lower case); empty: there is none."""
    size = len(name)
    for key, value in headers:
        if len(key) == size and key.lower() == name:
            return value
    return b""
