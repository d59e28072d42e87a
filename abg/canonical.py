"""The one path that stands for all spellings a server might read as the same.

Percent signs decoded, slashes collapsed, dot segments resolved, lower case, no trailing slash, no
``;suffix``. It is never forwarded; it only answers the question whether an odd path could be a
known call in disguise. So it goes further than any one server does: a spelling too many costs a
clear 400, one too few an unmetered call. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_to_bytes

__all__ = ["canonical", "is_odd"]

_ROUNDS = 4
"""A path is decoded and folded until nothing changes, but not more often than that."""

_ODD = re.compile(rb"[\x00-\x1f\x7f]|(?:^|[/\\])\.\.?(?:[/\\;?#]|$)")


def canonical(path: bytes) -> str:
    """The canonical form of a request path.

    >>> canonical(b"//V1/./x/..%2fMessages;a=b/?q")
    '/v1/messages'
    """
    text = _folded(path)
    for _ in range(_ROUNDS):
        # A full-width percent sign has become a plain one.
        again = _folded(text.encode())
        if again == text:
            break
        text = again
    return text


def _folded(path: bytes) -> str:
    # Full-width letters and the like fold to plain ones; what nobody sees is left out.
    text = unicodedata.normalize("NFKC", _decoded(path).decode("utf-8", "replace")).casefold()
    text = "".join(c for c in text if c.isprintable() and c != " ")
    for end in ("?", "#"):
        text = text.partition(end)[0]
    kept: list[str] = []
    for segment in text.replace("\\", "/").split("/"):
        name = segment.partition(";")[0]
        if name == "..":
            del kept[-1:]
        elif name not in ("", "."):
            kept.append(name)
    while kept[:2] == ["v1", "v1"]:
        # A base URL that ends in /v1 doubles it; some gateways forgive that.
        del kept[0]
    return "/" + "/".join(kept)


def is_odd(path: bytes) -> bool:
    """Whether a path holds what no client sends and servers disagree about: control characters,
    or dot segments, by which it could leave the base path of an upstream."""
    return _ODD.search(_decoded(path)) is not None


def _decoded(path: bytes) -> bytes:
    for _ in range(_ROUNDS):
        decoded = unquote_to_bytes(path)
        if decoded == path:
            break
        path = decoded
    return path
