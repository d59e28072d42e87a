"""The APIs that abg speaks, by name: ``DIALECTS`` is the one table of them.

A dialect reads what a request asks, meters what an answer used, and says abg's own words in the
vendor's shapes. A new one is a room that does so, and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping

from abg.dialects.anthropic import Anthropic
from abg.dialects.openai import Chat, Completions, Embeddings, Responses
from abg.dialects.other import AnthropicOther, OpenAIOther
from abg.dialects.protocol import Dialect, Meter, Refusal

__all__ = ["DIALECTS", "Dialect", "Meter", "Refusal"]

_TABLE: tuple[Dialect, ...] = (
    Anthropic(),
    AnthropicOther(),
    Responses(),
    Chat(),
    Completions(),
    Embeddings(),
    OpenAIOther(),
)

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in _TABLE}
