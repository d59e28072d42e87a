"""What OpenAI's requests say of the most they can cost (``enforcement: strict``).

Whatever lets the vendor sample more than once, or read what the body does not hold, is named here;
a part that this version does not know is blamed rather than trusted. Sources: SDK 3.57.0
(``types/responses/response_create_params.py``, ``types/chat/completion_create_params.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from abg.bound import BoundFacts, Pass
from abg.dialects.anthropic_bound import UNREAD
from abg.dialects.content import dicts, look_through
from abg.dialects.counts import Counts, count_of, text
from abg.dialects.readjson import TOO_LARGE, read

__all__ = [
    "chat_facts",
    "choices_of",
    "completion_facts",
    "embedding_facts",
    "responses_facts",
    "search_facts",
    "unmeterable",
]

MOST_PROMPTS = 2048
"""Of one request, where nobody has counted them."""
_UNREAD = BoundFacts("openai", "", unbounded=UNREAD)
_BOTH = frozenset(
    (
        "metadata",
        "model",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
    )
)
_RESPONSES = _BOTH | {
    "background",
    "client_metadata",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_options",
    "reasoning",
    "text",
    "truncation",
}
_CHAT = _BOTH | {
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "modalities",
    "n",
    "presence_penalty",
    "prompt_cache_options",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "web_search_options",
}
_COMPLETION = _BOTH | {
    "best_of",
    "echo",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "n",
    "presence_penalty",
    "prompt",
    "seed",
    "stop",
    "suffix",
}
_CLIENT_TOOLS = frozenset(
    (
        "apply_patch",
        "computer",
        "computer_use_preview",
        "custom",
        "function",
        "local_shell",
        "namespace",
    )
)
_OPAQUE = frozenset(
    (
        "audio",
        "computer_screenshot",
        "file",
        "image_generation_call",
        "image_url",
        "input_audio",
        "input_file",
        "input_image",
        "item_reference",
    )
)
_CONTENT = ("input", "instructions", "messages")
_STORED = ("previous_response_id", "conversation", "prompt")


def responses_facts(body: bytes) -> BoundFacts:
    """The facts of ``POST /v1/responses``."""
    told = read(body)
    if not isinstance(told, dict):
        return _UNREAD
    counts = Counts()
    most = counts.get(told, "max_tool_calls")
    passes: list[Pass] = []
    searches: int | None = 0
    unbounded = _strange(told, _RESPONSES)
    for tool in _tools(told):
        kind = text(tool.get("type")) or "function"
        if kind in _CLIENT_TOOLS or _runs_here(kind, tool):
            continue
        if kind.startswith("web_search"):
            passes.append(Pass(f"tool {kind}", times=most))
            searches = most
        else:
            unbounded = f"tool {kind} (it runs at the vendor, or has fees of its own)"
    if told.get("context_management"):
        # Each pass can be preceded by one that compacts, and one that reads what it left.
        times = None if passes and most is None else 1 + (most or 0)
        passes.append(Pass("context_management (compaction)", times=times, output="model"))
        passes.append(Pass("context_management (compaction)", times=times))
    if any(item.get("type") == "compaction_trigger" for item in dicts(told.get("input"))):
        passes.append(Pass("compaction_trigger", output="model"))
    stored = next((name for name in _STORED if told.get(name)), None)
    return _facts(
        told,
        body,
        counts,
        unbounded,
        stored=stored,
        max_output_tokens=counts.get(told, "max_output_tokens"),
        passes=tuple(passes),
        web_searches=searches,
    )


def chat_facts(body: bytes) -> BoundFacts:
    """The facts of ``POST /v1/chat/completions``."""
    told = read(body)
    if not isinstance(told, dict):
        return _UNREAD
    counts = Counts()
    model = text(told.get("model")) or ""
    searching = told.get("web_search_options") is not None or "search" in model
    modalities = told.get("modalities")
    limits = [counts.get(told, name) for name in ("max_completion_tokens", "max_tokens")]
    stated = [limit for limit in limits if limit is not None]
    unbounded = _strange(told, _CHAT)
    for tool in dicts(told.get("tools")):
        kind = text(tool.get("type")) or "function"
        if kind not in ("function", "custom"):
            unbounded = f"tool {kind} (abg does not know what it can cost)"
    return _facts(
        told,
        body,
        counts,
        unbounded,
        # Where both are said, nobody documents which one holds.
        max_output_tokens=max(stated) if stated else None,
        choices=choices_of(counts.get(told, "n")),
        passes=(Pass("web_search_options"),) if searching else (),
        web_searches=1 if searching else 0,
        audio=(isinstance(modalities, list) and "audio" in modalities) or "audio" in model,
    )


def completion_facts(body: bytes) -> BoundFacts:
    """The facts of ``POST /v1/completions``."""
    told = read(body)
    if not isinstance(told, dict):
        return _UNREAD
    counts = Counts()
    return _facts(
        told,
        body,
        counts,
        _strange(told, _COMPLETION),
        max_output_tokens=counts.get(told, "max_tokens"),
        choices=choices_of(counts.get(told, "n"), counts.get(told, "best_of"), told.get("prompt")),
    )


def choices_of(n: Any, best_of: Any = None, prompt: Any = None) -> int:
    """Answers that are sampled for a request: so many for each of its prompts."""
    each = max(1, count_of(n) or 0, count_of(best_of) or 0)
    if prompt is TOO_LARGE:
        return each * MOST_PROMPTS
    if isinstance(prompt, list) and not all(isinstance(part, int) for part in prompt):
        return each * len(prompt)
    return each


def embedding_facts(body: bytes) -> BoundFacts:
    """The facts of ``POST /v1/embeddings``."""
    told = read(body)
    if not isinstance(told, dict):
        return _UNREAD
    return _facts(told, body, Counts(), None, max_output_tokens=0)


def search_facts(body: bytes) -> BoundFacts:
    """The facts of Codex's ``POST …/alpha/search``: one search, and no tokens that are told."""
    told = read(body)
    model = text(told.get("model")) if isinstance(told, dict) else None
    return BoundFacts("openai", model or "", max_output_tokens=0, web_searches=1)


