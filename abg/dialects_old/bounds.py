"""What a request says of the most it can cost: the facts from which strict mode proves a bound.

A request may have the vendor sample several times (server tools, fallbacks, an advisor), and may
refer to content that it does not hold. Everything of that kind is named here; what has no bound
at all is named as such. Only strict mode reads bodies this closely.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from abg.bound import BoundFacts, Pass
from abg.dialects_old.old_readjson import object_of, text, whole

__all__ = ["anthropic_facts", "chat_facts", "other_facts", "responses_facts"]

UNREAD = "a body that cannot be read"
_TURNS = 100_000
"""Content nodes that are looked at; beyond, the content counts as opaque."""


def anthropic_facts(endpoint: str, body: bytes) -> BoundFacts:
    """Of a Messages request."""
    value = object_of(body)
    if value is None:
        return BoundFacts("anthropic", "", unbounded=UNREAD)
    passes, searches, unbounded = _anthropic_tools(value)
    for hop in _dicts(value.get("fallbacks")):
        passes.append(Pass("fallbacks", text(hop.get("model")) or "", 1, "allowance"))
    edits = value.get("context_management")
    for edit in _dicts(edits.get("edits") if isinstance(edits, dict) else None):
        if "compact" in str(edit.get("type")):
            passes.append(Pass("compaction", "", 1, "allowance"))
    if value.get("mcp_servers"):
        unbounded = "mcp_servers"
    if isinstance(value.get("container"), dict):
        unbounded = "container (its tools run without a limit of uses)"
    thinking = value.get("thinking")
    budget = whole(thinking.get("budget_tokens")) if isinstance(thinking, dict) else None
    return BoundFacts(
        vendor="anthropic",
        model=text(value.get("model")) or "",
        text_bytes=len(body),
        opaque=_opaque([value.get("messages"), value.get("system")], _ANTHROPIC_OPAQUE),
        max_output_tokens=whole(value.get("max_tokens")),
        thinking_budget=budget or 0,
        passes=tuple(passes),
        web_searches=searches,
        tier=_tier(value),
        speed=text(value.get("speed")),
        geo=text(value.get("inference_geo")),
        cache_lifetimes=_lifetimes(body),
        unbounded=unbounded,
    )


def _anthropic_tools(value: Mapping[str, Any]) -> tuple[list[Pass], int | None, str | None]:
    passes: list[Pass] = []
    searches: int | None = 0
    unbounded: str | None = None
    for tool in _dicts(value.get("tools")):
        kind = text(tool.get("type")) or "custom"
        uses = whole(tool.get("max_uses"))
        if kind.startswith("web_search"):
            passes.append(Pass(f"tool {kind}", times=uses))
            searches = None if uses is None or searches is None else searches + uses
        elif kind.startswith("web_fetch"):
            passes.append(Pass(f"tool {kind}", times=uses))
        elif kind.startswith("advisor"):
            passes.append(Pass(f"tool {kind}", text(tool.get("model")) or "", uses, "model"))
        elif kind.startswith(("code_execution", "bash_code_execution", "tool_search", "mcp")):
            unbounded = f"tool {kind} (it runs on the vendor's side without a limit of uses)"
        elif kind not in ("custom",) and not kind.startswith(_CLIENT_TOOLS):
            unbounded = f"tool {kind} (unknown to this abg)"
    return passes, searches, unbounded


_CLIENT_TOOLS = ("bash_", "text_editor_", "computer_", "memory_")
_ANTHROPIC_OPAQUE = frozenset(("image", "document", "file", "container_upload", "search_result"))


def _lifetimes(body: bytes) -> frozenset[str]:
    if b"cache_control" not in body:
        return frozenset()
    return frozenset(("5m", "1h")) if b'"1h"' in body else frozenset(("5m",))


def responses_facts(endpoint: str, body: bytes) -> BoundFacts:
    """Of a Responses request."""
    value = object_of(body)
    if value is None:
        return BoundFacts("openai", "", unbounded=UNREAD)
    most = whole(value.get("max_tool_calls"))
    passes: list[Pass] = []
    searches: int | None = 0
    unbounded: str | None = None
    for tool in _tools_of(value):
        kind = text(tool.get("type")) or "function"
        if kind.startswith("web_search"):
            passes.append(Pass(f"tool {kind}", times=most))
            searches = most
        elif kind == "mcp":
            passes.append(Pass("tool mcp", times=most))
        elif kind not in _OPENAI_CLIENT_TOOLS:
            unbounded = f"tool {kind} (it has fees or a life of its own)"
    opaque = next(
        (key for key in ("previous_response_id", "conversation", "prompt") if value.get(key)), None
    )
    return BoundFacts(
        vendor="openai",
        model=text(value.get("model")) or "",
        text_bytes=len(body),
        opaque=opaque or _opaque([value.get("input")], _RESPONSES_OPAQUE),
        max_output_tokens=whole(value.get("max_output_tokens")),
        passes=tuple(passes),
        web_searches=searches,
        tier=_tier(value),
        unbounded=unbounded,
    )


_OPENAI_CLIENT_TOOLS = frozenset(
    (
        "function",
        "custom",
        "local_shell",
        "shell",
        "apply_patch",
        "computer_use_preview",
        "namespace",
    )
)
_RESPONSES_OPAQUE = frozenset(
    ("input_image", "input_file", "input_audio", "item_reference", "computer_screenshot")
)


def _tools_of(value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Tools at the top, and those that Codex puts into an input item."""
    yield from _dicts(value.get("tools"))
    for item in _dicts(value.get("input")):
        if item.get("type") == "additional_tools":
            yield from _dicts(item.get("tools"))


