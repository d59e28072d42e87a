"""The one path that stands for all spellings a server might read as the same.

Percent signs decoded, slashes collapsed, dot segments resolved, lower case, no trailing slash, no
``;suffix``. It is never forwarded; it only answers the question whether an odd path could be a
known call in disguise. So it goes further than any one server does: a spelling too many costs a
clear 400, one too few an unmetered call. Pure.
"""

from __future__ import annotations

import unicodedata
from urllib.parse import unquote_to_bytes

__all__ = ["canonical"]

_DECODINGS = 4
"""Rounds of percent-decoding; a path that is still encoded then is compared as it is."""


def canonical(path: bytes) -> str:
    """The canonical form of a request path.

    >>> canonical(b"//V1/./x/..%2fMessages;a=b/?q")
    '/v1/messages'
    """
    raw = path
    for _ in range(_DECODINGS):
        decoded = unquote_to_bytes(raw)
        if decoded == raw:
            break
        raw = decoded
    # Full-width letters and the like fold to plain ones; what nobody sees is left out.
    text = unicodedata.normalize("NFKC", raw.decode("utf-8", "replace")).casefold()
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