def unmeterable(vendor: str, endpoint: str) -> BoundFacts:
    """Of a call whose answer says nothing of its cost."""
    return BoundFacts(vendor, "", unbounded=f"the endpoint {endpoint} (it answers without usage)")


def _facts(
    told: Mapping[str, Any],
    body: bytes,
    counts: Counts,
    unbounded: str | None,
    *,
    stored: str | None = None,
    **facts: Any,
) -> BoundFacts:
    """The facts that all requests have; ``stored``: what the vendor keeps and reads again."""
    tier = text(told.get("service_tier"))
    content = look_through(told, _CONTENT, _OPAQUE)
    return BoundFacts(
        vendor="openai",
        model=text(told.get("model")) or "",
        text_bytes=len(body),
        opaque=stored or content.opaque,
        cache_lifetimes=_lifetimes(told, content.lifetimes),
        # `auto` is what the project's settings say.
        tier=None if tier == "auto" else tier,
        unbounded="a number in the request that is none" if counts.odd else unbounded,
        **facts,
    )


def _strange(told: Mapping[str, Any], known: frozenset[str]) -> str | None:
    """A part of the request that this version does not know."""
    for name, value in told.items():
        if name not in known and value is not None:
            return f"{name} (abg does not know what it can cost)"
    return None


def _tools(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tools at the top, and those that Codex puts into an input item."""
    found = dicts(told.get("tools"))
    for item in dicts(told.get("input")):
        if item.get("type") == "additional_tools":
            found += dicts(item.get("tools"))
    for tool in found:
        if tool.get("type") == "namespace":
            # Appended while it is walked: a namespace inside another is looked at too.
            found += dicts(tool.get("tools"))
    return found


def _runs_here(kind: str, tool: Mapping[str, Any]) -> bool:
    """Whether a tool that can run at either side runs at the client's."""
    if kind == "shell":
        place = tool.get("environment")
        return place is None or (isinstance(place, dict) and place.get("type") == "local")
    return kind == "tool_search" and tool.get("execution") == "client"


def _lifetimes(told: Mapping[str, Any], named: frozenset[str]) -> frozenset[str] | None:
    """In which cache lifetimes input can be written: 30 minutes unless the request says more."""
    if told.get("prompt_cache_retention") not in (None, "in_memory"):
        return None
    return frozenset(("30m",)) if named <= {"30m"} else None
