"""The Messages API: what each answer used, as JSON and as a stream."""

from __future__ import annotations

from typing import Any

import pytest

from abg.call import Call
from abg.dialects import DIALECTS, sse
from abg.dialects import answer as answers
from abg.test.wire import claude_events, compact, event, metered, read_of
from abg.usage import Reading, Usage

BEGIN = {"input_tokens": 100, "cache_read_input_tokens": 7, "output_tokens": 1}


def message(usage: Any, **fields: Any) -> dict[str, Any]:
    whole = {
        "id": "msg_1",
        "type": "message",
        "model": "claude-opus-5-5",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "usage": usage,
    }
    return {**whole, **fields}


def of_json(usage: Any, **fields: Any) -> Reading:
    return read_of("anthropic", message(usage, **fields), body_bytes=300)


def of_stream(begin: Any, *deltas: Any, **how: Any) -> Reading:
    return read_of("anthropic", claude_events(begin, *deltas, **how), body_bytes=300)


def parts(reading: Reading) -> list[tuple[str, str | None, Usage]]:
    return [(s.kind, s.model, s.usage) for s in reading.samplings]


# -- one sampling ----------------------------------------------------------------------------------


def test_a_message_as_json() -> None:
    usage = {
        "input_tokens": 100,
        "cache_read_input_tokens": 2000,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 30},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 5},
        "service_tier": "batch",
        "speed": "fast",
        "inference_geo": "us",
        "something_new": {"input_tokens": 9},
    }
    assert of_json(usage) == Reading(
        samplings=of_json(usage).samplings,
        model="claude-opus-5-5",
        final=True,
        tier="batch",
        speed="fast",
        geo="us",
        web_searches=2,
        reasoning_tokens=30,
        response_id="msg_1",
    )
    expected = Usage(100, 2000, 100, 200, output_tokens=50)
    assert parts(of_json(usage)) == [("message", None, expected)]


def test_the_same_message_as_a_stream() -> None:
    usage = {
        "input_tokens": 100,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "output_tokens": 50,
        "service_tier": "standard",
    }
    whole = of_stream({**usage, "output_tokens": 3}, {"output_tokens": 50})
    assert whole.samplings == of_json(usage).samplings
    assert (whole.final, whole.tier, whole.model) == (True, "standard", "claude-opus-5-5")
    assert whole.output_bytes == len("Hello you")


