"""Calls whose answer does not tell their cost: what can be known of them all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from abg.bound import BoundFacts
from abg.call import Call
from abg.dialects import DIALECTS, other_meter
from abg.test.wire import compact, data, event, metered, read_of
from abg.usage import Reading, Sampling, Usage

BATCHES = "messages.batches"


def call_of(dialect: str, endpoint: str, body: Any) -> Call:
    raw = body if isinstance(body, bytes) else compact(body)
    return DIALECTS[dialect].read_call(endpoint, raw)


# -- requests --------------------------------------------------------------------------------------


def test_an_unknown_call() -> None:
    body = {"model": "gpt-image-2", "prompt": "a cat", "stream": True, "service_tier": "flex"}
    assert call_of("openai_other", "images.generations", body) == Call(
        "openai_other",
        "images.generations",
        "gpt-image-2",
        stream=True,
        tier="flex",
        body_bytes=len(compact(body)),
    )
    assert (
        call_of("anthropic_other", "complete", {"max_tokens_to_sample": 9}).max_output_tokens == 9
    )
    assert call_of("openai_other", "other", {"max_tokens": 5, "max_output_tokens": 7}) == Call(
        "openai_other", "other", max_output_tokens=7, body_bytes=38
    )


def test_a_body_that_is_none() -> None:
    assert call_of("openai_other", "audio.speech", b"") == Call("openai_other", "audio.speech")
    multipart = b'--x\r\nname="model"\r\n\r\nwhisper'
    unread = call_of("openai_other", "audio.transcriptions", multipart)
    assert (unread.readable, unread.body_bytes) == (False, len(multipart))
    assert call_of("openai_other", "other", b'{"model":"m",').model == "m"


def test_a_batch_is_the_sum_of_its_requests() -> None:
    user = {"user_id": json.dumps({"session_id": "s-1"})}
    requests = [
        {"custom_id": "a", "params": {"max_tokens": 100}},
        {"custom_id": "b", "params": {"model": "claude-opus-5-5", "max_tokens": 200}},
        {"custom_id": "c", "params": {"model": "x", "max_tokens": None, "metadata": user}},
        {"custom_id": "d"},
        5,
    ]
    found = call_of("anthropic_other", BATCHES, {"requests": requests})
    assert (found.model, found.max_output_tokens, found.tier) == ("claude-opus-5-5", 300, "batch")
    assert found.session_hint == "s-1"
    openai = call_of("openai_other", "batches", {"input_file_id": "file-1", "endpoint": "/v1/x"})
    assert (openai.tier, openai.model) == ("batch", "")
    assert call_of("anthropic_other", BATCHES, b"{").tier == "batch"


def test_codex_names_its_session_in_a_search() -> None:
    body = {"id": "0199-session", "model": "gpt-6.1-sol", "max_output_tokens": 10_000}
    found = call_of("openai_other", "alpha.search", body)
    assert (found.session_hint, found.max_output_tokens) == ("0199-session", 10_000)
    assert call_of("openai_other", "alpha.search", {"id": 5}).session_hint is None
    assert call_of("openai_other", "alpha.search", {"id": "x" * 5000}).session_hint is None
    assert call_of("openai_other", "other", {"id": "x"}).session_hint is None


@pytest.mark.parametrize("name", ["anthropic_other", "openai_other"])
def test_nothing_is_changed_in_them(name: str) -> None:
    dialect = DIALECTS[name]
    assert dialect.fingerprint(b'{"messages":[{"role":"user","content":"x"}]}') is None
    assert dialect.ask_for_usage(b"{}") == b"{}"
    assert dialect.lower_output(b"{}", 5) is None
    meter = dialect.meter(Call(name, "other"))
    meter.feed(event("x"))
    assert dialect.cut(meter, "no") == b""


def test_only_one_search_can_be_proven() -> None:
    prove = DIALECTS["openai_other"].bound_facts
    assert prove("alpha.search", b'{"model":"gpt-6.1-sol"}') == BoundFacts(
        "openai", "gpt-6.1-sol", max_output_tokens=0, web_searches=1
    )
    assert prove("alpha.search", b"nonsense").model == ""
    assert "images.edits" in str(prove("images.edits", b"{}").unbounded)
    assert DIALECTS["anthropic_other"].bound_facts(BATCHES, b"{}").unbounded is not None


# -- answers ---------------------------------------------------------------------------------------


def test_an_answer_tells_who_and_under_which_id() -> None:
    body = {"id": "img_1", "model": "gpt-image-2", "usage": {"input_tokens": 5}}
    reading = read_of("openai_other", body, endpoint="images.generations")
    assert (reading.model, reading.response_id, reading.final) == ("gpt-image-2", "img_1", False)
    assert reading.usage == Usage(input_tokens=5)
    assert read_of("openai_other", {"error": {"message": "no"}}, endpoint="other").failed
    assert read_of("openai_other", b"\x89PNG", endpoint="other").response_id is None
    assert read_of("openai_other", b"[]", endpoint="other") == Reading()


def test_a_stream_is_estimated_by_its_text_not_by_its_pictures() -> None:
    text = event("some.delta", delta="hello")
    reading = read_of("openai_other", text + event("image", b64="x" * 5000), endpoint="other")
    assert reading.output_bytes == len(text.rstrip())


DRAWN = {"input_tokens": 50, "output_tokens": 1000}


def test_pictures_are_charged_by_the_tokens_that_are_told() -> None:
    ask = {"endpoint": "images.generations", "model": "gpt-image-2"}
    reading = read_of("openai_other", {"created": 1, "data": [], "usage": DRAWN}, **ask)
    assert (reading.final, reading.samplings) == (
        True,
        (Sampling(Usage(50, image_output_tokens=1000)),),
    )
    streamed = read_of("openai_other", event("image_generation.completed", usage=DRAWN), **ask)
    assert (streamed.final, streamed.samplings) == (True, reading.samplings)
    unread = read_of("openai_other", {"usage": DRAWN}, endpoint="images.edits")
    assert unread.samplings[0].kind == "image", "an upload: nobody read its model"
    for usage in (None, {}, {"input_tokens": 0, "output_tokens": 0}):
        assert read_of("openai_other", {"usage": usage}, **ask).samplings == ()
    part = read_of("openai_other", {"usage": {"output_tokens": 5}}, **ask)
    assert (part.final, len(part.samplings)) == (False, 1)


def test_each_picture_of_a_stream_counts() -> None:
    ask = {"endpoint": "images.generations", "model": "gpt-image-2", "choices": 2}
    one = event("image_generation.completed", usage=DRAWN)
    both = read_of("openai_other", one + one, **ask)
    assert (both.final, both.usage) == (True, Usage(100, image_output_tokens=2000))
    meter, _ = metered("openai_other", [one], complete=False, **ask)
    assert not meter.final
    assert read_of("openai_other", one, **ask).final, "one usage for all"
    part = event("image_generation.completed", usage={"output_tokens": 5})
    assert not read_of("openai_other", part, **ask).final
    assert read_of("openai_other", {"usage": DRAWN}, **ask).usage == Usage(
        50, image_output_tokens=1000
    )
    call = DIALECTS["openai_other"].read_call("images.generations", b'{"n":2}')
    assert call.choices == 2


def test_usage_that_nobody_expected_is_the_least_of_an_estimate() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    for answer in (compact({"usage": usage}), data({"usage": usage})):
        reading = read_of("openai_other", answer, endpoint="other")
        assert (reading.final, reading.usage) == (False, Usage(10, output_tokens=5))
    assert read_of("openai_other", data(b'"usage"'), endpoint="other").samplings == ()


def test_one_search_is_assumed_for_codex() -> None:
    ask = {"endpoint": "alpha.search", "model": "gpt-6.1-sol"}
    found = Reading(final=True, web_searches=1, marks=("search_assumed",))
    assert read_of("openai_other", {"results": []}, **ask) == found
    cut, _ = metered("openai_other", [b'{"results":['], complete=False, **ask)
    assert cut.reading == found
    refused = read_of("openai_other", {"error": {"message": "no"}}, **ask)
    assert (refused.final, refused.web_searches, refused.failed) == (False, 0, True)
    assert read_of("openai_other", {"error": None, "results": []}, **ask).final
    assert not metered("openai_other", [b' {"error":{"mess'], complete=False, **ask)[0].final
    assert not read_of("openai_other", b"<html>", **ask).final
    assert not read_of("openai_other", b"", **ask).final


# -- OpenAI's batches ------------------------------------------------------------------------------

BATCH_USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 200},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 100},
}


def test_a_batch_of_openai_tells_its_usage_once_it_has_ended() -> None:
    batch = {"id": "batch_1", "object": "batch", "status": "in_progress", "usage": None}
    created = read_of("openai_other", batch, endpoint="batches")
    assert created == Reading(tier="batch", response_id="batch_1")
    running = read_of("openai_other", {**batch, "usage": BATCH_USAGE}, endpoint="batches")
    assert not running.final
    ended = {**batch, "status": "completed", "model": "gpt-6-luna", "usage": BATCH_USAGE}
    assert read_of("openai_other", ended, endpoint="batches") == Reading(
        samplings=(Sampling(Usage(800, 200, output_tokens=300)),),
        model="gpt-6-luna",
        final=True,
        tier="batch",
        reasoning_tokens=100,
        response_id="batch_1",
    )
    odd = {**ended, "usage": {**BATCH_USAGE, "input_tokens": 1, "output_tokens": None}}
    reading = read_of("openai_other", odd, endpoint="batches")
    assert (reading.final, reading.marks) == (False, ("clamped",))
    for status in ("failed", "expired", "cancelled"):
        assert read_of("openai_other", {**ended, "status": status}, endpoint="batches").final


# -- Anthropic's batches ---------------------------------------------------------------------------


def line(custom_id: str, usage: Any, kind: str = "succeeded", **more: Any) -> bytes:
    message = {
        "id": "msg_1",
        "model": "claude-opus-5-5",
        "content": [{"type": "text", "text": "x"}],
        "stop_reason": "end_turn",
        "usage": usage,
        **more,
    }
    result = {"type": kind, "message": message} if kind == "succeeded" else {"type": kind}
    return compact({"custom_id": custom_id, "result": result}) + b"\n"


USED = {"input_tokens": 10, "output_tokens": 5, "service_tier": "batch"}
RESULTS = b"".join(
    [
        line("a", USED),
        line(
            "b", {**USED, "server_tool_use": {"web_search_requests": 2}}, model="claude-haiku-5-5"
        ),
        line("c", None, kind="errored"),
        line("d", {"input_tokens": 99, "output_tokens": 0}, content=[], stop_reason="refusal"),
        line("e", {**USED, "inference_geo": "us", "speed": "fast", "output_tokens": -1}),
    ]
)


def test_the_results_of_a_batch_are_read_line_by_line() -> None:
    whole = read_of("anthropic_other", RESULTS, endpoint=BATCHES)
    assert whole == Reading(
        samplings=(
            Sampling(Usage(10, output_tokens=5), "claude-opus-5-5"),
            Sampling(Usage(10, output_tokens=5), "claude-haiku-5-5"),
            Sampling(Usage(10), "claude-opus-5-5"),
        ),
        model="claude-opus-5-5",
        final=True,
        tier="batch",
        speed="fast",
        geo="us",
        web_searches=2,
        marks=("clamped",),
    )
    for at in range(0, len(RESULTS), 7):
        for rest in (RESULTS[at:], RESULTS[at:].rstrip()):
            pieces = [RESULTS[:at], rest]
            meter, out = metered("anthropic_other", pieces, endpoint=BATCHES)
            assert (meter.reading, out) == (whole, b"".join(pieces))
    singly = [RESULTS[i : i + 1] for i in range(len(RESULTS))]
    assert metered("anthropic_other", singly, endpoint=BATCHES)[0].reading == whole


def test_many_results() -> None:
    lines = [line(str(number), USED) for number in range(1000)]
    meter, _ = metered("anthropic_other", lines, endpoint=BATCHES)
    assert (meter.final, len(meter.reading.samplings)) == (True, 1000)
    assert meter.end(False) == b""
    assert meter.final, "it ends once"


def test_results_that_were_cut_are_no_last_word() -> None:
    meter, _ = metered("anthropic_other", [RESULTS[:-30]], complete=False, endpoint=BATCHES)
    assert not meter.final
    assert meter.reading.usage.input_tokens == 20


def test_a_batch_that_was_taken_has_an_id_and_an_estimate() -> None:
    created = {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"}
    reading = read_of("anthropic_other", created, endpoint=BATCHES, max_output_tokens=300)
    assert (reading.response_id, reading.final, reading.output_bytes) == ("msgbatch_1", False, 900)
    looked_at = read_of("anthropic_other", created, endpoint=BATCHES)
    assert looked_at.output_bytes == 0
    pretty = json.dumps(created, indent=2).encode()
    spread = read_of("anthropic_other", pretty, endpoint=BATCHES)
    assert (spread.response_id, spread.final) == ("msgbatch_1", False)
    assert not read_of("anthropic_other", b"\n\nnonsense\n[1]\n", endpoint=BATCHES).final


def test_a_line_too_long_is_left_out(monkeypatch: Any) -> None:
    monkeypatch.setattr(other_meter, "LONGEST", 400)
    long = line("z", USED, content=[{"type": "text", "text": "x" * 900}])
    for step in (50, 300, 5000):
        told = line("a", USED) + long + line("b", USED)
        pieces = [told[i : i + step] for i in range(0, len(told), step)]
        meter, _ = metered("anthropic_other", pieces, endpoint=BATCHES)
        assert (len(meter.reading.samplings), meter.final) == (2, False)
        assert meter.reading.marks == ("line_too_long",)


def test_pictures_of_an_answer_that_was_cut_are_no_last_word() -> None:
    ask = {"endpoint": "images.generations", "model": "gpt-image-2"}
    body = compact({"created": 1, "data": [], "usage": DRAWN})
    reading = read_of("openai_other", body[:-1], **ask)
    assert (reading.final, reading.usage) == (False, Usage(50, image_output_tokens=1000))
    reading = read_of("openai_other", body[:-9], **ask)
    assert (reading.final, reading.usage) == (False, Usage(50)), "and what was told is kept"