def chat_facts(endpoint: str, body: bytes) -> BoundFacts:
    """Of a chat, completion or embedding request."""
    value = object_of(body)
    if value is None:
        return BoundFacts("openai", "", unbounded=UNREAD)
    limit = whole(value.get("max_completion_tokens"))
    if limit is None:
        limit = whole(value.get("max_tokens"))
    model = text(value.get("model")) or ""
    choices = max(whole(value.get("n")) or 1, whole(value.get("best_of")) or 1)
    prompts = value.get("prompt")
    if isinstance(prompts, list) and not all(isinstance(p, int) for p in prompts):
        choices *= max(1, len(prompts))
    searching = bool(value.get("web_search_options")) or "search" in model
    modalities = value.get("modalities")
    return BoundFacts(
        vendor="openai",
        model=model,
        text_bytes=len(body),
        opaque=_opaque([value.get("messages")], _CHAT_OPAQUE),
        max_output_tokens=0 if endpoint == "embeddings" else limit,
        choices=choices,
        passes=(Pass("web_search_options"),) if searching else (),
        web_searches=1 if searching else 0,
        tier=_tier(value),
        audio=isinstance(modalities, list) and "audio" in modalities,
    )


_CHAT_OPAQUE = frozenset(("image_url", "input_audio", "file", "audio"))


def other_facts(endpoint: str, body: bytes) -> BoundFacts:
    """Of a call without usage: nothing bounds it, but for one search."""
    if endpoint == "alpha.search":
        value = object_of(body) or {}
        return BoundFacts(
            "openai", text(value.get("model")) or "", max_output_tokens=0, web_searches=1
        )
    return BoundFacts("", "", unbounded=f"the endpoint ({endpoint}) answers without usage")


def _tier(value: Mapping[str, Any]) -> str | None:
    tier = text(value.get("service_tier"))
    return None if tier == "auto" else tier


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _opaque(roots: list[Any], kinds: frozenset[str]) -> str | None:
    """A content part whose size in tokens the body does not show; None: there is none."""
    nodes, seen = list(roots), 0
    while nodes:
        node = nodes.pop()
        seen += 1
        if seen > _TURNS:
            return "content of very many parts"
        if isinstance(node, list):
            nodes.extend(item for item in node if isinstance(item, (dict, list)))
        elif isinstance(node, dict):
            kind = node.get("type")
            if isinstance(kind, str) and kind in kinds:
                return f"content of type {kind}"
            nodes.extend(item for item in node.values() if isinstance(item, (dict, list)))
    return None
