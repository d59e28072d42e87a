"""What a request says of the most it can cost; every part that nothing bounds is named."""

from __future__ import annotations

from typing import Any

import pytest

from abg.bound import BoundFacts, Pass
from abg.dialects import DIALECTS, content
from abg.dialects.content import Content, look_through
from abg.test.wire import compact


def facts(dialect: str, told: Any) -> BoundFacts:
    body = told if isinstance(told, bytes) else compact(told)
    found = DIALECTS[dialect].bound_facts("messages", body)
    assert found.vendor == DIALECTS[dialect].vendor
    return found


def claude(**more: Any) -> BoundFacts:
    return facts("anthropic", {"model": "claude-opus-5-5", "messages": [], **more})


def codex(**more: Any) -> BoundFacts:
    return facts("openai_responses", {"model": "gpt-6.1-sol", "input": [], **more})


def chat(**more: Any) -> BoundFacts:
    return facts("openai_chat", {"model": "gpt-4o", "messages": [], **more})


@pytest.mark.parametrize("dialect", [d for d in DIALECTS if not d.endswith("_other")])
def test_a_body_that_nobody_can_read_has_no_bound(dialect: str) -> None:
    for body in (b"", b"nonsense", b"[]"):
        assert facts(dialect, body).unbounded == "a body that nobody can read"


# -- Anthropic -------------------------------------------------------------------------------------


def test_a_plain_request() -> None:
    told = {
        "model": "claude-opus-5-5",
        "max_tokens": 9000,
        "messages": [{"role": "user", "content": "hi"}],
        "system": [{"type": "text", "text": "be good"}],
        "thinking": {"type": "enabled", "budget_tokens": 4000},
        "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        "service_tier": "standard_only",
        "speed": "standard",
        "inference_geo": "global",
        "stream": True,
        "top_k": None,
    }
    assert facts("anthropic", told) == BoundFacts(
        "anthropic",
        "claude-opus-5-5",
        text_bytes=len(compact(told)),
        max_output_tokens=9000,
        thinking_budget=4000,
        tier="standard_only",
        speed="standard",
        geo="global",
        cache_lifetimes=frozenset(),
    )


@pytest.mark.parametrize(
    "tool",
    ["bash_20250124", "text_editor_20250728", "computer_20251124", "memory_20250818", "custom"],
)
def test_tools_of_the_client_cost_nothing_more(tool: str) -> None:
    found = claude(tools=[{"type": tool, "name": "x"}])
    assert (found.passes, found.unbounded) == ((), None)


def test_searches_are_bounded_by_their_uses() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    fetch = {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 3}
    found = claude(tools=[search, fetch, search])
    assert found.web_searches == 16
    assert found.passes == (
        Pass("tool web_search_20250305", times=8),
        Pass("tool web_fetch_20250910", times=3),
        Pass("tool web_search_20250305", times=8),
    )
    assert found.unbounded is None
    without = claude(tools=[search, {"type": "web_search_20250305"}])
    assert without.web_searches is None
    assert without.passes[1].times is None


def test_newer_searches_run_code_unless_they_may_not() -> None:
    search = {"type": "web_search_20260209", "max_uses": 8}
    assert "web_search_20260209" in str(claude(tools=[search]).unbounded)
    direct = claude(tools=[{**search, "allowed_callers": ["direct"]}])
    assert (direct.unbounded, direct.web_searches) == (None, 8)


@pytest.mark.parametrize(
    "tool",
    ["code_execution_20250825", "tool_search_tool_bm25_20251119", "mcp_toolset", "oracle_20270101"],
)
def test_tools_that_run_at_the_vendor_have_no_bound(tool: str) -> None:
    assert tool in str(claude(tools=[{"type": tool}]).unbounded)


def test_an_advisor_reads_at_its_own_model_and_is_read_again() -> None:
    tool = {"type": "advisor_20260301", "model": "claude-opus-5-5", "max_uses": 2}
    assert claude(tools=[tool]).passes == (
        Pass("tool advisor_20260301", "claude-opus-5-5", 2, "model"),
        Pass("tool advisor_20260301", times=2),
    )
    assert claude(tools=[{"type": "advisor_20260301"}]).passes[0].times is None


def test_fallbacks() -> None:
    found = claude(fallbacks=[{"model": "a"}, {"model": "b", "max_tokens": 5, "speed": "fast"}])
    assert found.passes == (
        Pass("fallbacks", "a", output="allowance"),
        Pass("fallbacks", "b", output="model"),
    )
    assert found.speed == "fast"
    assert "fallbacks: default" in str(claude(fallbacks="default").unbounded)


def test_compaction_may_come_before_each_pass() -> None:
    edits = {"edits": [{"type": "clear_thinking_20251015"}, {"type": "compact_20260112"}]}
    why = "context_management (compaction)"
    assert claude(context_management=edits).passes == (Pass(why, output="model"), Pass(why))
    search = {"type": "web_search_20250305", "max_uses": 8}
    assert claude(context_management=edits, tools=[search]).passes[1:] == (
        Pass(why, times=9, output="model"),
        Pass(why, times=9),
    )
    endless = claude(context_management=edits, tools=[{"type": "web_search_20250305"}])
    assert endless.passes[1].times is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mcp_servers", [{"url": "x"}]),
        ("container", "c"),
        ("thread", {"type": "create"}),
        ("compaction", {"type": "summarize"}),
        ("something_new", 0),
        ("max_tokens", "many"),
    ],
)
def test_what_nobody_can_bound_is_named(key: str, value: Any) -> None:
    blame = claude(**{key: value}).unbounded
    assert blame is not None
    assert key in blame or blame == "a number in the request that is none"