STREAMS: dict[str, tuple[list[Any], Usage]] = {
    "output replaces": (
        [BEGIN, {"output_tokens": 20}, {"output_tokens": 30}],
        Usage(100, 7, output_tokens=30),
    ),
    "zero and null replace no input": (
        [BEGIN, {"input_tokens": 0, "cache_read_input_tokens": None, "output_tokens": 5}],
        Usage(100, 7, output_tokens=5),
    ),
    "the last delta brings the real input of a loop of tools": (
        [BEGIN, {"input_tokens": 4000, "cache_read_input_tokens": 900, "output_tokens": 5}],
        Usage(4000, 900, output_tokens=5),
    ),
    "a delta has no breakdown: the rest is 5 minutes": (
        [
            {
                **BEGIN,
                "cache_creation_input_tokens": 50,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 50},
            },
            {"cache_creation_input_tokens": 80, "output_tokens": 5},
        ],
        Usage(100, 7, 30, 50, output_tokens=5),
    ),
    "no usage at the start": (
        [None, {"input_tokens": 60, "output_tokens": 5}],
        Usage(60, output_tokens=5),
    ),
    "nothing but output is told: the input is taken from the body": (
        [None, {"output_tokens": 5}],
        Usage(100, output_tokens=5),
    ),
    "a count that is none replaces nothing": (
        [BEGIN, {"input_tokens": -5, "cache_read_input_tokens": "x", "output_tokens": 5}],
        Usage(100, 7, output_tokens=5),
    ),
    "whole numbers spelt otherwise": (
        [BEGIN, {"input_tokens": 1e3, "output_tokens": 5.0}],
        Usage(1000, 7, output_tokens=5),
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_counts_in_a_stream(name: str) -> None:
    told, expected = STREAMS[name]
    reading = of_stream(*told)
    assert reading.final
    assert [s.usage for s in reading.samplings] == [expected]


WHOLE: dict[str, tuple[Any, Usage, tuple[str, ...]]] = {
    "no breakdown: 5 minutes": (
        {"input_tokens": 1, "cache_creation_input_tokens": 50, "output_tokens": 1},
        Usage(1, 0, 50, output_tokens=1),
        (),
    ),
    "a breakdown below the total": (
        {
            "input_tokens": 1,
            "cache_creation_input_tokens": 50,
            "cache_creation": {"ephemeral_1h_input_tokens": 20},
            "output_tokens": 1,
        },
        Usage(1, 0, 30, 20, output_tokens=1),
        (),
    ),
    "a breakdown above the total: the larger reading": (
        {
            "input_tokens": 1,
            "cache_creation_input_tokens": 50,
            "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 20},
            "output_tokens": 1,
        },
        Usage(1, 0, 40, 20, output_tokens=1),
        ("clamped",),
    ),
    "a breakdown alone": (
        {"cache_creation": {"ephemeral_5m_input_tokens": 40}, "output_tokens": 1},
        Usage(0, 0, 40, output_tokens=1),
        (),
    ),
    "null and unknown fields": (
        {
            "input_tokens": 9,
            "cache_creation_input_tokens": None,
            "cache_read_input_tokens": None,
            "cache_creation": None,
            "server_tool_use": None,
            "iterations": None,
            "service_tier": None,
            "output_tokens": 1,
        },
        Usage(9, output_tokens=1),
        (),
    ),
    "all of it cached": (
        {"input_tokens": 0, "cache_read_input_tokens": 500, "output_tokens": 1},
        Usage(0, 500, output_tokens=1),
        (),
    ),
    "all of it cached, the rest null": (
        {"input_tokens": None, "cache_read_input_tokens": 500, "output_tokens": 1},
        Usage(0, 500, output_tokens=1),
        (),
    ),
    "no input: from the body, dear": (
        {"output_tokens": 1},
        Usage(100, output_tokens=1),
        ("clamped",),
    ),
    "negative input: from the body": (
        {"input_tokens": -5, "output_tokens": 1},
        Usage(100, output_tokens=1),
        ("clamped",),
    ),
    "negative cache counts are none": (
        {"input_tokens": 9, "cache_read_input_tokens": -7, "output_tokens": 1},
        Usage(9, output_tokens=1),
        ("clamped",),
    ),
    "absurd": (
        {"input_tokens": 10**40, "output_tokens": 1e300},
        Usage(10**9, output_tokens=10**9),
        ("clamped",),
    ),
    "texts": (
        {"input_tokens": "12", "output_tokens": "3"},
        Usage(12, output_tokens=3),
        ("clamped",),
    ),
    "things that are no objects": (
        {
            "input_tokens": 9,
            "cache_creation": 5,
            "server_tool_use": [],
            "iterations": "x",
            "output_tokens_details": "y",
            "output_tokens": 1,
        },
        Usage(9, output_tokens=1),
        ("clamped",),
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_counts_of_a_message(name: str) -> None:
    usage, expected, marks = WHOLE[name]
    reading = of_json(usage)
    assert reading.final
    assert [s.usage for s in reading.samplings] == [expected]
    assert reading.marks == marks


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        "none",
        5,
        [],
        {"input_tokens": 5},
        {"output_tokens": None},
        {"output_tokens": -1},
        {"output_tokens": float("nan")},
    ],
)
def test_usage_that_nobody_can_read_is_no_last_word(usage: Any) -> None:
    reading = of_json(usage)
    assert not reading.final
    assert reading.output_bytes > 0 if usage is None else True
    assert not of_stream(BEGIN, usage).final
    assert not of_stream(BEGIN).final


# -- several samplings -----------------------------------------------------------------------------


def hop(kind: str = "message", fresh: int = 100, out: int = 10, **more: Any) -> dict[str, Any]:
    return {"type": kind, "input_tokens": fresh, "output_tokens": out, **more}


TOP = {"input_tokens": 1000, "output_tokens": 100}
ITERATIONS: dict[str, tuple[list[Any], list[tuple[str, str | None, Usage]], tuple[str, ...]]] = {
    "a loop of tools": (
        [hop(), hop(fresh=200)],
        [
            ("message", None, Usage(100, output_tokens=10)),
            ("message", None, Usage(200, output_tokens=10)),
        ],
        (),
    ),
    "a fallback that took over": (
        [hop(model="claude-opus-5-5", out=30), hop("fallback_message", model="claude-sonnet-5-5")],
        [
            ("message", "claude-opus-5-5", Usage(100, output_tokens=30)),
            ("fallback_message", "claude-sonnet-5-5", Usage(100, output_tokens=10)),
        ],
        (),
    ),
    "a hop that declined before it said anything is not billed": (
        [hop(model="a", out=1), hop(model="b", out=0), hop("fallback_message", model="c")],
        [("fallback_message", "c", Usage(100, output_tokens=10))],
        (),
    ),
    "an answer of one token is no hop": (
        [hop(out=1)],
        [("message", None, Usage(100, output_tokens=1))],
        (),
    ),
    "advisor and compaction come besides": (
        [hop("compaction"), hop(), hop("advisor_message", model="claude-opus-5-5")],
        [
            ("message", None, Usage(100, output_tokens=10)),
            ("compaction", None, Usage(100, output_tokens=10)),
            ("advisor_message", "claude-opus-5-5", Usage(100, output_tokens=10)),
        ],
        (),
    ),
    "only besides: the top level is the call itself": (
        [hop("advisor_message", model="a")],
        [
            ("message", None, Usage(1000, output_tokens=100)),
            ("advisor_message", "a", Usage(100, output_tokens=10)),
        ],
        (),
    ),
    "a kind that nobody knows is billed besides": (
        [hop(), hop("oracle"), hop("oracle")],
        [
            ("message", None, Usage(100, output_tokens=10)),
            ("oracle", None, Usage(100, output_tokens=10)),
            ("oracle", None, Usage(100, output_tokens=10)),
        ],
        ("unknown_iteration",),
    ),
    "an entry without a type is a pass": (
        [{"input_tokens": 5, "output_tokens": 6}],
        [("message", None, Usage(5, output_tokens=6))],
        (),
    ),
    "an entry that is none: the top level if it says more": (
        [hop(), 5],
        [("message", None, Usage(1000, output_tokens=100))],
        ("clamped",),
    ),
    "an entry that is none: the others if they say more": (
        [hop(fresh=5000), None],
        [("message", None, Usage(5000, output_tokens=10))],
        ("clamped",),
    ),
    "no entry at all": ([], [("message", None, Usage(1000, output_tokens=100))], ()),
    "cache counts of their own": (
        [hop(cache_creation_input_tokens=9, cache_creation={"ephemeral_1h_input_tokens": 4})],
        [("message", None, Usage(100, 0, 5, 4, output_tokens=10))],
        (),
    ),
}


@pytest.mark.parametrize("name", ITERATIONS)
def test_iterations(name: str) -> None:
    entries, expected, marks = ITERATIONS[name]
    reading = of_json({**TOP, "iterations": entries})
    assert parts(reading) == expected
    assert reading.marks == marks
    streamed = of_stream({**TOP, "output_tokens": 1}, {"iterations": entries, **TOP})
    assert parts(streamed) == expected


# -- refusals --------------------------------------------------------------------------------------


def test_a_refusal_before_any_output_is_not_billed() -> None:
    for out in (0, 1):
        usage = {"input_tokens": 50_000, "output_tokens": out}
        whole = of_json(usage, content=[], stop_reason="refusal")
        streamed = of_stream(usage, usage, text=(), stop_reason="refusal")
        for reading in (whole, streamed):
            assert reading.final
            assert not reading.billed
            assert reading.usage.input_tokens == 50_000


def test_a_refusal_after_some_output_is_billed() -> None:
    usage = {"input_tokens": 50_000, "output_tokens": 12}
    assert of_json(usage, stop_reason="refusal").billed
    assert of_json(usage, stop_reason="refusal", content=[]).billed
    assert of_stream(usage, usage, stop_reason="refusal").billed
    one = {"input_tokens": 50_000, "output_tokens": 1}
    assert of_json(one, stop_reason="refusal").billed


def test_a_refusal_leaves_what_came_besides() -> None:
    entries = [hop(out=0), hop("advisor_message", model="a")]
    usage = {"input_tokens": 9, "output_tokens": 0, "iterations": entries}
    reading = of_json(usage, content=[], stop_reason="refusal")
    assert reading.billed
    assert [s.kind for s in reading.samplings] == ["advisor_message"]


def test_a_chain_of_hops_that_all_declined_is_not_billed() -> None:
    entries = [hop(out=0, model="a"), hop("fallback_message", out=1, model="b")]
    usage = {"input_tokens": 9, "output_tokens": 0, "iterations": entries}
    assert not of_json(usage, content=[], stop_reason="refusal").billed


# -- how a stream goes -----------------------------------------------------------------------------


def test_final_is_the_last_event_and_nothing_after_it_counts() -> None:
    stream = claude_events(BEGIN, {"output_tokens": 20})
    meter = DIALECTS["anthropic"].meter(Call("anthropic", "messages"))
    for piece in stream.split(b"\n\n")[:-2]:
        meter.feed(piece + b"\n\n")
        assert not meter.final
    meter.feed(event("message_stop"))
    assert meter.final
    assert meter.streaming
    meter.feed(event("message_delta", delta={}, usage={"output_tokens": 9999}))
    meter.end(True)
    assert meter.reading.usage.output_tokens == 20


def test_the_end_of_the_sampling_is_enough() -> None:
    stream = claude_events(BEGIN, {"output_tokens": 20}, stopped=False)
    for complete in (True, False):
        meter, _ = metered("anthropic", [stream], complete=complete)
        assert meter.final


@pytest.mark.parametrize("complete", [True, False])
def test_a_stream_without_an_end_has_the_counts_so_far(complete: bool) -> None:
    stream = claude_events(BEGIN, stopped=False)
    meter, _ = metered("anthropic", [stream], complete=complete)
    assert not meter.reading.final
    assert meter.reading.usage == Usage(100, 7, output_tokens=1)
    assert meter.reading.output_bytes == len("Hello you")


def test_an_error_ends_a_stream() -> None:
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    reading = read_of("anthropic", claude_events(BEGIN, stopped=False) + error)
    assert reading.failed
    assert not reading.final
    assert read_of("anthropic", {"type": "error", "error": {"type": "api_error"}}).failed


def test_strange_events_mean_nothing() -> None:
    strange = [
        event("ping"),
        event("message_oracle", usage={"output_tokens": 9999}),
        b"event: message_delta\ndata: nonsense\n\n",
        b"event: message_delta\n\n",
        b"data: [1]\n\n",
        b": message_start\n\n",
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "message_"}),
    ]
    stream = claude_events(BEGIN, {"output_tokens": 20})
    at = stream.index(b"event: message_delta")
    for one in strange:
        reading = read_of("anthropic", stream[:at] + one + stream[at:])
        assert reading.samplings == read_of("anthropic", stream).samplings


