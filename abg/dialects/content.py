"""Looking through what a request holds, for content whose size the body does not show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["dicts", "first_opaque"]

MOST_NODES = 1_000_000
"""Beyond, content is not looked at and counts as opaque."""


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none if it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def first_opaque(roots: Iterable[Any], kinds: frozenset[str]) -> str | None:
    """The first part that only names or encodes its content, for people; None if there is none.

    Args:
        kinds: types of such parts; looked for at every depth, since tool results hold them too.
    """
    nodes = list(roots)
    seen = 0
    while nodes:
        node = nodes.pop()
        seen += 1
        if seen > MOST_NODES:
            return "content of very many parts"
        if isinstance(node, list):
            nodes.extend(item for item in node if isinstance(item, (dict, list)))
        elif isinstance(node, dict):
            kind = node.get("type")
            if isinstance(kind, str) and kind in kinds:
                return f"content of type {kind}"
            nodes.extend(item for item in node.values() if isinstance(item, (dict, list)))
    return None
