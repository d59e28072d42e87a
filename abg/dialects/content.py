"""Looking through what a request holds: content that the body does not show, and cache marks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

__all__ = ["Content", "dicts", "look_through"]

MOST_NODES = 2_000_000
"""Beyond, content is not looked at and counts as opaque."""
_CACHE_MARKS = ("cache_control", "caching", "prompt_cache_breakpoint", "prompt_cache_options")


@frozen
class Content:
    """What was found."""

    opaque: str | None = None
    """The first part whose size in tokens the body does not show, for people."""
    cached: bool = False
    """Something is marked to be kept in a cache."""
    lifetimes: frozenset[str] = frozenset()
    """Lifetimes that the marks name."""


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none if it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def look_through(told: Mapping[str, Any], places: Iterable[str], kinds: frozenset[str]) -> Content:
    """Look at every part of a request, at every depth, since results of tools hold content too.

    Args:
        places: keys at the top under which content stands; elsewhere only cache marks matter.
        kinds: types of parts that only name or encode what the model reads.
    """
    opaque: str | None = None
    cached = False
    lifetimes: set[str] = set()
    inside = set(places)
    nodes = [(value, key in inside) for key, value in told.items() if key not in _CACHE_MARKS]
    nodes.append(({key: told[key] for key in _CACHE_MARKS if key in told}, False))
    seen = 0
    while nodes:
        node, content = nodes.pop()
        if isinstance(node, list):
            nodes.extend((item, content) for item in node if isinstance(item, (dict, list)))
        elif isinstance(node, dict):
            for mark in _CACHE_MARKS:
                if node.get(mark) is not None:
                    cached = True
                    lifetimes.add(_lifetime(node[mark]))
            if content and opaque is None:
                opaque = _opaque(node, kinds)
            nodes.extend((v, content) for v in node.values() if isinstance(v, (dict, list)))
        seen += 1
        if seen > MOST_NODES:
            opaque = opaque or "content of very many parts"
            break
    return Content(opaque, cached, frozenset(lifetimes - {""}))


def _lifetime(mark: Any) -> str:
    ttl = mark.get("ttl") if isinstance(mark, dict) else None
    return ttl if isinstance(ttl, str) else ""


def _opaque(node: dict[str, Any], kinds: frozenset[str]) -> str | None:
    kind = node.get("type")
    if isinstance(kind, str) and kind in kinds:
        return f"content of type {kind}"
    # What is encrypted may be longer than it looks.
    if node.get("encrypted_content") or (kind == "thinking" and node.get("signature")):
        return f"encrypted content of type {kind if isinstance(kind, str) else 'unknown'}"
    return None