def test_the_name_of_an_event_tells_its_type_if_its_data_does_not() -> None:
    stream = claude_events(BEGIN, {"output_tokens": 20})
    bare = stream.replace(b'"type":"message_delta",', b"").replace(b'"type":"message_stop"', b"")
    assert read_of("anthropic", bare) == read_of("anthropic", stream)


def test_a_start_that_brings_content_and_no_message() -> None:
    block = event("content_block_start", index=None, content_block={"type": "text", "text": "abc"})
    stream = event("message_start") + block + event("message_stop")
    reading = read_of("anthropic", stream)
    assert (reading.samplings, reading.final, reading.output_bytes) == ((), False, 3)
    begun = event("message_start", message={"content": [{}], "usage": {"output_tokens": 1}})
    last = event("message_delta", delta={"stop_reason": "refusal"}, usage={"output_tokens": 1})
    assert read_of("anthropic", begun + last).billed


DELTAS = {
    b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"abc"}}': 3,
    b'{"index":0,"type":"content_block_delta","delta":{"type":"text_delta","text":"message_"}}': 8,
    b'{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "abc"}}': 3,
    b'{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"abcd"}   }': 4,
    b'{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{\\"a"}}': 4,
    b'{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"abc"}}': 0,
    b'{"type":"content_block_delta","delta":{"type":"text_delta","text":""}}': 0,
    b'{"type":"content_block_delta","delta":{"text":"abc","type":"text_delta"}}': 3,
    b'{"delta":{"text":"abc","type":"text_delta"},"type":"content_block_delta"}': 3,
    b'{ "type" : "content_block_delta", "delta" : { "type" : "text_delta", "text" : "abc" } }': 3,
    b'{"type":"content_block_delta","delta":{"type":"text_delta","index":0}}': 0,
    b'{"type":"ping"}': 0,
}


