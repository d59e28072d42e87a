"""The Responses API: what each answer used, as JSON and as a stream."""

from __future__ import annotations

from typing import Any

import pytest

from abg.call import Call
from abg.dialects import DIALECTS
from abg.dialects import answer as answers
from abg.test.wire import compact, event, metered, read_of, response_events
from abg.usage import Reading, Sampling, Usage

USAGE = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}


def response(usage: Any, **fields: Any) -> dict[str, Any]:
    whole = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "gpt-6.1-sol",
        "output": [],
        "service_tier": "default",
        "usage": usage,
    }
    return {**whole, **fields}


def of_json(usage: Any, **fields: Any) -> Reading:
    return read_of("openai_responses", response(usage, **fields), body_bytes=300)


def of_stream(usage: Any, *items: Any, kind: str = "response.completed", **fields: Any) -> Reading:
    stream = response_events({"usage": usage, **fields}, *items, kind=kind)
    return read_of("openai_responses", stream, body_bytes=300)


# -- counts ----------------------------------------------------------------------------------------


def details(whole: int, out: int = 20, **inside: Any) -> dict[str, Any]:
    return {"input_tokens": whole, "input_tokens_details": inside, "output_tokens": out}


COUNTS: dict[str, tuple[Any, Usage, tuple[str, ...]]] = {
    "cached is inside the input": (
        details(100, cached_tokens=30),
        Usage(70, 30, output_tokens=20),
        (),
    ),
    "all of it cached": (details(100, cached_tokens=100), Usage(0, 100, output_tokens=20), ()),
    "written is inside too": (
        details(100, cached_tokens=30, cache_write_tokens=50),
        Usage(20, 30, cache_write_30m_tokens=50, output_tokens=20),
        (),
    ),
    "written for both lifetimes": (
        details(
            100,
            cache_write_tokens=50,
            cache_write_tokens_details={"ttl_30m_tokens": 10, "ttl_12h_tokens": 40},
        ),
        Usage(50, cache_write_30m_tokens=10, cache_write_12h_tokens=40, output_tokens=20),
        (),
    ),
    "a breakdown below the total: the rest is 30 minutes": (
        details(100, cache_write_tokens=50, cache_write_tokens_details={"ttl_12h_tokens": 40}),
        Usage(50, cache_write_30m_tokens=10, cache_write_12h_tokens=40, output_tokens=20),
        (),
    ),
    "a breakdown above the total: the larger reading": (
        details(
            100,
            cache_write_tokens=50,
            cache_write_tokens_details={"ttl_30m_tokens": 30, "ttl_12h_tokens": 40},
        ),
        Usage(30, cache_write_30m_tokens=30, cache_write_12h_tokens=40, output_tokens=20),
        ("clamped",),
    ),
    "a breakdown alone": (
        details(100, cache_write_tokens_details={"ttl_12h_tokens": 40}),
        Usage(60, cache_write_12h_tokens=40, output_tokens=20),
        (),
    ),
    "more cached than there is: nothing was cheap": (
        details(100, cached_tokens=130),
        Usage(130, output_tokens=20),
        ("clamped",),
    ),
    "more written than there is": (
        details(100, cache_write_tokens=130),
        Usage(0, cache_write_30m_tokens=130, output_tokens=20),
        ("clamped",),
    ),
    "cached and written are more than there is": (
        details(100, cached_tokens=70, cache_write_tokens=50),
        Usage(50, cache_write_30m_tokens=50, output_tokens=20),
        ("clamped",),
    ),
    "negative": (
        details(100, cached_tokens=-30, cache_write_tokens=-1),
        Usage(100, output_tokens=20),
        ("clamped",),
    ),
    "negative input: from the body": (details(-5), Usage(100, output_tokens=20), ("clamped",)),
    "no input: from the body": ({"output_tokens": 20}, Usage(100, output_tokens=20), ("clamped",)),
    "reasoning is inside the output": (
        {**USAGE, "output_tokens_details": {"reasoning_tokens": 15}},
        Usage(100, output_tokens=20),
        (),
    ),
    "more reasoning than output": (
        {**USAGE, "output_tokens_details": {"reasoning_tokens": 50}},
        Usage(100, output_tokens=50),
        ("clamped",),
    ),
    "sound": (
        {
            **details(100, audio_tokens=40, cached_tokens=60),
            "output_tokens_details": {"audio_tokens": 15},
        },
        Usage(0, 60, audio_input_tokens=40, output_tokens=5, audio_output_tokens=15),
        (),
    ),
    "sound that was cached is told twice: it costs as sound": (
        details(100, audio_tokens=40, cached_tokens=80),
        Usage(0, 60, audio_input_tokens=40, output_tokens=20),
        (),
    ),
    "more sound than output": (
        {**USAGE, "output_tokens_details": {"audio_tokens": 35}},
        Usage(100, audio_output_tokens=35),
        ("clamped",),
    ),
    "spelt as floats and texts": (
        {"input_tokens": 1e2, "output_tokens": "20"},
        Usage(100, output_tokens=20),
        ("clamped",),
    ),
    "null and unknown": (
        {
            **USAGE,
            "input_tokens_details": None,
            "output_tokens_details": None,
            "something_new": 5,
        },
        Usage(100, output_tokens=20),
        (),
    ),
    "absurd": (
        {"input_tokens": 10**40, "output_tokens": 1e300},
        Usage(10**9, output_tokens=10**9),
        ("clamped",),
    ),
    "nothing used": (
        {"input_tokens": 0, "output_tokens": 0},
        Usage(),
        (),
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_made_disjoint(name: str) -> None:
    told, expected, marks = COUNTS[name]
    for reading in (of_json(told), of_stream(told)):
        assert reading.final
        assert [s.usage for s in reading.samplings] == [expected]
        assert reading.marks == marks


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        "none",
        {"input_tokens": 5},
        {"output_tokens": -1},
        {"input_tokens": None, "output_tokens": None},
    ],
)
def test_usage_that_nobody_can_read_is_no_last_word(usage: Any) -> None:
    for reading in (of_json(usage), of_stream(usage)):
        assert not reading.final
        assert reading.response_id == "resp_1"


