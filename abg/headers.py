"""Which header fields go on to the vendor, and which come back to the client.

RFC 9110, 7.6.1: fields that concern one connection only, and those that ``Connection`` names, end
at a proxy. abg's own ``x-abg-*`` fields never pass it in either direction, and the vendor is asked
for an answer that can be read. Order and case of all that passes are kept. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from abg.call import Headers

__all__ = ["Outgoing", "for_client", "for_vendor", "of_one_hop", "without"]

_KEEP, _DROP, _CONNECTION, _CODING = range(4)

_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# These are said anew for the connection to the vendor, by who frames the request.
_OURS = frozenset((b"host", b"expect", b"content-length"))

_REMEMBERED, _LONGEST_REMEMBERED = 4096, 64
"""Spellings of names whose fate is remembered (then the memory starts afresh), and their size."""

_HARMLESS = frozenset((b"keep-alive", b"Keep-Alive", b"close", b"Close"))
"""Usual values of ``Connection`` that name no other field."""


def of_one_hop(name: bytes) -> bool:
    """Whether a field (lower case) ends at a proxy, or is abg's to say."""
    return name in _HOP_BY_HOP or name in _OURS or name.startswith(b"x-abg-")


class _Fates(dict[bytes, int]):
    """What becomes of a field, by its name as spelt: one look-up for each field of a request."""

    def __init__(self, request: bool) -> None:
        super().__init__()
        self._request = request

    def __missing__(self, name: bytes) -> int:
        lower = name.lower()
        if lower == b"connection":
            fate = _CONNECTION
        elif lower in _HOP_BY_HOP or lower.startswith(b"x-abg-"):
            fate = _DROP
        elif not self._request:
            fate = _KEEP
        elif lower == b"accept-encoding":
            fate = _CODING
        else:
            fate = _DROP if lower in _OURS else _KEEP
        if len(name) <= _LONGEST_REMEMBERED:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[name] = fate
        return fate


_TO_VENDOR = _Fates(request=True)
_TO_CLIENT = _Fates(request=False)


class Outgoing(list[tuple[bytes, bytes]]):
    """Fields that are sent with many requests, and never changed.

    Attributes:
        lines: they as text, kept here by who has put it together; empty: nobody has.
    """

    __slots__ = ("lines",)

    def __init__(self, fields: Headers) -> None:
        super().__init__(fields)
        self.lines = b""


def for_vendor(headers: Headers, extra: Iterable[tuple[bytes, bytes]] = ()) -> Headers:
    """The end-to-end fields of a request; framing and ``Host`` are added by who sends it.

    Args:
        extra: fields of the configuration; each replaces those of its name.
    """
    fates = _TO_VENDOR
    kept: Headers = []
    nominated: set[bytes] | None = None
    coded = False
    for field in headers:
        fate = fates[field[0]]
        if fate == _KEEP:
            kept.append(field)
        elif fate == _CODING:
            if not coded:
                coded = True
                kept.append((field[0], b"identity"))
        elif fate == _CONNECTION and field[1] not in _HARMLESS:
            nominated = _nominated(field[1], nominated)
    if nominated is not None:
        nominated.discard(b"accept-encoding")
        kept = [field for field in kept if field[0].lower() not in nominated]
    if not coded:
        # Without this field any coding is welcome (RFC 9110, 12.5.3).
        kept.append((b"Accept-Encoding", b"identity"))
    if extra:
        added = list(extra)
        replaced = {name.lower() for name, _ in added}
        kept = [field for field in kept if field[0].lower() not in replaced] + added
    return kept


def for_client(headers: Headers) -> Headers:
    """The end-to-end fields of an answer, its ``Content-Length`` among them."""
    fates = _TO_CLIENT
    kept: Headers = []
    nominated: set[bytes] | None = None
    for field in headers:
        fate = fates[field[0]]
        if fate == _KEEP:
            kept.append(field)
        elif fate == _CONNECTION and field[1] not in _HARMLESS:
            nominated = _nominated(field[1], nominated)
    if nominated is not None:
        kept = [field for field in kept if field[0].lower() not in nominated]
    return kept


def _nominated(value: bytes, before: set[bytes] | None) -> set[bytes]:
    """The fields that a ``Connection`` field names as concerning this connection only."""
    names = before if before is not None else set()
    for option in value.split(b","):
        name = option.strip(b" \t").lower()
        if name:
            names.add(name)
    return names


def without(headers: Headers, name: bytes) -> Headers:
    """The fields but those of this name (in lower case)."""
    return [field for field in headers if field[0].lower() != name]