@pytest.mark.parametrize("told", DELTAS)
def test_generated_text_is_counted_roughly(told: bytes) -> None:
    first = claude_events(BEGIN, stopped=False, text=())
    line = b"event: content_block_delta\ndata: %s\n\n" % told
    assert read_of("anthropic", first + line).output_bytes == DELTAS[told]
    # However the event is cut or named, it counts the same.
    for at in range(len(line)):
        meter, _ = metered("anthropic", [first, line[:at], line[at:]])
        assert meter.reading.output_bytes == DELTAS[told]
    assert read_of("anthropic", first + line[27:]).output_bytes == DELTAS[told]


# -- what came at all ------------------------------------------------------------------------------


def test_stream_or_json_is_decided_by_what_comes() -> None:
    body = compact(message({"input_tokens": 9, "output_tokens": 1}))
    for lead in (b"", b"\xef\xbb\xbf", b" \r\n\t", b"\xef\xbb\xbf\n"):
        for at in range(len(lead) + 2):
            whole = lead + body
            meter, out = metered("anthropic", [whole[:at], whole[at:]])
            assert (meter.streaming, meter.final, out) == (False, True, whole)
        stream = lead + claude_events(BEGIN, {"output_tokens": 1})
        meter, out = metered("anthropic", [stream[:2], stream[2:]])
        assert (meter.streaming, meter.final, out) == (True, True, stream)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b" \n",
        b"\xef\xbb",
        b"<html>oops</html>",
        b"{",
        b"[]",
        b"[{}",
        b"null",
        b'{"usage":',
        b"data: {}\n\n",
        b"\0\xff",
    ],
)
def test_garbage_reads_as_nothing(garbage: bytes) -> None:
    meter, out = metered("anthropic", [garbage])
    assert out == garbage
    assert (meter.reading.samplings, meter.final) == ((), False)
    assert meter.end(True) == b""