OPAQUE: dict[str, Any] = {
    "content of type image": {"type": "image", "source": {"type": "base64", "data": "x"}},
    "content of type document": {"type": "document", "source": {"type": "url"}},
    "content of type container_upload": {"type": "container_upload", "file_id": "f"},
    "content of type redacted_thinking": {"type": "redacted_thinking", "data": "x"},
    "encrypted content of type thinking": {"type": "thinking", "thinking": "", "signature": "x"},
    "encrypted content of type web_search_result": {
        "type": "web_search_result",
        "encrypted_content": "x",
    },
    "encrypted content of type unknown": {"encrypted_content": "x"},
}


@pytest.mark.parametrize("name", OPAQUE)
def test_content_that_the_body_does_not_show(name: str) -> None:
    part = OPAQUE[name]
    inside = {"type": "tool_result", "content": [{"type": "text", "text": "x"}, part]}
    assert claude(messages=[{"role": "user", "content": [part]}]).opaque == name
    assert claude(messages=[{"role": "user", "content": [inside]}]).opaque == name
    assert claude(system=[part]).opaque == name
    assert claude(tools=[{"name": "x", "input_schema": part}]).opaque is None


def test_content_that_it_does_show() -> None:
    blocks = [
        {"type": "text", "text": "image"},
        {"type": "tool_use", "input": {"a": 1}},
        {"type": "thinking", "thinking": "hm", "signature": ""},
    ]
    assert claude(messages=[{"role": "assistant", "content": blocks}]).opaque is None


MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


@pytest.mark.parametrize(
    ("more", "lifetimes"),
    [
        ({}, set()),
        ({"cache_control": MARK}, {"5m"}),
        ({"system": [{"type": "text", "text": "x", "cache_control": MARK}]}, {"5m"}),
        ({"messages": [{"role": "user", "content": [{"cache_control": HOUR}]}]}, {"5m", "1h"}),
        ({"tools": [{"name": "x", "cache_control": {**MARK, "ttl": "5m"}}]}, {"5m"}),
        ({"tools": [{"name": "x", "cache_control": {**MARK, "ttl": "9d"}}]}, {"5m", "1h"}),
        ({"tools": [{"type": "advisor_20260301", "caching": HOUR}]}, {"5m", "1h"}),
        ({"messages": [{"cache_control": None}]}, set()),
        ({"messages": [{"cache_control": 5}]}, {"5m"}),
    ],
)
def test_how_long_input_may_be_kept(more: dict[str, Any], lifetimes: set[str]) -> None:
    assert claude(**more).cache_lifetimes == lifetimes


def test_very_many_parts_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MOST_NODES", 10)
    many = {"messages": [{"content": [{}]}] * 20}
    assert look_through(many, ("messages",), frozenset()).opaque == "content of very many parts"
    image = {"messages": [{}] * 20 + [{"type": "image"}]}
    assert look_through(image, ("messages",), frozenset(("image",))) == Content(
        "content of type image"
    )


# -- OpenAI ----------------------------------------------------------------------------------------


def test_a_plain_request_of_codex() -> None:
    told = {
        "model": "gpt-6.1-sol",
        "input": [{"type": "message", "role": "user", "content": "hi"}],
        "instructions": "be good",
        "max_output_tokens": 500,
        "service_tier": "priority",
        "tools": [{"type": "function", "name": "exec_command"}, {"type": "local_shell"}],
        "reasoning": {"effort": "low"},
        "store": False,
        "prompt_cache_key": "k",
        "include": ["reasoning.encrypted_content"],
    }
    assert facts("openai_responses", told) == BoundFacts(
        "openai",
        "gpt-6.1-sol",
        text_bytes=len(compact(told)),
        max_output_tokens=500,
        tier="priority",
        cache_lifetimes=frozenset(("30m",)),
    )
    assert codex(service_tier="auto").tier is None
    assert codex(service_tier="default").tier == "default"


