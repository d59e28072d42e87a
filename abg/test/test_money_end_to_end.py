"""Money through the whole corridor: what a vendor answers, and what the ledger then says.

The meters and the price table have their own tables of examples; here is shown that nothing gets
lost between them: not the tools' money, not a second model, not what cannot be.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.ledger import Entry, decode, encode
from abg.test.playbook import CODEX, LOCAL, Stage
from abg.test.told import SOL, THOUSAND_EACH, event, message, response, told

CHATGPT = [
    *LOCAL,
    (b"authorization", b"Bearer fake.plan.token"),
    (b"chatgpt-account-id", b"fake"),
    (b"session-id", b"codex-1"),
]
ways = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


# -- money beside the usage ------------------------------------------------------------------------


def search(action: Any, id: str) -> dict[str, Any]:
    return {"type": "web_search_call", "id": id, "action": action}


@ways
def test_searches_of_responses(stream: bool) -> None:
    items = [
        search({"type": "search"}, "a"),
        search({"type": "search"}, "b"),
        search({"type": "open_page"}, "c"),
        search({"type": "find_in_page"}, "d"),
    ]
    entry = told(response(output=items), stream)
    assert (entry.web_searches, entry.cost_usd) == (2, Decimal("0.032"))
    # The vendor's own count, where it is told.
    counted = {"web_search": {"num_requests": 5}}
    entry = told(response(output=items, tool_usage=counted), stream)
    assert (entry.web_searches, entry.cost_usd) == (5, Decimal("0.062"))
    entry = told(response(output=items, tool_usage={"web_search": {"num_requests": 0}}), stream)
    assert (entry.web_searches, entry.cost_usd) == (None, Decimal("0.012"))


def test_searches_that_came_as_events_alone() -> None:
    stage = Stage()
    stage.ask(b"/v1/responses", {"model": SOL, "stream": True}, CODEX)
    vendor = stage.vendor()
    vendor.head()
    for index, id in enumerate("aab"):
        item = search({"type": "search"}, id)
        done = {"type": "response.output_item.done", "output_index": index, "item": item}
        vendor.data(event(done))
    vendor.data(event({"type": "response.completed", "response": response()}))
    entry = stage.entries[0]
    assert (entry.web_searches, entry.cost_usd) == (2, Decimal("0.032"))


@ways
def test_pictures_of_a_tool(stream: bool) -> None:
    tool = {"image_gen": {"input_tokens": 100, "output_tokens": 1000}}
    entry = told(response(tool_usage=tool), stream)
    assert entry.marks == ("image_model_assumed",)
    assert entry.cost_usd >= Decimal("0.012") + Decimal("0.03")
    assert entry.output_tokens == 2000


@ways
def test_sound(stream: bool) -> None:
    usage = {
        "prompt_tokens": 1000,
        "prompt_tokens_details": {"audio_tokens": 400, "cached_tokens": 0},
        "completion_tokens": 500,
        "completion_tokens_details": {"audio_tokens": 300},
    }
    answer = {"id": "c", "object": "chat.completion", "choices": [], "usage": usage}
    entry = told({**answer, "model": "gpt-audio"}, stream)
    plain = told(
        {
            **answer,
            "model": "gpt-audio",
            "usage": {"prompt_tokens": 1000, "completion_tokens": 500},
        },
        stream,
    )
    assert entry.cost_usd > plain.cost_usd
    assert (entry.input_tokens, entry.output_tokens) == (1000, 500)
    assert entry.marks is None


@ways
def test_anthropics_searches(stream: bool) -> None:
    usage = {**THOUSAND_EACH, "server_tool_use": {"web_search_requests": 3}}
    entry = told(message(usage), stream)
    assert (entry.web_searches, entry.cost_usd) == (3, Decimal("0.054"))


def test_codex_searches() -> None:
    stage = Stage()
    stage.ask(b"/v1/alpha/search", {"id": "s", "model": SOL, "commands": {}}, CHATGPT)
    stage.vendor().answer(200, {"output": "x"})
    entry = stage.entries[0]
    assert (entry.web_searches, entry.cost_usd) == (1, Decimal("0.01"))
    assert entry.marks == ("search_assumed",)
    stage.ask(b"/v1/alpha/search", {"id": "s", "model": SOL}, CHATGPT)
    stage.vendor().answer(500, {"error": {"message": "no"}})
    assert stage.entries[1].cost_usd == 0


def test_compacting_costs_as_any_response() -> None:
    stage = Stage()
    stage.ask(b"/v1/responses/compact", {"model": SOL, "input": []}, CODEX)
    stage.vendor().answer(200, {"object": "response.compaction", "usage": THOUSAND_EACH})
    assert stage.entries[0].cost_usd == Decimal("0.012")
    assert stage.entries[0].cost_source == "measured"


# -- several models, refusals ----------------------------------------------------------------------

HOPS = [
    {"type": "message", "model": "claude-opus-5-5", "input_tokens": 5000, "output_tokens": 0},
    {"type": "fallback_message", "model": "claude-sonnet-5-5", **THOUSAND_EACH},
    {"type": "advisor_message", "model": "claude-opus-5-5", **THOUSAND_EACH},
    {"type": "compaction", "model": "claude-sonnet-5-5", **THOUSAND_EACH},
]


@ways
def test_several_models_in_one_answer(stream: bool) -> None:
    usage = {**THOUSAND_EACH, "iterations": HOPS}
    entry = told(message(usage, "claude-sonnet-5-5"), stream)
    # The hop that declined without a word is free; 0.012 + 0.024 + 0.012
    assert entry.cost_usd == Decimal("0.048")
    assert entry.models is not None
    assert {m: row["output_tokens"] for m, row in entry.models.items()} == {
        "claude-sonnet-5-5": 2000,
        "claude-opus-5-5": 1000,
    }
    assert entry.output_tokens == 3000
    spoke = [{**HOPS[0], "output_tokens": 2}, HOPS[1]]
    entry = told(message({**THOUSAND_EACH, "iterations": spoke}, "claude-sonnet-5-5"), stream)
    assert entry.cost_usd == Decimal("0.012") + Decimal("0.02004")


@ways
def test_a_refusal_before_any_output_costs_nothing(stream: bool) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 1}
    entry = told(message(usage, content=[], stop_reason="refusal"), stream)
    assert entry.cost_usd == 0
    assert (entry.cost_source, entry.action) == ("none", "allow")
    assert entry.input_tokens == 1000
    late = told(message(THOUSAND_EACH, stop_reason="refusal"), stream)
    assert late.cost_usd == Decimal("0.024")


# -- tiers -----------------------------------------------------------------------------------------

TIERS = {
    # told, asked: USD, marks
    ("default", "priority"): ("0.012", None),
    ("priority", None): ("0.024", None),
    ("fast", "auto"): ("0.024", None),
    ("flex", "flex"): ("0.006", None),
    ("ultrafast", None): ("0.072", None),
    ("scale", None): ("0.012", ("unknown_tier",)),
    ("zippy", "flex"): ("0.012", ("unknown_tier",)),
    (None, "priority"): ("0.024", ("tier_requested",)),
    (None, "flex"): ("0.012", None),
    (None, "batch"): ("0.012", None),
    (None, "zippy"): ("0.012", ("tier_requested", "unknown_tier")),
}


@ways
@pytest.mark.parametrize("case", TIERS, ids=str)
def test_tiers(case: tuple[str | None, str | None], stream: bool) -> None:
    usd, marks = TIERS[case]
    entry = told(response(service_tier=case[0]), stream, service_tier=case[1])
    assert (str(entry.cost_usd), entry.marks) == (usd, marks)


@ways
def test_a_plans_echo_of_the_tier_is_not_trusted(stream: bool) -> None:
    entry = told(response(service_tier="default"), stream, None, CHATGPT, service_tier="priority")
    assert (str(entry.cost_usd), entry.marks) == ("0.024", ("tier_requested",))
    entry = told(response(service_tier="default"), stream, None, CHATGPT)
    assert (str(entry.cost_usd), entry.marks) == ("0.012", None)


@ways
def test_anthropics_tiers_and_speeds(stream: bool) -> None:
    for word, usd, marks in (
        ("priority", "0.024", None),
        ("batch", "0.012", None),
        ("zippy", "0.024", ("unknown_tier",)),
    ):
        entry = told(message({**THOUSAND_EACH, "service_tier": word}), stream)
        assert (str(entry.cost_usd), entry.marks) == (usd, marks)
    entry = told(message({**THOUSAND_EACH, "speed": "fast", "inference_geo": "us"}), stream)
    assert str(entry.cost_usd) == "0.0528"


# -- impossible usage ------------------------------------------------------------------------------

ODD: list[Any] = [
    *(None, True, -1, 0, 7, 10**6, 10**30, 1e400, -1e400, float("nan"), 2.5),
    *("7", "x", "", [], {}, [1], {"a": -1}),
]
NAMES = (
    *("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens"),
    *("cache_creation_input_tokens", "cache_read_input_tokens", "cached_tokens"),
    *("input_tokens_details", "prompt_tokens_details", "output_tokens_details", "iterations"),
    *("cache_creation", "cache_write_tokens", "audio_tokens", "reasoning_tokens"),
    *("ephemeral_1h_input_tokens", "ttl_12h_tokens", "server_tool_use", "web_search_requests"),
    *("service_tier", "speed", "inference_geo", "type", "model"),
)
values = st.recursive(
    st.sampled_from(ODD),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=5), st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)
usages = st.dictionaries(st.sampled_from(NAMES), values, max_size=8)


@settings(max_examples=150, deadline=None)
@given(usages, st.sampled_from(["message", "response", "chat.completion"]), st.booleans(), values)
def test_impossible_usage_never_lowers_a_total(
    usage: Any, kind: str, stream: bool, tools: Any
) -> None:
    stage = Stage(session_budget_usd=None, daily_budget_usd=None)
    stage.spend("1")
    stage.spend("1", "codex-1")
    if kind == "message":
        answer = message(usage)
    else:
        answer = {**response(usage=usage, tool_usage=tools, service_tier=tools), "object": kind}
    entry = told(answer, stream, stage)
    assert entry.cost_usd >= 0
    assert entry.cost_usd.is_finite()
    assert stage.book.session_total(entry.session_id) == 1 + entry.cost_usd
    assert min(entry.input_tokens, entry.output_tokens, entry.cache_read_tokens) >= 0
    assert stage.ledger.reserved == {}
    assert isinstance(decode(encode(entry, None)), Entry)


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    # what is told, and the least it may cost
    "more cached than input": (
        {**THOUSAND_EACH, "input_tokens_details": {"cached_tokens": 5000}},
        "0.02",
    ),
    "negative output": ({"input_tokens": 1000, "output_tokens": -5}, "0.002"),
    "no number": ({"input_tokens": float("nan"), "output_tokens": 1000}, "0.01"),
    "texts": ({"input_tokens": "1000", "output_tokens": "1000"}, "0.012"),
    "absurdly large": ({"input_tokens": 10**40, "output_tokens": 1}, "2000"),
}


@ways
@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_usage_is_marked_and_read_dear(name: str, stream: bool) -> None:
    usage, least = IMPOSSIBLE[name]
    entry = told(response(usage=usage), stream)
    assert entry.cost_usd >= Decimal(least)
    assert "clamped" in (entry.marks or ())
