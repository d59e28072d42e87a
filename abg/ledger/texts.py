"""Texts that may stand in a line: what any encoder takes, any terminal bears, and not too much."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["LONGEST_TEXT", "escape_troublesome", "sound"]

LONGEST_TEXT = 1000
"""Characters of one text that are kept: a client may name a model a megabyte long."""

_TROUBLESOME = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def escape_troublesome(line: bytes) -> bytes:
    """JSON without the characters that terminals or line splitters react to: control characters,
    U+0085, U+2028, zero-width and bidirectional marks; as ``\\u2028`` they mean the same."""
    return _TROUBLESOME.sub(lambda found: f"\\u{ord(found[0]):04x}", line.decode()).encode()


def sound(value: Any, longest: int | None = None) -> Any:
    """The same with texts that any encoder takes: a lone surrogate is shown as ``\\ud83d``."""
    if isinstance(value, str):
        if not value.isascii():
            value = value.encode("utf-8", "backslashreplace").decode()
        if longest is not None and len(value) > longest:
            value = value[: longest - 1] + "…"
        return value
    if isinstance(value, Mapping):
        return {sound(str(key), longest): sound(item, longest) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(sound(item, longest) for item in value)
    if isinstance(value, list):
        return [sound(item, longest) for item in value]
    return value
