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

LONGEST_VALUE = 4096
"""Bytes: what is changed is a number, or an object of a few members."""
MOST_PLACES = 500
"""So many places from the end are looked at, and from the beginning; all others are inside
content. A megabyte of the key, each inside the one before, took two minutes."""
MOST_TRIES, MOST_TRIED = 4, 16_000_000
"""Edits that are tried: so many, or as many as there are in so many bytes."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_COLON = re.compile(rb"\s*:\s*")
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
    tries = max(MOST_TRIES, MOST_TRIED // len(body)) if body else 0
    for begin, end in _places(body, key):
        if read(body[begin:end]) != now:
            continue
        edited = body[:begin] + value + body[end:]
        if holds(edited):
            return edited
        tries -= 1
        if not tries:
            return None
    opening = _OPENING.match(body)
    if opening is None:
        return None
    at = opening.end()
    comma = b"" if body[at : at + 1] == b"}" else b","
    edited = body[:at] + b'"' + key.encode() + b'":' + value + comma + body[at:]
    return edited if holds(edited) else None


def _places(body: bytes, key: str) -> Iterator[tuple[int, int]]:
    """Where values of this key stand, at whatever depth, or seem to: the last ones, which count
    where the top says it behind all content, and the first ones."""
    word = b'"' + key.encode() + b'"'
    last = len(body)
    for _ in range(MOST_PLACES):
        last = body.rfind(word, 0, last)
        if last < 0:
            return
        yield from _value_at(body, last + len(word))
    at = -1
    for _ in range(MOST_PLACES):
        at = body.find(word, at + 1, last)
        if at < 0:
            return
        yield from _value_at(body, at + len(word))


def _value_at(body: bytes, behind: int) -> Iterator[tuple[int, int]]:
    """The value behind a key's word; none if that is no key, or has a long one."""
    colon = _COLON.match(body, behind)
    if colon is not None:
        end = _end_of_value(body, colon.end())
        if end is not None:
            yield colon.end(), end


def _end_of_value(body: bytes, begin: int) -> int | None:
    first = body[begin : begin + 1]
    if first not in (b'"', b"{", b"["):
        plain = _PLAIN.match(body, begin)
        return None if plain is None else plain.end()
    depth = 0
    for token in _TOKEN.finditer(body, begin, begin + LONGEST_VALUE):
        word = token.group()
        if word in (b"{", b"["):
            depth += 1
        elif word in (b"}", b"]"):
            depth -= 1
        if depth == 0:
            return token.end()
    return None
