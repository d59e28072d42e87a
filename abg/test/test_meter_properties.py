"""What holds for every meter: any split, any bytes, any usage; and that nothing raises."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
from attrs import fields
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.dialects import DIALECTS, anthropic_usage
from abg.dialects.anthropic_usage import AnthropicUsage, unusual_tokens_of, usual_tokens_of
from abg.dialects.counts import MOST, Counts
from abg.test.wire import (
    chat_events,
    claude_events,
    compact,
    data,
    event,
    metered,
    response_events,
    split_at,
)
from abg.usage import Reading, Usage

NAMES = st.sampled_from(sorted(DIALECTS))
CUTS = st.lists(st.integers(0, 20_000), max_size=12)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])

# -- streams that may come -------------------------------------------------------------------------

COUNT = st.integers(0, 10_000)
TEXT = st.text(max_size=6) | st.sampled_from(
    ['"usage":null', "message_stop", "[DONE]", '"response"', "data: {}", "error", "\n\n", "\\"]
)
CLAUDE_USAGE = st.fixed_dictionaries(
    {"output_tokens": COUNT},
    optional={
        "input_tokens": COUNT,
        "cache_read_input_tokens": COUNT,
        "cache_creation_input_tokens": COUNT,
        "cache_creation": st.fixed_dictionaries({"ephemeral_1h_input_tokens": COUNT}),
        "iterations": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["message", "compaction", "fallback_message"]),
                    "input_tokens": COUNT,
                    "output_tokens": st.integers(0, 3),
                }
            ),
            max_size=3,
        ),
        "server_tool_use": st.fixed_dictionaries({"web_search_requests": COUNT}),
    },
)
INSIDE = ["cached_tokens", "cache_write_tokens", "audio_tokens"]
OPENAI_USAGE = st.builds(
    lambda names, whole, inside, out, outside: {
        names[0]: whole,
        f"{names[0]}_details": inside,
        names[1]: out,
        f"{names[1]}_details": outside,
    },
    st.just(("input_tokens", "output_tokens")),
    COUNT,
    st.dictionaries(
        st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens"]), COUNT
    ),
    COUNT,
    st.dictionaries(st.sampled_from(["reasoning_tokens", "audio_tokens"]), COUNT),
)
SEARCHES = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.just("web_search_call"),
            "action": st.fixed_dictionaries({"type": st.sampled_from(["search", "open_page"])}),
        },
        optional={"id": st.sampled_from(["a", "b"])},
    ),
    max_size=3,
)


def as_chat(usage: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(usage)
    return json.loads(text.replace("input_", "prompt_").replace("output_", "completion_"))


STREAMS = st.one_of(
    st.builds(
        lambda begin, deltas, text, reason: claude_events(
            begin, *deltas, text=text, stop_reason=reason
        ),
        CLAUDE_USAGE,
        st.lists(CLAUDE_USAGE, max_size=3),
        st.lists(TEXT, max_size=4),
        st.sampled_from(["end_turn", "refusal", None]),
    ),
    st.builds(
        lambda usage, items: response_events({"usage": usage, "output": items}, *items),
        OPENAI_USAGE,
        SEARCHES,
    ),
    st.builds(
        lambda usage, text: chat_events(as_chat(usage), *text),
        OPENAI_USAGE,
        st.lists(TEXT, max_size=4),
    ),
)
NOISE = st.lists(
    st.sampled_from(
        [
            b"\n",
            b"\r\n",
            b": ping\n\n",
            event("ping"),
            event("error", error={"message": "x"}),
            data({"usage": None, "choices": []}),
            data({"usage": {"prompt_tokens": 1, "completion_tokens": 1}, "choices": []}),
            data({"model": "x"}),
            data(b"[DONE]"),
            b"data: {\n\n",
            b"data",
        ]
    ),
    max_size=3,
).map(b"".join)


@given(NAMES, NOISE, STREAMS, NOISE, ENDS, CUTS, st.booleans(), st.booleans())
@settings(max_examples=400)
def test_any_split_gives_the_same_reading_and_the_same_bytes(
    name: str,
    before: bytes,
    stream: bytes,
    after: bytes,
    end: bytes,
    cuts: list[int],
    include_usage: bool,
    complete: bool,
) -> None:
    told = (before + stream + after).replace(b"\n", end)
    ask = {"include_usage": include_usage, "body_bytes": 300, "complete": complete}
    whole, relayed = metered(name, [told], **ask)
    parts, relayed_parts = metered(name, split_at(told, cuts), **ask)
    assert parts.reading == whole.reading
    assert (parts.final, parts.streaming) == (whole.final, whole.streaming)
    assert relayed_parts == relayed
    if include_usage or not name.startswith(("openai_chat", "openai_completions")):
        assert relayed == told


@given(NAMES, STREAMS, CUTS, st.booleans())
@settings(max_examples=100)
def test_a_cut_stream_has_relayed_what_came(
    name: str, stream: bytes, cuts: list[int], whole_events: bool
) -> None:
    pieces = split_at(stream, cuts)[:-1]
    told = b"".join(pieces)
    meter = DIALECTS[name].meter(DIALECTS[name].read_call("x", b"{}"), whole_events=whole_events)
    got = b"".join(map(meter.feed, pieces))
    if whole_events and meter.streaming and not name.endswith(("_other", "_embeddings")):
        assert got == told[: told.rfind(b"\n\n") + 2] if b"\n\n" in told else got == b""
    DIALECTS[name].cut(meter, "no")
    assert got + meter.end(False) == told


@given(NAMES, st.lists(st.binary(max_size=40), max_size=6), st.booleans())
@settings(max_examples=300)
def test_any_bytes_pass_and_nothing_raises(
    name: str, pieces: list[bytes], include_usage: bool
) -> None:
    meter, relayed = metered(name, pieces, include_usage=include_usage)
    assert relayed == b"".join(pieces)
    assert isinstance(meter.reading, Reading)
    DIALECTS[name].cut(meter, "no")


NUMBER = COUNT | st.sampled_from([-1, 0, MOST, MOST + 1, 2**30, 2**64, True, 1.0, "5", None])
LIFETIMES = st.fixed_dictionaries(
    {}, optional={f"ephemeral_{age}_input_tokens": NUMBER for age in ("5m", "1h")}
)

# -- usages that may come --------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([-1, 0, 1, 10**40, 1e300, float("nan"), float("inf"), "5", "x", 2.5]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["input_tokens", "cached_tokens", "type", "model"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)
FIELDS = [
    "input_tokens",
    "output_tokens",
    "prompt_tokens",
    "completion_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "iterations",
    "server_tool_use",
    "output_tokens_details",
    "input_tokens_details",
    "prompt_tokens_details",
    "completion_tokens_details",
    "service_tier",
    "speed",
]
USAGE = st.dictionaries(st.sampled_from(FIELDS), ANYTHING) | ANYTHING
COUNTS = [field.name for field in fields(Usage)]


def answers(usage: Any) -> list[bytes]:
    whole = {"id": "x", "status": "completed", "model": "m", "content": [{}], "usage": usage}
    return [
        json.dumps(whole).encode(),
        claude_events({"input_tokens": 5, "output_tokens": 1}, usage),
        response_events({"usage": usage, "tool_usage": {"image_gen": usage, "web_search": usage}}),
        chat_events(usage),
        json.dumps({"custom_id": "a", "result": {"type": "succeeded", "message": whole}}).encode(),
    ]


@given(NAMES, USAGE)
@settings(max_examples=300)
def test_no_usage_raises_or_counts_below_nothing(name: str, usage: Any) -> None:
    for answer in answers(usage):
        meter, relayed = metered(name, [answer], body_bytes=300)
        assert relayed == answer
        reading = meter.reading
        assert reading.final == meter.final
        assert reading.web_searches >= 0
        for sampling in reading.samplings:
            counts = [getattr(sampling.usage, count) for count in COUNTS]
            assert all(type(count) is int and 0 <= count <= 4 * MOST for count in counts)


CLEAN = st.fixed_dictionaries({"input_tokens": COUNT, "output_tokens": COUNT})


@given(CLEAN, st.dictionaries(st.text(min_size=1, max_size=3), ANYTHING))
def test_unknown_fields_change_nothing(usage: dict[str, int], more: dict[str, Any]) -> None:
    for name in ("anthropic", "openai_responses"):
        for bare, added in zip(answers(usage), answers({**more, **usage}), strict=True):
            assert metered(name, [bare])[0].reading.samplings == (
                metered(name, [added])[0].reading.samplings
            )


@given(OPENAI_USAGE)
def test_disjoint_counts_never_come_to_less_than_the_vendor_told(usage: dict[str, Any]) -> None:
    body = {"id": "r", "status": "completed", "usage": usage}
    reading = metered("openai_responses", [compact(body)])[0].reading
    counts = reading.usage
    assert counts.total_input_tokens >= usage["input_tokens"]
    assert counts.output_tokens + counts.audio_output_tokens >= usage["output_tokens"]
    if not reading.marks:
        assert counts.total_input_tokens == usage["input_tokens"]
        assert counts.output_tokens + counts.audio_output_tokens == usage["output_tokens"]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "input_tokens": NUMBER,
            "output_tokens": NUMBER,
            "cache_read_input_tokens": NUMBER,
            "cache_creation_input_tokens": NUMBER,
            "cache_creation": LIFETIMES | st.none() | st.just([]),
        },
    )
)
def test_the_short_way_to_a_usage_says_what_the_long_one_says(told: dict[str, Any]) -> None:
    counts = Counts()
    expected = unusual_tokens_of(told, counts, 900)
    usual = usual_tokens_of(told)
    assert usual is None or (usual == expected and not counts.odd)


@given(CLAUDE_USAGE, CLAUDE_USAGE, st.booleans())
def test_samplings_are_the_same_by_the_short_way(
    began: dict[str, Any], then: dict[str, Any], refused: bool
) -> None:
    usage = AnthropicUsage(900)
    usage.begin(began)
    usage.update(then)
    marks: list[str] = []
    found = usage.samplings(refused=refused, marks=marks), marks
    with patch.object(anthropic_usage, "usual_tokens_of", lambda told: None):
        long: list[str] = []
        assert found == (usage.samplings(refused=refused, marks=long), long)


USUAL: dict[str, Any] = {
    "input_tokens": 7,
    "output_tokens": 5,
    "cache_read_input_tokens": 3,
    "cache_creation_input_tokens": 9,
    "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 2},
}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, Usage(7, 3, 7, 2, output_tokens=5)),
        ({"cache_creation": None}, Usage(7, 3, 9, 0, output_tokens=5)),
        ({"input_tokens": 7.0}, None),
        ({"output_tokens": True}, None),
        ({"output_tokens": None}, None),
        ({"cache_read_input_tokens": -1}, None),
        ({"cache_creation_input_tokens": MOST + 1}, None),
        ({"cache_creation": {}}, None),
        ({"cache_creation": []}, None),
        ({"cache_creation": {**USUAL["cache_creation"], "ephemeral_5m_input_tokens": "4"}}, None),
        ({"cache_creation": {**USUAL["cache_creation"], "ephemeral_5m_input_tokens": -4}}, None),
        ({"cache_creation": {**USUAL["cache_creation"], "ephemeral_5m_input_tokens": 8}}, None),
        ({"cache_creation": {**USUAL["cache_creation"], "ephemeral_1h_input_tokens": -2}}, None),
    ],
)
def test_what_the_short_way_takes(other: dict[str, Any], expected: Usage | None) -> None:
    told = {**USUAL, **other}
    assert usual_tokens_of(told) == expected
    assert expected in (None, unusual_tokens_of(told, Counts(), 900))


@given(COUNT, COUNT, COUNT, COUNT, COUNT)
def test_the_short_way_is_taken(fresh: int, out: int, read: int, short: int, long: int) -> None:
    told: dict[str, Any] = {"input_tokens": fresh, "output_tokens": out}
    told |= {"cache_read_input_tokens": read, "cache_creation_input_tokens": short + long}
    lifetimes = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}
    one = usual_tokens_of({**told, "cache_creation": lifetimes})
    assert one == Usage(fresh, read, short, long, output_tokens=out)
    assert usual_tokens_of(told) == Usage(fresh, read, short + long, output_tokens=out)
    assert usual_tokens_of({**told, "cache_creation": []}) is None
    for name, count in (("input_tokens", -1), ("output_tokens", MOST + 1)):
        assert usual_tokens_of({**told, name: count}) is None
