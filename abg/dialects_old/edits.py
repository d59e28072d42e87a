"""The only two changes abg ever makes to a body: asking for usage, and lowering the output.

Both are edits of single top-level fields; every other value keeps its spelling.
"""

from __future__ import annotations

import msgspec

from abg.dialects_old.old_readjson import object_of, raw_fields

__all__ = ["ask_for_usage", "lower_anthropic", "lower_openai"]

LEAST_THINKING = 1024
"""Anthropic's minimum for ``thinking.budget_tokens``; it must also stay below ``max_tokens``."""


def ask_for_usage(body: bytes) -> bytes:
    """The body with ``stream_options.include_usage`` set; unchanged if nobody can read it."""
    fields = raw_fields(body)
    if fields is None:
        start = body.find(b"{")
        if start < 0 or b'"stream_options"' in body:
            return body
        # What only the lenient reader understands is edited by its text.
        rest = body[start + 1 :]
        return body[: start + 1] + b'"stream_options":{"include_usage":true},' + rest
    options = object_of(fields.get("stream_options", b"{}")) or {}
    options["include_usage"] = True
    if "stream_options" not in fields:
        start = body.index(b"{") + 1
        added = b'"stream_options":' + msgspec.json.encode(options) + b","
        return body[:start] + added + body[start:]
    fields["stream_options"] = msgspec.json.encode(options)
    return _written(fields)


def lower_anthropic(body: bytes, allowance: int) -> bytes | None:
    """``max_tokens`` lowered; a thinking budget stays below it, or the call cannot be lowered."""
    fields = raw_fields(body)
    if fields is None:
        return None
    fields["max_tokens"] = b"%d" % allowance
    thinking = object_of(fields.get("thinking", b"null"))
    if thinking is not None and isinstance(thinking.get("budget_tokens"), int):
        budget = min(thinking["budget_tokens"], allowance - 1)
        if budget < LEAST_THINKING:
            return None
        if budget != thinking["budget_tokens"]:
            thinking["budget_tokens"] = budget
            fields["thinking"] = msgspec.json.encode(thinking)
    return _written(fields)


def lower_openai(body: bytes, allowance: int, key: str, also: tuple[str, ...] = ()) -> bytes | None:
    """The output limit lowered, or added under ``key`` where there is none.

    Args:
        also: other names of the same limit; whichever stand in the body are lowered.
    """
    fields = raw_fields(body)
    if fields is None:
        return None
    present = [name for name in (key, *also) if fields.get(name, b"null") != b"null"]
    for name in present or [key]:
        fields[name] = b"%d" % allowance
    return _written(fields)


def _written(fields: dict[str, bytes]) -> bytes:
    encode = msgspec.json.encode
    return b"{" + b",".join(encode(name) + b":" + value for name, value in fields.items()) + b"}"