def test_what_else_is_read() -> None:
    reading = of_json({**USAGE, "output_tokens_details": {"reasoning_tokens": 15}})
    assert reading == Reading(
        samplings=(Sampling(Usage(100, output_tokens=20)),),
        model="gpt-6.1-sol",
        final=True,
        tier="default",
        reasoning_tokens=15,
        response_id="resp_1",
    )


# -- how it ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
def test_every_end_carries_the_usage(status: str) -> None:
    reading = of_stream(USAGE, kind=f"response.{status}")
    assert reading.final
    assert reading.failed == (status == "failed")
    assert reading.output_bytes == len("Hello you")
    assert of_json(USAGE, status=status).failed == (status == "failed")


def test_final_at_the_event_that_ends_it() -> None:
    stream = response_events({"usage": USAGE})
    meter = DIALECTS["openai_responses"].meter(Call("openai_responses", "responses"))
    events = [piece + b"\n\n" for piece in stream.split(b"\n\n")[:-1]]
    for piece in events[:-1]:
        meter.feed(piece)
        assert not meter.final
        assert meter.reading.model == "gpt-6.1-sol"
    meter.feed(events[-1])
    assert meter.final
    # However often it is repeated, it counts once.
    meter.feed(events[-1].replace(b'"output_tokens":20', b'"output_tokens":9999'))
    meter.end(False)
    assert meter.reading.usage.output_tokens == 20


def test_the_tier_is_that_of_the_last_event() -> None:
    assert of_stream(USAGE, service_tier="priority").tier == "priority"
    assert of_stream(USAGE).tier is None, "the first event only echoes the wish"
    assert of_json(USAGE, service_tier=5).tier is None


def test_a_failure_without_usage() -> None:
    error = {"code": "server_error", "message": "oops"}
    reading = of_stream(None, kind="response.failed", error=error)
    assert (reading.failed, reading.final, reading.samplings) == (True, False, ())
    stream = event("error", code="server_error", message="oops")
    assert read_of("openai_responses", stream).failed
    assert read_of("openai_responses", {"error": {"message": "no"}}).failed


def test_a_background_response_has_no_usage_yet() -> None:
    for status in ("queued", "in_progress"):
        reading = of_json(None, status=status)
        assert (reading.final, reading.response_id, reading.output_bytes) == (False, "resp_1", 0)
        assert not of_json(USAGE, status=status).final, "not the last word"


def test_an_answer_without_usage_is_estimated_by_its_size() -> None:
    item = {"type": "message", "content": [{"type": "output_text", "text": "x" * 500}]}
    body = response(None, output=[item])
    assert read_of("openai_responses", body).output_bytes == len(compact(body))


def test_a_compacted_conversation() -> None:
    body = {"id": "resp_2", "object": "response.compaction", "output": [], "usage": USAGE}
    reading = read_of("openai_responses", body)
    assert (reading.final, reading.model, reading.usage.input_tokens) == (True, None, 100)


