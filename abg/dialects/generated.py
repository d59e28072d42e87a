"""How much generated text a piece of an answer brings, however it is spelt.

Meters count the vendors' usual spelling of an event without reading it. What is spelt otherwise
(white space, another order of keys, several choices in one chunk, a refusal, spoken words) is
read, and measured here: an estimate never rests on a vendor's white space.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["UNUSUAL", "text_bytes"]

UNUSUAL = -1
"""Instead of a size: the event is not spelt as usual, and has to be read."""
_NOT_GENERATED = frozenset(
    ("call_id", "data", "encrypted_content", "id", "index", "role", "signature", "type")
)
"""What only names, signs or encodes; base64 says nothing about tokens."""


def text_bytes(told: Any) -> int:
    """Bytes of all generated texts in a value, at whatever depth, as JSON writes them."""
    size = 0
    nodes = [told]
    while nodes:
        node = nodes.pop()
        if isinstance(node, str):
            written = json.dumps(node, ensure_ascii=False)
            size += len(written.encode("utf-8", "surrogatepass")) - len('""')
        elif isinstance(node, list):
            nodes.extend(node)
        elif isinstance(node, dict):
            nodes.extend(value for key, value in node.items() if key not in _NOT_GENERATED)
    return size
