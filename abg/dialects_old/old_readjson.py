"""JSON as it comes: read fast where it is sound, leniently where it is not, never raising.

The vendors are more lenient than the fast reader: a lone surrogate (JavaScript writes one for a
cut emoji), NaN, a byte order mark or deep nesting fails its whole decode. So a slow reader stands
behind it, and behind that a scan for the two fields that money hangs on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

__all__ = ["MOST_TOKENS", "count", "fields_of", "object_of", "raw_fields", "scan", "text", "whole"]

MOST_TOKENS = 10**9
"""A count above it is no count: a thousand times the largest context window."""

_BOM = b"\xef\xbb\xbf"
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\\x00-\x1f]{1,200})"')
_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_generic = msgspec.json.Decoder()
_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])


def fields_of(body: bytes, decoder: msgspec.json.Decoder[_Struct]) -> Mapping[str, Any] | None:
    """The fields that a decoder's struct names; None if the body is no JSON object."""
    try:
        found = decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return object_of(body)
    return {name: getattr(found, name) for name in found.__struct_fields__}


def object_of(body: bytes) -> dict[str, Any] | None:
    """A whole JSON object by whichever reader understands it; None if none does."""
    try:
        value = _generic.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        value = _lenient(body)
    return value if isinstance(value, dict) else None


def _lenient(body: bytes) -> Any:
    if body.startswith(_BOM):
        body = body[len(_BOM) :]
    try:
        return json.loads(body.decode("utf-8", "surrogatepass"), strict=False)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(body.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def raw_fields(body: bytes) -> dict[str, bytes] | None:
    """The object's fields with their values as they are spelt, in order; None: not readable."""
    try:
        return {name: bytes(value) for name, value in _raw.decode(body).items()}
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def scan(body: bytes) -> str:
    """The model that a body seems to name although nobody can read it; empty: none."""
    match = _MODEL.search(body)
    return match[1].decode("utf-8", "replace") if match else ""


def text(value: Any) -> str | None:
    """A text that can be written down again (lone surrogates replaced); None for all else."""
    if not isinstance(value, str) or not value:
        return None
    if value.isascii():
        return value
    return value.encode("utf-8", "replace").decode("utf-8")


def whole(value: Any) -> int | None:
    """A whole number of zero or more from whatever spells one (``5``, ``5.0``, ``5e3``,
    ``"5"``); None for all else."""
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, float) and value.is_integer() and value >= 0:
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return None


def count(table: Mapping[str, Any], key: str, marks: set[str]) -> int:
    """A count of tokens from a usage; missing and null are 0, and what is none marks the usage.

    Marks: ``clamped`` (negative or absurdly large), ``unreadable`` (no number at all).
    """
    value = table.get(key)
    if type(value) is int and 0 <= value <= MOST_TOKENS:
        return value
    if value is None:
        return 0
    number = whole(value)
    if number is None:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
            marks.add("clamped")
            if value <= 0:
                return 0
            return MOST_TOKENS if value >= MOST_TOKENS else int(value) + 1
        marks.add("unreadable")
        return 0
    if number > MOST_TOKENS:
        marks.add("clamped")
        return MOST_TOKENS
    return number
