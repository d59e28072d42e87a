"""JSON that breaks off: what of it stands there whole."""

from __future__ import annotations

import re

from abg.dialects.readjson import crowded

__all__ = ["closed"]

# A text that breaks off goes to the end: no comma in it divides anything.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{},]', re.DOTALL)
_CLOSES = {b"{": b"}", b"[": b"]"}


def closed(data: bytes) -> bytes:
    """A JSON text whose end is missing without its last member and with all brackets closed.

    Members are whole if something follows them: of ``12`` nobody knows whether it was to become
    ``123``. What stands behind a whole text is left away. Empty: there is none, or too much to be
    looked through.
    """
    if crowded(data):
        return b""
    missing: list[bytes] = []
    whole = 0
    for token in _TOKEN.finditer(data):
        word = token.group()
        if word in _CLOSES:
            missing.append(_CLOSES[word])
        elif missing and word == missing[-1]:
            missing.pop()
            if not missing:
                return data[: token.end()]
        elif word != b",":
            continue
        whole = token.start() if word == b"," else token.end()
    return data[:whole] + b"".join(reversed(missing))
