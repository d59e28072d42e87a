"""Chat Completions, completions, embeddings: usage, and the usage that abg alone asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abg.call import Call
from abg.dialects import DIALECTS
from abg.test.wire import compact, data, metered, read_of, relayed, split_at
from abg.usage import Reading, Sampling, Usage

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
BASE = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1764000000,
    "model": "gpt-4o",
    "service_tier": "default",
    "system_fingerprint": None,
}
DONE = data(b"[DONE]")


def chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**BASE, "choices": [choice], **more}


def whole(usage: Any, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}}
    told = {**BASE, "object": "chat.completion", "choices": [choice], "usage": usage}
    return {**told, **more}


def stream(usage: Any = USAGE, *, null: bool = False, **more: Any) -> bytes:
    """A stream with its usage chunk; ``null``: every other chunk has the word, as was asked."""
    said = {"usage": None} if null else {}
    chunks = [
        chunk({"role": "assistant", "content": ""}, **said),
        chunk({"content": "Hello"}, **said),
        chunk({"content": ' "you"},'}, **said),
        chunk({}, "stop", **said),
        {**BASE, "choices": [], "usage": usage, **more},
    ]
    return b"".join(map(data, chunks)) + DONE


def plain() -> bytes:
    """The same as it comes when nobody asks for usage."""
    told = stream()
    at = told.index(data({**BASE, "choices": [], "usage": USAGE}))
    return told[:at] + DONE


# -- counts ----------------------------------------------------------------------------------------


def test_an_answer_as_json() -> None:
    usage = {
        **USAGE,
        "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 10, "cache_write_tokens": 5},
        "completion_tokens_details": {
            "reasoning_tokens": 8,
            "audio_tokens": 2,
            "accepted_prediction_tokens": 3,
            "rejected_prediction_tokens": 4,
        },
    }
    assert read_of("openai_chat", whole(usage)) == Reading(
        samplings=(
            Sampling(
                Usage(
                    55,
                    30,
                    cache_write_30m_tokens=5,
                    output_tokens=18,
                    audio_input_tokens=10,
                    audio_output_tokens=2,
                )
            ),
        ),
        model="gpt-4o",
        final=True,
        tier="default",
        reasoning_tokens=8,
        response_id="chatcmpl-1",
    )


def test_the_same_as_a_stream() -> None:
    reading = read_of("openai_chat", stream())
    assert reading.final
    assert reading.usage == Usage(100, output_tokens=20)
    assert (reading.model, reading.tier, reading.response_id) == ("gpt-4o", "default", "chatcmpl-1")
    assert reading.output_bytes == 12, "13 letters, roughly"


def test_the_tier_is_that_of_the_last_chunk() -> None:
    assert read_of("openai_chat", stream(service_tier="flex")).tier == "flex"
    assert read_of("openai_chat", stream(service_tier=None)).tier == "default"


def test_final_at_the_chunk_that_brings_the_usage() -> None:
    told = stream()
    meter, _ = metered("openai_chat", [told[: -len(DONE)]], complete=False)
    assert meter.final
    meter, _ = metered(
        "openai_chat",
        [
            told[: -len(DONE)],
            data({**BASE, "usage": {"prompt_tokens": 1, "completion_tokens": 9999}, "choices": []}),
        ],
    )
    assert meter.reading.usage.output_tokens == 20


def test_usage_before_the_end_of_the_choices_is_one_so_far() -> None:
    early = data({**BASE, "choices": [], "usage": {**USAGE, "completion_tokens": 0}})
    words = data(chunk({"content": "x"}))
    last = data({**BASE, "choices": [], "usage": USAGE})
    for at, stream in enumerate((early + words + last, words + early + words + last)):
        meter, _ = metered("openai_chat", [stream], complete=False)
        assert (meter.final, meter.reading.usage.output_tokens) == (False, 20), at
        assert metered("openai_chat", [stream + DONE])[0].final
    finished = early + words + data(chunk({"content": "y"}, "stop")) + last
    assert metered("openai_chat", [finished], complete=False)[0].final
    assert metered("openai_chat", [early + DONE])[0].reading.usage.output_tokens == 0


def growing(at: int) -> dict[str, Any]:
    """A chunk of a server that tells the usage so far in each."""
    return chunk({"content": "x"}, usage={"prompt_tokens": 100, "completion_tokens": at})


def test_usage_so_far_is_final_only_at_the_end() -> None:
    begun = b"".join(data(growing(at)) for at in (1, 2, 3))
    meter, _ = metered("openai_chat", [begun], complete=False)
    assert not meter.final
    assert meter.reading.usage.output_tokens == 3
    for end in (DONE, b""):
        meter, _ = metered("openai_chat", [begun + end])
        assert meter.final
        assert meter.reading.usage.output_tokens == 3
        assert meter.reading.output_bytes == 3


@pytest.mark.parametrize("usage", [None, {}, "none", {"prompt_tokens": 5}])
def test_no_usage_is_no_last_word(usage: Any) -> None:
    for answer in (whole(usage), stream(usage)):
        reading = read_of("openai_chat", answer)
        assert not reading.final
        assert reading.output_bytes > 0
    assert not read_of("openai_chat", plain()).final


def test_an_error() -> None:
    error = {"error": {"message": "no", "type": "server_error"}}
    reading = read_of("openai_chat", error)
    assert (reading.failed, reading.final, reading.output_bytes) == (True, False, 0)
    assert read_of("openai_chat", data(chunk({"content": "x"})) + data(error)).failed


def test_strange_chunks_mean_nothing() -> None:
    strange = [
        b": [DONE]\n\n",
        data(b"nonsense"),
        data(b"5"),
        b"event: x\n\n",
        data({}),
        data({"choices": [], "prompt_filter_results": []}),
    ]
    told = stream()
    at = len(data(chunk({"role": "assistant", "content": ""})))
    for one in strange:
        reading = read_of("openai_chat", told[:at] + one + told[at:])
        assert reading == read_of("openai_chat", told)
        read_of("openai_chat", one)


DELTAS = {
    b'{"choices":[{"delta":{"content":"abc"},"logprobs":null}]}': 3,
    b'{"choices":[{"delta":{"content":"abc"}}]}': 3,
    b'{"choices":[{"delta":{"content":null,"reasoning_content":"abcd"},"x":1}]}': 4,
    b'{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{\\"a\\""}}]}}]}': 6,
    b'{"choices":[{"text":"abc","index":0}]}': 3,
    b'{"choices":[{"delta":{"content":""},"logprobs":null}]}': 0,
    b'{"choices":[{"delta":{"role":"assistant"}}]}': 0,
    b'{"choices":[{"delta":{"content": "abc"}}]}': 3,
    b'{"choices": [{"index": 0, "delta": {"content": "abc"}, "finish_reason": null}]}': 3,
    b'{"choices":[{"delta":{"content":"abc","role":"assistant"},"index":0}]}': 3,
    b'{"choices":[{"delta":{"refusal":"abc"},"index":0}]}': 3,
    b'{"choices":[{"delta":{"audio":{"id":"a","transcript":"abc","data":"AAAA"}},"index":0}]}': 3,
    b'{"choices":[{"delta":{"function_call":{"arguments":"abc"}},"index":0}]}': 3,
    b'{"choices":[{"text": "abc", "index": 0}]}': 3,
    b'{"choices":["x"]}': 0,
    b"nonsense": 0,
}


@pytest.mark.parametrize("told", DELTAS)
def test_generated_text_is_counted_roughly(told: bytes) -> None:
    begin = data(chunk({"role": "assistant"}))
    line = data(told)
    for at in range(len(line)):
        meter, _ = metered("openai_chat", [begin, line[:at], line[at:]])
        assert meter.reading.output_bytes == DELTAS[told]


# -- search models ---------------------------------------------------------------------------------


def test_a_search_model_searches_once_in_every_call() -> None:
    for model in ("gpt-4o-search-preview", "gpt-5-search-api-2025-10-14"):
        reading = read_of("openai_chat", whole(USAGE, model=model))
        assert (reading.web_searches, reading.marks) == (1, ("search_assumed",))
    asked = read_of("openai_chat", whole(USAGE, model=None), model="gpt-4o-mini-search-preview")
    assert asked.web_searches == 1
    assert read_of("openai_chat", whole(USAGE, model="gpt-research")).web_searches == 0
    assert read_of("openai_chat", whole(None, model="gpt-4o-search-preview")).web_searches == 0


# -- completions and embeddings --------------------------------------------------------------------


def test_old_completions() -> None:
    body = {"id": "cmpl-1", "model": "gpt-3.5-turbo-instruct", "choices": [{"text": "x"}]}
    reading = read_of("openai_completions", {**body, "usage": USAGE})
    assert (reading.final, reading.usage) == (True, Usage(100, output_tokens=20))
    pieces = data({**body, "usage": None}) + data({**body, "choices": [], "usage": USAGE}) + DONE
    assert read_of("openai_completions", pieces).final


def test_embeddings_have_input_alone() -> None:
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    body = {"object": "list", "data": [], "model": "text-embedding-3-small", "usage": usage}
    reading = read_of("openai_embeddings", body)
    assert (reading.final, reading.usage, reading.marks) == (True, Usage(8), ())
    assert read_of("openai_embeddings", {**body, "usage": None}).output_bytes == 0
    assert not read_of("openai_embeddings", {**body, "usage": {}}).final


# -- the usage that abg alone asked for ------------------------------------------------------------

ENDS = [b"\n", b"\r\n", b"\r"]


@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize("end", ENDS)
def test_the_client_gets_what_it_asked_for(end: bytes, null: bool) -> None:
    told = stream(null=null).replace(b"\n", end)
    expected = plain().replace(b"\n", end)
    for at in range(len(told) + 1):
        pieces = told[:at], told[at:]
        meter, out = metered("openai_chat", pieces, include_usage=False)
        assert out == expected
        assert meter.final
        assert meter.reading.usage == Usage(100, output_tokens=20)
    assert relayed("openai_chat", *split_at(told, range(len(told))), include_usage=False) == (
        expected
    )


def test_a_chunk_that_brings_more_than_usage_stays() -> None:
    last = data(chunk({"content": "x"}, "stop", usage=USAGE))
    filtered = data({"choices": [], "prompt_filter_results": [], "usage": None})
    told = filtered + last + DONE
    expected = told.replace(b',"usage":null', b"")
    assert relayed("openai_chat", told, include_usage=False) == expected
    odd = data({"choices": [], "usage": 5})
    assert relayed("openai_chat", odd, include_usage=False) == odd


def test_the_word_is_taken_out_however_it_is_spelt() -> None:
    spelt = b'data: {"usage": null, "choices": [{}], "x": {"y":1} , "usage" :null}\n\n'
    rest = b'data: {"choices": [{}], "x": {"y":1} }\n\n'
    for at in range(len(spelt)):
        pieces = (spelt[:at], spelt[at:])
        assert relayed("openai_chat", *pieces, include_usage=False) == rest
    # But never out of a text: its quotes are escaped there.
    text = data(chunk({"content": 'say ,"usage":null twice ,"usage":null'}))
    assert relayed("openai_chat", text, include_usage=False) == text


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_what_stands_deeper_is_the_vendor_s_own(separators: tuple[str, str]) -> None:
    choice = {"index": 0, "usage": None, "delta": {"content": "x"}, "logprobs": None}
    told = {"choices": [choice], "x_other": {"id": 1, "usage": None}}
    [with_null, without] = (
        b"data: %s\n\n" % json.dumps(value, separators=separators).encode()
        for value in ({**told, "usage": None}, told)
    )
    for stream, rest in ((with_null, without), (without, without)):
        for at in range(len(stream)):
            pieces = (stream[:at], stream[at:])
            assert relayed("openai_chat", *pieces, include_usage=False) == rest
        assert relayed("openai_chat", stream, stream * 2, include_usage=False) == rest * 3


def test_many_chunks_in_one_piece() -> None:
    told = stream(null=True)
    first = data(chunk({"role": "assistant", "content": ""}, usage=None))
    out = relayed("openai_chat", first, told[len(first) :], include_usage=False)
    assert out == plain()
    words = data(chunk({"content": "x"}, usage=None))
    taken = words.replace(b',"usage":null', b"")
    assert relayed("openai_chat", words, words * 3, include_usage=False) == taken * 4
    bare = data(chunk({"content": "x"}))
    assert relayed("openai_chat", bare, bare * 3, include_usage=False) == bare * 4


def test_an_answer_that_is_no_stream_passes_whole() -> None:
    body = compact(whole(USAGE))
    for lead in (b"", b"\n", b"\xef\xbb\xbf"):
        for at in range(len(lead) + 3):
            told = lead + body
            meter, out = metered("openai_chat", [told[:at], told[at:]], include_usage=False)
            assert (out, meter.final) == (told, True)
    for garbage in (b"", b" \n", b"\xef\xbb", b"<html>", b"data: {", b"{"):
        assert relayed("openai_chat", garbage, include_usage=False) == garbage


def test_whole_events_can_be_asked_for() -> None:
    meter = DIALECTS["openai_chat"].meter(
        Call("openai_chat", "chat.completions"), whole_events=True
    )
    told = stream()
    assert not meter.whole
    assert meter.feed(told[:5]) == b""
    assert meter.feed(told[5:-5]) + meter.feed(told[-5:]) == told
    assert meter.whole
    assert meter.end(True) == b""


@pytest.mark.parametrize("end", [-1, -60])
def test_a_completion_that_was_cut_is_charged_at_least_what_came(end: int) -> None:
    body = compact(whole({**USAGE, "prompt_tokens": 90_000}))
    reading = read_of("openai_chat", body[:end], body_bytes=300)
    assert (reading.final, reading.output_bytes) == (False, len(body[:end]))
    assert reading.usage.input_tokens == (90_000 if end == -1 else 0)
    reading = read_of("openai_chat", body[: body.index(b'"total_tokens')], body_bytes=300)
    assert (reading.final, reading.usage.input_tokens) == (False, 90_000)


def test_choices_in_one_chunk_are_counted_each() -> None:
    choices = [{"index": at, "delta": {"content": "abc"}, "logprobs": None} for at in range(3)]
    for dialect, told in (
        ("openai_chat", choices),
        ("openai_completions", [{"index": at, "text": "abc"} for at in range(3)]),
    ):
        call = Call(dialect, "", "m", stream=True, choices=3)
        meter = DIALECTS[dialect].meter(call)
        meter.feed(data({"choices": told}) * 2)
        assert meter.output_bytes == 18


def test_a_total_stands_in_for_an_input_that_nobody_told() -> None:
    usage = {"completion_tokens": 20, "total_tokens": 9_020}
    reading = read_of("openai_chat", whole(usage), body_bytes=300)
    assert (reading.usage.input_tokens, reading.marks) == (9_000, ("clamped",))


def test_what_goes_on_is_counted_wherever_it_stands() -> None:
    call = {"function": {"arguments": "abcde"}}
    for delta, size in (
        ({"tool_calls": [call]}, 5),
        ({"refusal": "abc"}, 3),
        ({"audio": {"transcript": "ab"}}, 2),
        ({}, 0),
    ):
        told = data(chunk({"role": "assistant"})) + data(chunk(delta))
        assert read_of("openai_chat", told, complete=False).output_bytes == size