def test_endless_white_space_is_not_kept() -> None:
    meter = DIALECTS["anthropic"].meter(Call("anthropic", "messages"))
    for _ in range(200):
        assert meter.feed(b"\n" * 1000)
    assert meter.streaming
    meter.feed(claude_events(BEGIN, {"output_tokens": 1}))
    assert meter.final


def test_a_message_in_many_pieces() -> None:
    body = compact(message({"input_tokens": 9, "output_tokens": 1}))
    meter, out = metered("anthropic", [body[i : i + 1] for i in range(len(body))])
    assert (meter.final, out) == (True, body)


def test_an_answer_too_large_for_memory_is_read_at_its_end(monkeypatch: Any) -> None:
    monkeypatch.setattr(answers, "LONGEST", 2000)
    monkeypatch.setattr(answers, "_END", 500)
    whole = message({"input_tokens": 9, "output_tokens": 1})
    del whole["usage"]
    body = compact({**whole, "x": "y" * 5000, "usage": {"input_tokens": 9, "output_tokens": 1}})
    for step in (100, 3000, 10_000):
        pieces = [body[i : i + step] for i in range(0, len(body), step)]
        meter, out = metered("anthropic", pieces)
        assert out == body
        assert meter.final
        assert meter.reading.usage == Usage(9, output_tokens=1)
        assert meter.reading.marks == ("line_too_long",)
    meter, _ = metered("anthropic", [body[:-30]])
    assert not meter.final


def test_an_event_too_long_is_marked(monkeypatch: Any) -> None:
    for module in (sse, answers):
        monkeypatch.setattr(module, "LONGEST", 500)
    long = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 600})
    stream = claude_events(BEGIN, {"output_tokens": 20})
    at = stream.index(b"event: message_delta")
    for pieces in ([stream[:at], long, stream[at:]], [stream[:at] + long + stream[at:]]):
        meter, out = metered("anthropic", pieces)
        assert out == b"".join(pieces)
        assert meter.final
        assert meter.reading.marks == ("line_too_long",)


@pytest.mark.parametrize("end", [-1, -60])
def test_a_message_that_was_cut_is_charged_at_least_what_came(end: int) -> None:
    body = compact(message({"input_tokens": 90_000, "output_tokens": 300}))
    reading = read_of("anthropic", body[:end], body_bytes=300)
    assert (reading.final, reading.output_bytes) == (False, len(body[:end]))
    assert reading.usage.input_tokens == (90_000 if end == -1 else 0)