def test_strange_events_mean_nothing() -> None:
    strange = [
        event("response.oracle", usage={"output_tokens": 9}),
        event("response.output_item.done"),
        event("response.output_item.done", item={"type": "message"}),
        event("response.completed", response="what"),
        b"event: response.completed\ndata: nonsense\n\n",
        b'data: {"response":[]}\n\n',
        b'data: "response"\n\n',
        b": response.completed\n\n",
    ]
    stream = response_events({"usage": USAGE})
    at = stream.index(b"event: response.completed")
    for one in strange:
        reading = read_of("openai_responses", stream[:at] + one + stream[at:])
        assert reading.samplings == read_of("openai_responses", stream).samplings


def test_the_name_of_an_event_tells_its_type_if_its_data_does_not() -> None:
    stream = response_events({"usage": USAGE})
    bare = stream.replace(b'"type":"response.completed",', b"")
    assert read_of("openai_responses", bare) == read_of("openai_responses", stream)
    # And a stream without names is read by its data.
    lines = [line for line in stream.split(b"\n") if not line.startswith(b"event:")]
    assert read_of("openai_responses", b"\n".join(lines)) == read_of("openai_responses", stream)


DELTAS = {
    b'{"type":"response.output_text.delta","delta":"abc","logprobs":[]}': 3,
    b'{"type":"response.output_text.delta","delta":"abc"}': 3,
    b'{"type": "response.output_text.delta", "delta": "abc"}': 3,
    b'{"type": "response.output_text.delta", "delta": "abc", "item_id": "i", "logprobs": []}': 3,
    b'{"type" : "response.output_text.delta", "delta" : "abc", "obfuscation" : "xyz"}': 3,
    b'{"type":"response.function_call_arguments.delta","delta":"{\\"a\\"","obfuscation":"x"}': 6,
    b'{"type":"response.output_text.delta","delta":""}': 0,
    b'{"type":"response.output_text.delta"}': 0,
    b'{"type":"response.oracle.delta","delta":"see \\"response\\""}': 16,
    b'{"type":"response.oracle.delta","error":null,"delta":"abc"}': 3,
}


@pytest.mark.parametrize("told", DELTAS)
def test_generated_text_is_counted_roughly(told: bytes) -> None:
    line = b"event: %s\ndata: %s\n\n" % (told.split(b'"')[3], told)
    begin = event("response.created", response={"id": "resp_1"})
    for at in range(len(line)):
        meter, _ = metered("openai_responses", [begin, line[:at], line[at:]])
        assert meter.reading.output_bytes == DELTAS[told]


# -- fees ------------------------------------------------------------------------------------------


def search(kind: str | None = "search", **more: Any) -> dict[str, Any]:
    action = {} if kind is None else {"action": {"type": kind}}
    return {"type": "web_search_call", "status": "completed", **action, **more}


def test_searches_that_are_counted_by_the_vendor() -> None:
    usage = {"web_search": {"num_requests": 3}}
    assert of_json(USAGE, tool_usage=usage, output=[search()]).web_searches == 3
    assert of_stream(USAGE, search(), tool_usage=usage).web_searches == 3
    none = {"web_search": {"num_requests": 0}}
    assert of_json(USAGE, tool_usage=none, output=[search()]).web_searches == 0


def test_searches_that_only_the_items_show() -> None:
    items = [search(id="a"), search("open_page", id="b"), search("find_in_page"), search(id="c")]
    assert of_json(USAGE, output=items).web_searches == 2
    assert of_stream(USAGE, *items).web_searches == 2
    # Told by both the events and the response: once each.
    assert of_stream(USAGE, *items, output=items).web_searches == 2
    assert of_stream(USAGE, search(), search(), output=[search(), search()]).web_searches == 2


def test_a_search_without_a_word_of_what_it_did_is_one() -> None:
    assert of_json(USAGE, output=[search(None)]).web_searches == 1
    assert of_json(USAGE, output=[search(None, action=None)]).web_searches == 1


def test_searches_are_known_before_the_end() -> None:
    stream = response_events({"usage": USAGE}, search(id="a"))
    cut = stream[: stream.index(b"event: response.completed")]
    meter, _ = metered("openai_responses", [cut], complete=False)
    assert (meter.reading.web_searches, meter.final) == (1, False)
    item = event("response.output_item.done", output_index="x", item=search())
    assert read_of("openai_responses", cut + item).web_searches == 2