def test_searches_are_bounded_by_the_tool_calls() -> None:
    found = codex(tools=[{"type": "web_search"}], max_tool_calls=5)
    assert (found.passes, found.web_searches) == ((Pass("tool web_search", times=5),), 5)
    endless = codex(tools=[{"type": "web_search_preview"}])
    assert (endless.passes[0].times, endless.web_searches) == (None, None)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "mcp"},
        {"type": "file_search"},
        {"type": "code_interpreter"},
        {"type": "image_generation"},
        {"type": "oracle"},
        {"type": "tool_search"},
        {"type": "shell", "environment": {"type": "container_auto"}},
        {"type": "shell", "environment": 5},
    ],
)
def test_tools_of_the_vendor_have_no_bound(tool: dict[str, Any]) -> None:
    assert tool["type"] in str(codex(tools=[tool]).unbounded)
    spaced = {"type": "namespace", "tools": [{"type": "namespace", "tools": [tool]}]}
    assert tool["type"] in str(codex(tools=[spaced]).unbounded)
    item = {"type": "additional_tools", "tools": [tool]}
    assert tool["type"] in str(codex(input=[item]).unbounded)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "shell"},
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "tool_search", "execution": "client"},
        {"type": "custom"},
        {"type": "apply_patch"},
        {"type": "namespace", "tools": [{"type": "function"}]},
        {"name": "old"},
    ],
)
def test_tools_that_run_at_the_client_cost_nothing_more(tool: dict[str, Any]) -> None:
    found = codex(tools=[tool])
    assert (found.passes, found.unbounded) == ((), None)


def test_compaction_of_codex() -> None:
    why = "context_management (compaction)"
    edits = [{"type": "compaction"}]
    assert codex(context_management=edits).passes == (Pass(why, output="model"), Pass(why))
    bounded = codex(context_management=edits, tools=[{"type": "web_search"}], max_tool_calls=5)
    assert bounded.passes[1].times == 6
    endless = codex(context_management=edits, tools=[{"type": "web_search"}])
    assert endless.passes[1].times is None
    asked = codex(input=[{"type": "compaction_trigger"}])
    assert asked.passes == (Pass("compaction_trigger", output="model"),)


@pytest.mark.parametrize("key", ["previous_response_id", "conversation", "prompt"])
def test_what_is_stored_at_the_vendor(key: str) -> None:
    assert codex(**{key: "x"}).opaque == key


@pytest.mark.parametrize(
    "kind",
    ["input_image", "input_file", "item_reference", "computer_screenshot", "image_generation_call"],
)
def test_content_of_codex_that_the_body_does_not_show(kind: str) -> None:
    assert codex(input=[{"content": [{"type": kind}]}]).opaque == f"content of type {kind}"
    reasoning = {"type": "reasoning", "encrypted_content": "x"}
    assert codex(input=[reasoning]).opaque == "encrypted content of type reasoning"


@pytest.mark.parametrize(
    ("more", "lifetimes"),
    [
        ({}, {"30m"}),
        ({"prompt_cache_options": {"ttl": "30m"}}, {"30m"}),
        ({"prompt_cache_options": {"ttl": "12h"}}, None),
        ({"input": [{"content": [{"prompt_cache_breakpoint": {"ttl": "12h"}}]}]}, None),
        ({"prompt_cache_retention": "in_memory"}, {"30m"}),
        ({"prompt_cache_retention": "24h"}, None),
    ],
)
def test_how_long_openai_may_keep_input(more: dict[str, Any], lifetimes: set[str] | None) -> None:
    assert codex(**more).cache_lifetimes == lifetimes


@pytest.mark.parametrize(
    ("key", "value"), [("image", {}), ("something_new", 1), ("max_output_tokens", -5)]
)
def test_what_nobody_can_bound_in_codex_is_named(key: str, value: Any) -> None:
    blame = codex(**{key: value}).unbounded
    assert blame is not None
    assert key in blame or blame == "a number in the request that is none"


def test_a_plain_chat() -> None:
    told = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 50,
        "max_completion_tokens": 40,
        "n": 3,
        "tools": [{"type": "function", "function": {"name": "x"}}],
    }
    assert facts("openai_chat", told) == BoundFacts(
        "openai",
        "gpt-4o",
        text_bytes=len(compact(told)),
        max_output_tokens=50,
        choices=3,
        cache_lifetimes=frozenset(("30m",)),
    )
    assert chat().max_output_tokens is None


def test_what_a_chat_can_cost_besides() -> None:
    found = chat(web_search_options={})
    assert (found.web_searches, found.passes) == (1, (Pass("web_search_options"),))
    assert chat(model="gpt-5-search-api").web_searches == 1
    assert chat(modalities=["text", "audio"]).audio
    assert chat(model="gpt-audio").audio
    assert not chat(modalities="audio").audio
    assert "mcp" in str(chat(tools=[{"type": "mcp"}]).unbounded)
    assert "prediction" in str(chat(prediction={"type": "content"}).unbounded)
    image = [{"role": "user", "content": [{"type": "image_url"}]}]
    assert chat(messages=image).opaque == "content of type image_url"


def test_old_completions() -> None:
    def choices(**more: Any) -> int:
        return facts("openai_completions", {"prompt": "x", **more}).choices

    assert choices() == 1
    assert choices(n=2, best_of=5) == 5
    assert choices(prompt=["a", "b"], n=2) == 4
    assert choices(prompt=[]) == 1
    assert choices(prompt=[1, 2, 3]) == 1
    assert choices(prompt=[[1, 2], [3]]) == 2
    assert facts("openai_completions", {"max_tokens": 9}).max_output_tokens == 9


def test_vectors_have_no_output() -> None:
    found = facts("openai_embeddings", {"model": "e", "input": ["x"]})
    assert (found.max_output_tokens, found.unbounded) == (0, None)