def test_a_message_that_was_cut_inside_its_usage_keeps_what_was_told() -> None:
    usage = {"input_tokens": 4, "cache_read_input_tokens": 90_000, "output_tokens": 300}
    body = compact(message({**usage, "service_tier": "standard"}))
    reading = read_of("anthropic", body[: body.index(b'"standard"')], body_bytes=300)
    assert (reading.final, reading.model) == (False, "claude-opus-5-5")
    assert reading.usage == Usage(4, cache_read_tokens=90_000, output_tokens=300)
    # The largest of its inputs may be missing: then none is known.
    reading = read_of("anthropic", body[: body.index(b'"cache_read')], body_bytes=300)
    assert reading.samplings == ()


def test_only_the_answers_own_usage_counts_where_it_was_cut() -> None:
    tool = {"type": "tool_use", "input": {"usage": {"input_tokens": 0, "output_tokens": 0}}}
    body = compact({**message({"input_tokens": 90_000, "output_tokens": 3}), "content": [tool]})
    reading = read_of(
        "anthropic", body[: body.index(b'"usage":{"input_tokens":90')], body_bytes=300
    )
    assert reading.samplings == ()


def test_a_second_beginning_takes_nothing_back() -> None:
    stream = claude_events({"input_tokens": 90_000, "output_tokens": 1}, {"output_tokens": 500})
    again = {"input_tokens": 5, "cache_read_input_tokens": 9, "output_tokens": 1}
    at = stream.index(b"event: message_stop")
    begin = event("message_start", message={"usage": again})
    reading = read_of("anthropic", stream[:at] + begin + stream[at:])
    assert reading.usage == Usage(90_000, cache_read_tokens=9, output_tokens=500)
    assert (reading.final, reading.marks) == (True, ("clamped",))


def test_counts_apart_replace_only_when_they_are_not_zero() -> None:
    lifetimes = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 100}
    begin = {
        **BEGIN,
        "cache_creation_input_tokens": 100,
        "cache_creation": lifetimes,
        "server_tool_use": {"web_search_requests": 3},
    }
    zero = {
        "output_tokens": 20,
        "cache_creation": dict.fromkeys(lifetimes, 0),
        "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 1},
    }
    reading = of_stream(begin, zero)
    assert reading.usage.cache_write_1h_tokens == 100
    assert reading.web_searches == 3
    later = {"output_tokens": 20, "server_tool_use": {"web_search_requests": 4}}
    assert of_stream(begin, zero, {**later, "cache_creation": "what"}).web_searches == 4


def test_an_input_that_cannot_be_is_read_dear_also_beside_a_cache() -> None:
    for odd in (-5, "many", []):
        reading = of_json({"input_tokens": odd, "cache_read_input_tokens": 9, "output_tokens": 1})
        assert reading.usage == Usage(100, cache_read_tokens=9, output_tokens=1)
        assert reading.marks == ("clamped",)
    untold = of_json({"cache_read_input_tokens": 9, "output_tokens": 1})
    assert (untold.usage.input_tokens, untold.marks) == (0, ())


class Unread(bytearray):
    """What nobody may copy out."""

    def __bytes__(self) -> bytes:
        raise AssertionError


def test_blanks_before_an_answer_are_not_looked_through_again() -> None:
    meter: Any = DIALECTS["anthropic"].meter(Call("anthropic", "messages", body_bytes=300))
    meter.feed(b"   ")
    meter._body = Unread(meter._body)
    for _ in range(100):
        assert meter.feed(b" \n") == b" \n"
    meter._body = bytearray(meter._body)
    meter.feed(compact(message({"input_tokens": 7, "output_tokens": 5})))
    meter.end(True)
    assert meter.streaming is False
    assert meter.reading.samplings[0].usage.output_tokens == 5


def test_only_hops_before_the_last_one_declined() -> None:
    hop = {"input_tokens": 10, "output_tokens": 1}
    chain = [
        {"type": "message", **hop},
        {"type": "fallback_message", **hop},
        {"type": "message", **hop},
    ]
    found = of_json({"input_tokens": 30, "output_tokens": 3, "iterations": chain})
    assert [sampling.kind for sampling in found.samplings] == ["fallback_message", "message"]