@pytest.mark.parametrize(
    "told",
    [5, "x", [], {"web_search": 5}, {"web_search": {}}, {"web_search": {"num_requests": -1}}],
)
def test_tool_usage_that_is_none(told: Any) -> None:
    assert of_json(USAGE, tool_usage=told, output=[search()]).web_searches == 1


def test_pictures_have_tokens_of_their_own() -> None:
    image = {"input_tokens": 50, "output_tokens": 1000, "total_tokens": 1050}
    reading = of_json(USAGE, tool_usage={"image_gen": image})
    assert reading.samplings[1] == Sampling(Usage(50, image_output_tokens=1000), None, "image")
    cached = of_json(USAGE, tool_usage={"image_gen": {**image, "cached_tokens": 20}})
    assert cached.samplings[1].usage == Usage(30, 20, image_output_tokens=1000)
    odd = of_json(USAGE, tool_usage={"image_gen": {**image, "cached_tokens": 90}})
    assert odd.samplings[1].usage == Usage(50, image_output_tokens=1000)
    assert odd.marks == ("clamped",)
    zero = {"input_tokens": 0, "output_tokens": 0}
    assert len(of_json(USAGE, tool_usage={"image_gen": zero}).samplings) == 1


@pytest.mark.parametrize("kind", ["file_search_call", "code_interpreter_call"])
def test_tools_whose_fee_nobody_knows_leave_a_mark(kind: str) -> None:
    assert of_json(USAGE, output=[{"type": kind}]).marks == ("tool_fee_unknown",)
    assert of_stream(USAGE, {"type": kind}).marks == ("tool_fee_unknown",)


# -- what came at all ------------------------------------------------------------------------------


@pytest.mark.parametrize("garbage", [b"", b"<html>", b"{", b"[1]", b'{"usage":5}', b"data: 5\n\n"])
def test_garbage_reads_as_nothing(garbage: bytes) -> None:
    meter, out = metered("openai_responses", [garbage])
    assert (out, meter.final, meter.reading.samplings) == (garbage, False, ())


def test_an_answer_too_large_for_memory_is_read_at_its_end(monkeypatch: Any) -> None:
    monkeypatch.setattr(answers, "LONGEST", 2000)
    body = compact({"id": "resp_1", "output": [{"x": "y" * 90_000}], "usage": USAGE})
    reading = read_of("openai_responses", body)
    assert (reading.final, reading.usage.output_tokens) == (True, 20)
    assert reading.marks == ("line_too_long",)


@pytest.mark.parametrize("end", [-1, -60])
def test_a_response_that_was_cut_is_charged_at_least_what_came(end: int) -> None:
    body = compact(response({"input_tokens": 90_000, "output_tokens": 300}))
    reading = read_of("openai_responses", body[:end], body_bytes=300)
    assert (reading.final, reading.output_bytes) == (False, len(body[:end]))
    assert reading.usage.input_tokens == (90_000 if end == -1 else 0)
    reading = read_of("openai_responses", body[: body.index(b"300}")], body_bytes=300)
    assert (reading.final, reading.usage.input_tokens, reading.model) == (
        False,
        90_000,
        "gpt-6.1-sol",
    )


def test_a_response_ends_with_its_status_whatever_its_event_is_called() -> None:
    for kind in ("response.cancelled", "response.oracle"):
        whole = response(USAGE, status="cancelled")
        reading = read_of("openai_responses", event(kind, response=whole))
        assert (reading.final, reading.usage.input_tokens) == (True, 100)


def test_usage_so_far_is_the_least_of_an_estimate() -> None:
    whole = response(USAGE, status="in_progress")
    begun = event("response.in_progress", response=whole)
    reading = read_of("openai_responses", begun, complete=False)
    assert (reading.final, reading.usage.input_tokens) == (False, 100)
    assert not of_json(USAGE, status="queued").final
    later = event("response.completed", response=response({**USAGE, "input_tokens": 700}))
    reading = read_of("openai_responses", begun + later)
    assert (reading.final, reading.usage.input_tokens) == (True, 700)


def test_an_end_that_comes_again_and_tells_less_takes_nothing_back() -> None:
    tools = {
        "image_gen": {"input_tokens": 5, "output_tokens": 9},
        "web_search": {"num_requests": 3},
    }
    whole = response(USAGE, service_tier="priority", tool_usage=tools)
    first = event("response.completed", response=whole)
    again = event("response.oracle", response={"id": "resp_1", "status": "completed"})
    reading = read_of("openai_responses", first + again)
    assert reading == read_of("openai_responses", first)
    assert (reading.final, reading.web_searches, len(reading.samplings)) == (True, 3, 2)
