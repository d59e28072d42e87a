"""What a Messages request says of the most it can cost (``enforcement: strict``).

Whatever lets the vendor sample more than once, or read what the body does not hold, is named here;
a part that this version does not know is blamed rather than trusted. Sources: SDK 2.13.0
(``types/beta/message_create_params.py``, the tool and block types beside it), as of 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from abg.bound import BoundFacts, Pass
from abg.dialects.content import Content, dicts, look_through
from abg.dialects.counts import Counts, mapping, text
from abg.dialects.readjson import read

__all__ = ["UNREAD", "facts_of"]

UNREAD = "a body that nobody can read"

_KNOWN = frozenset(
    (
        "cache_control",
        "context_management",
        "diagnostics",
        "fallbacks",
        "inference_geo",
        "max_tokens",
        "mcp_servers",
        "messages",
        "metadata",
        "model",
        "output_config",
        "output_format",
        "safeguards",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "user_profile_id",
    )
)
_CLIENT_TOOLS = ("bash_", "text_editor_", "computer_", "memory_", "browser_toolset_")
_OPAQUE = frozenset(("container_upload", "document", "file", "image", "redacted_thinking"))
_CONTENT = ("messages", "system")
_COUNTED = ("web_search", "web_fetch")


def facts_of(body: bytes) -> BoundFacts:
    """The facts of ``POST /v1/messages``."""
    told = read(body)
    if not isinstance(told, dict):
        return BoundFacts("anthropic", "", unbounded=UNREAD)
    counts = Counts()
    passes: list[Pass] = []
    searches, unbounded = _tools(told, passes, counts)
    _fallbacks(told, passes)
    _compaction(told, passes)
    if told.get("mcp_servers"):
        unbounded = "mcp_servers (their tools run without a limit of uses)"
    strange = next((key for key in told if key not in _KNOWN and told[key] is not None), None)
    if strange is not None:
        unbounded = f"{strange} (abg does not know what it can cost)"
    if told.get("fallbacks") == "default":
        unbounded = "fallbacks: default (the request does not name the models)"
    limit = counts.get(told, "max_tokens")
    content = look_through(told, _CONTENT, _OPAQUE)
    budget = counts.whole(mapping(told.get("thinking")), "budget_tokens")
    if counts.odd:
        unbounded = "a number in the request that is none"
    return BoundFacts(
        vendor="anthropic",
        model=text(told.get("model")) or "",
        text_bytes=len(body),
        opaque=content.opaque,
        max_output_tokens=limit,
        thinking_budget=budget,
        passes=tuple(passes),
        web_searches=searches,
        tier=text(told.get("service_tier")),
        speed=_speed(told),
        geo=text(told.get("inference_geo")),
        cache_lifetimes=_lifetimes(content),
        unbounded=unbounded,
    )


def _tools(
    told: Mapping[str, Any], passes: list[Pass], counts: Counts
) -> tuple[int | None, str | None]:
    """Searches at most (None: without limit), and a tool that nothing bounds."""
    searches: int | None = 0
    unbounded = None
    for tool in dicts(told.get("tools")):
        kind = text(tool.get("type")) or "custom"
        if kind == "custom" or kind.startswith(_CLIENT_TOOLS):
            continue
        uses = counts.get(tool, "max_uses")
        if kind.startswith(_COUNTED) and _asks_only_directly(kind, tool):
            # Each use is answered by one more pass over the context, results included.
            passes.append(Pass(f"tool {kind}", times=uses))
            if kind.startswith("web_search"):
                searches = None if uses is None or searches is None else searches + uses
        elif kind.startswith("advisor_"):
            passes.append(Pass(f"tool {kind}", text(tool.get("model")) or "", uses, "model"))
            passes.append(Pass(f"tool {kind}", times=uses))
        else:
            unbounded = f"tool {kind} (it runs at the vendor without a limit of uses)"
    return searches, unbounded


def _asks_only_directly(kind: str, tool: Mapping[str, Any]) -> bool:
    """Newer search tools run code at the vendor unless that is excluded, as often as it likes."""
    return kind[-8:] < "2026" or tool.get("allowed_callers") == ["direct"]


def _compaction(told: Mapping[str, Any], passes: list[Pass]) -> None:
    """Each pass can be preceded by one that compacts, and one that reads what it left."""
    times: int | None = 1
    for other in passes:
        times = None if times is None or other.times is None else times + other.times
    for edit in dicts(mapping(told.get("context_management")).get("edits")):
        if str(edit.get("type")).startswith("compact"):
            passes.append(Pass("context_management (compaction)", times=times, output="model"))
            passes.append(Pass("context_management (compaction)", times=times))


def _speed(told: Mapping[str, Any]) -> str | None:
    """The speed asked for, here or for a fallback: fast is the dearer one."""
    hops = [text(hop.get("speed")) for hop in dicts(told.get("fallbacks"))]
    return "fast" if "fast" in hops else text(told.get("speed"))


def _fallbacks(told: Mapping[str, Any], passes: list[Pass]) -> None:
    for hop in dicts(told.get("fallbacks")):
        own = hop.get("max_tokens") is not None
        output = "model" if own else "allowance"
        passes.append(Pass("fallbacks", text(hop.get("model")) or "", output=output))


def _lifetimes(content: Content) -> frozenset[str]:
    """In which cache lifetimes input can be written; one mark without a word means 5 minutes."""
    if not content.cached:
        return frozenset()
    return frozenset(("5m",)) if content.lifetimes <= {"5m"} else frozenset(("5m", "1h"))
