"""The smallest change of a request body that says one thing more: all other bytes stay.

Each edit is checked by reading the result: it must say what was wanted, else another place of the
same key is tried. So it cannot matter that the key also stands inside a prompt or a schema, or
that it stands twice (the last one counts, as every JSON reader has it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from abg.dialects.readjson import read

__all__ = ["said", "with_member"]

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_PLAIN = re.compile(rb"[^\s,\]}]+")
_OPENING = re.compile(rb"^(?:\xef\xbb\xbf)?\s*\{\s*")


def said(value: Any) -> bytes:
    """A value as JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def with_member(
    body: bytes, key: str, now: Any, value: bytes, holds: Callable[[bytes], bool]
) -> bytes | None:
    """The object with this member at its top, replaced or added; None if that cannot be done.

    Args:
        now: what the body says under this key; None if nothing. Other places are not tried.
        value: JSON.
        holds: reads an edited body, and says whether it says what was wanted.
    """
    places = list(_places(body, key))
    for begin, end in reversed(places):
        if read(body[begin:end]) != now:
            continue
        edited = body[:begin] + value + body[end:]
        if holds(edited):
            return edited
    opening = _OPENING.match(body)
    if opening is None:
        return None
    at = opening.end()
    comma = b"" if body[at : at + 1] == b"}" else b","
    edited = body[:at] + b'"' + key.encode() + b'":' + value + comma + body[at:]
    return edited if holds(edited) else None


def _places(body: bytes, key: str) -> Iterator[tuple[int, int]]:
    """Where values of this key stand, at whatever depth, or seem to."""
    for found in re.finditer(rb'"' + key.encode() + rb'"\s*:\s*', body):
        end = _end_of_value(body, found.end())
        if end is not None:
            yield found.end(), end


def _end_of_value(body: bytes, begin: int) -> int | None:
    first = body[begin : begin + 1]
    if first not in (b'"', b"{", b"["):
        plain = _PLAIN.match(body, begin)
        return None if plain is None else plain.end()
    depth = 0
    for token in _TOKEN.finditer(body, begin):
        word = token.group()
        if word in (b"{", b"["):
            depth += 1
        elif word in (b"}", b"]"):
            depth -= 1
        if depth == 0:
            return token.end()
    return None
