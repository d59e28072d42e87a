"""Money through the whole corridor: what a vendor answers, and what the ledger then says.

The meters and the price table have their own tables of examples; here is shown that nothing gets
lost between them: not the tools' money, not usage that comes later, not what nobody can meter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.background import OpenCalls
from abg.ledger import Entry, decode, encode
from abg.test.playbook import CLAUDE, CODEX, LOCAL, Client, Stage

CHATGPT = [
    *LOCAL,
    (b"authorization", b"Bearer fake.plan.token"),
    (b"chatgpt-account-id", b"fake"),
    (b"session-id", b"codex-1"),
]
UPLOAD = [
    LOCAL[0],
    (b"content-type", b"multipart/form-data; boundary=x"),
    (b"authorization", b"Bearer sk-fake"),
]
SOL = "gpt-6.1-sol"
# input 2, cached 0.10, output 10; opus-5-5: input 4, cache read 0.20, write 5 and 8, output 20
THOUSAND_EACH = {"input_tokens": 1000, "output_tokens": 1000}
ways = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


def response(**more: Any) -> dict[str, Any]:
    base = {"id": "resp_1", "object": "response", "status": "completed", "model": SOL}
    return {**base, "output": [], "usage": THOUSAND_EACH, **more}


def message(usage: Any, model: str = "claude-opus-5-5", **more: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "x"}]
    base = {"id": "msg_1", "type": "message", "model": model, "content": content}
    return {**base, "stop_reason": "end_turn", "usage": usage, **more}


def event(data: Mapping[str, Any]) -> bytes:
    named = f"event: {data['type']}\n" if "type" in data else ""
    return f"{named}data: {json.dumps(data)}\n\n".encode()


def as_events(answer: dict[str, Any]) -> Iterator[bytes]:
    """An answer as its stream."""
    kind = answer.get("object")
    if kind == "response":
        begun = {**answer, "status": "in_progress", "usage": None, "output": []}
        begun["service_tier"] = "auto"
        begun.pop("tool_usage", None)
        yield event({"type": "response.created", "response": begun})
        yield event({"type": "response.completed", "response": answer})
    elif kind == "chat.completion":
        base = {**answer, "object": "chat.completion.chunk", "choices": []}
        usage = base.pop("usage")
        yield event({**base, "choices": [{"index": 0, "delta": {"content": "x"}}]})
        yield event({**base, "usage": usage}) + b"data: [DONE]\n\n"
    else:
        usage = answer["usage"]
        begun = {**answer, "content": [], "stop_reason": None, "usage": {"input_tokens": 1}}
        yield event({"type": "message_start", "message": begun})
        for index, block in enumerate(answer["content"]):
            yield event({"type": "content_block_start", "index": index, "content_block": block})
        ended = {"stop_reason": answer["stop_reason"]}
        yield event({"type": "message_delta", "delta": ended, "usage": usage})
        yield event({"type": "message_stop"})


PATHS = {"response": b"/v1/responses", "chat.completion": b"/v1/chat/completions"}


def told(
    answer: dict[str, Any],
    stream: bool,
    stage: Stage | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
    **asked: Any,
) -> Entry:
    """The entry of a call that is so answered; the client gets the answer byte for byte."""
    stage = Stage() if stage is None else stage
    path = PATHS.get(str(answer.get("object")), b"/v1/messages")
    body = {"model": answer["model"], "stream": stream, **asked}
    if stream:
        body["stream_options"] = {"include_usage": True}
    own = CLAUDE if path == b"/v1/messages" else CODEX
    client = stage.ask(path, body, headers or own)
    pieces = list(as_events(answer)) if stream else [json.dumps(answer).encode()]
    vendor = stage.vendor()
    vendor.head()
    for piece in pieces:
        vendor.data(piece[:7])
        vendor.data(piece[7:])
    vendor.finish()
    assert client.received == b"".join(pieces)
    return stage.entries[-1]


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
    assert (entry.cost_usd, entry.cost_source, entry.action) == (0, "none", "allow")
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


# -- usage that comes later ------------------------------------------------------------------------


def restarted(stage: Stage) -> Stage:
    """A new program that knows only what the ledger's lines say."""
    new = Stage()
    for record in stage.ledger.records:
        read = decode(encode(record, None))
        assert not isinstance(read, str)
        new.ledger.records.append(read)
        new.book.apply(read)
        new.opened.apply(read)
    again = OpenCalls()
    again.load(json.loads(json.dumps(new.opened.dump())))
    assert again.dump() == stage.opened.dump()
    return new


def fetch(stage: Stage, path: bytes, answer: Any, headers: Any = None) -> Client:
    client = stage.ask(path, b"", headers or CODEX, b"GET")
    stage.vendor().answer(200, answer)
    return client


@pytest.mark.parametrize("restart", [False, True])
def test_a_background_response_is_corrected_once(restart: bool) -> None:
    stage = Stage()
    told(response(status="queued", usage=None), False, stage, background=True)
    first = stage.entries[0]
    assert (first.cost_source, first.open, first.marks) == ("estimated", "resp_1", ("estimated",))
    assert first.cost_usd > 0
    if restart:
        stage = restarted(stage)
        assert stage.book.session_total("codex-1") == first.cost_usd
    fetch(stage, b"/v1/responses/resp_1", response(status="in_progress", usage=None))
    fetch(stage, b"/v1/responses/resp_2", response(id="resp_2"))
    assert stage.events == []
    for _ in range(2):
        # Whoever fetches it, and from whatever session: it is the session of the POST that pays.
        fetch(stage, b"/v1/responses/resp_1", response(), [*CODEX[:-1], (b"session-id", b"other")])
    (adjust,) = stage.events
    assert adjust.data["session_id"] == "codex-1"
    assert first.cost_usd + adjust.data["cost_usd"] == Decimal("0.012")
    assert stage.book.session_total("codex-1") == Decimal("0.012")
    assert stage.book.session_total("other") == 0
    last = restarted(stage)
    fetch(last, b"/v1/responses/resp_1", response())
    assert len(last.events) == 1
    assert last.book.session_total("codex-1") == Decimal("0.012")


def test_a_background_stream_that_broke_off_is_corrected_too() -> None:
    stage = Stage()
    asked = {"model": SOL, "background": True, "stream": True}
    stage.ask(b"/v1/responses", asked, CODEX)
    vendor = stage.vendor()
    vendor.head()
    begun = response(status="queued", usage=None)
    vendor.data(event({"type": "response.created", "response": begun}))
    stage.pass_time(2)
    vendor.fail()
    assert stage.entries[0].open == "resp_1"
    rest = b"".join(as_events(response()))
    fetch(stage, b"/v1/responses/resp_1?stream=true&starting_after=1", rest)
    assert stage.book.session_total("codex-1") == Decimal("0.012")


def test_a_background_response_that_failed_without_usage_stays_an_estimate() -> None:
    stage = Stage()
    told(response(status="queued", usage=None), False, stage, background=True)
    fetch(stage, b"/v1/responses/resp_1", response(status="failed", usage=None))
    assert stage.events == []


REQUESTS = [{"custom_id": n, "params": {"model": "claude-opus-5-5", "max_tokens": 9}} for n in "ab"]


def result(usage: Any) -> bytes:
    told = message(usage)
    line = {"custom_id": "a", "result": {"type": "succeeded", "message": told}}
    return json.dumps(line).encode() + b"\n"


@pytest.mark.parametrize("restart", [False, True])
def test_a_message_batch_is_corrected_by_its_results(restart: bool) -> None:
    stage = Stage()
    batch = {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"}
    stage.ask(b"/v1/messages/batches", {"requests": REQUESTS})
    stage.vendor().answer(200, batch)
    first = stage.entries[0]
    assert (first.cost_source, first.open, first.tier) == ("estimated", "msgbatch_1", "batch")
    assert first.cost_usd > 0
    if restart:
        stage = restarted(stage)
    fetch(stage, b"/v1/messages/batches/msgbatch_1", batch, CLAUDE)
    failed = b'{"custom_id":"c","result":{"type":"errored","error":{}}}\n'
    lines = result({**THOUSAND_EACH, "service_tier": "batch"}) + failed + result(THOUSAND_EACH)
    for _ in range(2):
        stage.ask(b"/v1/messages/batches/msgbatch_1/results", b"", CLAUDE, b"GET")
        vendor = stage.vendor()
        vendor.head(200, [(b"content-type", b"application/x-jsonl")])
        for at in range(0, len(lines), 50):
            vendor.data(lines[at : at + 50])
        vendor.finish()
    assert len(stage.events) == 1
    assert stage.book.session_total(first.session_id) == Decimal("0.024")


def test_results_that_came_in_part_correct_nothing() -> None:
    stage = Stage()
    stage.ask(b"/v1/messages/batches", {"requests": REQUESTS})
    stage.vendor().answer(200, {"id": "msgbatch_1", "type": "message_batch"})
    stage.ask(b"/v1/messages/batches/msgbatch_1/results", b"", CLAUDE, b"GET")
    vendor = stage.vendor()
    vendor.head(200)
    vendor.data(result(THOUSAND_EACH))
    vendor.fail()
    assert stage.events == []


def test_openais_batch_is_corrected_when_it_has_ended() -> None:
    stage = Stage()
    batch = {"id": "batch_1", "object": "batch", "status": "validating"}
    stage.ask(b"/v1/batches", {"input_file_id": "file-1"}, CODEX)
    stage.vendor().answer(200, batch)
    assert stage.entries[0].open == "batch_1"
    fetch(stage, b"/v1/batches/batch_1", batch)
    ended = {**batch, "status": "completed", "model": SOL, "usage": THOUSAND_EACH}
    for _ in range(2):
        fetch(stage, b"/v1/batches/batch_1", ended)
    assert len(stage.events) == 1
    assert stage.book.session_total("codex-1") == Decimal("0.006")


# -- what nobody can meter -------------------------------------------------------------------------

UNMETERED = {
    "images.variations": (b"/v1/images/variations", b"x" * 999, UPLOAD, {"data": []}),
    "audio.speech": (b"/v1/audio/speech", b'{"model":"tts-1","input":"x"}', CODEX, b"\xff\xf3\0"),
    "audio.transcriptions": (b"/v1/audio/transcriptions", b"x" * 999, UPLOAD, {"text": "x"}),
    "videos": (b"/v1/videos", b'{"model":"sora-2"}', CODEX, {"id": "video_1"}),
    "complete": (b"/v1/complete", b'{"model":"claude-2"}', CLAUDE, {"completion": "x"}),
    "unknown paths": (b"/v1/tomorrow", b'{"a":1}', CODEX, {"ok": True}),
}


@pytest.mark.parametrize("kind", UNMETERED)
def test_a_call_that_nobody_can_meter_is_no_zero(kind: str) -> None:
    path, body, headers, answer = UNMETERED[kind]
    stage = Stage(session_budget_usd=Decimal("0.9"), daily_budget_usd=None)
    for _ in range(2):
        client = stage.ask(path, body, headers)
        stage.vendor().answer(200, answer)
        assert client.status == 200
    for entry in stage.entries:
        assert (entry.cost_source, entry.marks) == ("estimated", ("estimated",))
        assert entry.cost_usd > Decimal("0.04")
    said = [line for line in stage.lines if line.startswith("[abg] cannot meter")]
    assert len(said) == 1
    assert said[0].startswith(f"[abg] cannot meter {kind}: charged by a dear estimate, ")
    assert not [line for line in stage.lines if "(none)" in line]
    session = stage.entries[0].session_id
    stage.spend("0.9", session)
    sent = len(stage.sent)
    client = stage.ask(path, body, headers)
    assert client.status in (400, 402)
    assert "Session budget exhausted" in client.json["error"]["message"]
    assert len(stage.sent) == sent
    assert stage.entries[-1].action == "block"


def test_an_unknown_path_that_fails_costs_nothing() -> None:
    stage = Stage()
    stage.ask(b"/v1/tomorrow", {"a": 1}, CODEX)
    stage.vendor().answer(404, {"error": {"message": "no such path"}})
    assert (stage.entries[0].cost_usd, stage.entries[0].cost_source) == (0, "none")


DRAWN = {"input_tokens": 20, "output_tokens": 62_080, "total_tokens": 62_100}


def test_pictures_are_charged_by_the_tokens_they_tell() -> None:
    stage = Stage(session_budget_usd=None)
    asked = {"model": "gpt-image-2", "prompt": "x", "n": 10}
    stage.ask(b"/v1/images/generations", asked, CODEX)
    stage.vendor().answer(200, {"data": [{"b64_json": "A" * 20_000}], "usage": DRAWN})
    # 20 x 8 + 62080 x 30
    assert stage.entries[0].cost_usd == Decimal("1.86256")
    assert stage.entries[0].cost_source == "measured"
    stage.ask(b"/v1/images/generations", {**asked, "stream": True}, CODEX)
    vendor = stage.vendor()
    vendor.head()
    partial = {"type": "image_generation.partial_image", "b64_json": "A" * 9000}
    vendor.data(event(partial))
    vendor.data(event({**partial, "type": "image_generation.completed", "usage": DRAWN}))
    assert stage.entries[1].cost_usd == Decimal("1.86256")
    stage.ask(b"/v1/images/edits", b"x" * 1000, UPLOAD)
    stage.vendor().answer(200, {"data": [], "usage": DRAWN})
    assert stage.entries[2].marks == ("image_model_assumed",)
    assert stage.entries[2].cost_usd >= Decimal("1.86256")
    stage.ask(b"/v1/images/generations", asked, CODEX)
    stage.vendor().answer(200, {"data": [], "usage": {"input_tokens": -1, "output_tokens": "x"}})
    assert stage.entries[3].cost_source == "estimated"
    assert stage.entries[3].cost_usd > Decimal("0.1")


def test_usage_that_was_not_expected_is_the_least_of_an_estimate() -> None:
    stage = Stage(session_budget_usd=None)
    usage = {"type": "tokens", "input_tokens": 140_000, "output_tokens": 45}
    stage.ask(b"/v1/audio/transcriptions", b"x" * 1000, UPLOAD)
    stage.vendor().answer(200, {"text": "x", "usage": usage})
    assert stage.entries[0].cost_source == "estimated"
    assert stage.entries[0].input_tokens == 140_000
    assert stage.entries[0].output_tokens == 4096
    stage.ask(b"/v1/audio/speech", {"model": "gpt-audio", "stream_format": "sse"}, CODEX)
    vendor = stage.vendor()
    vendor.head()
    vendor.data(event({"type": "speech.audio.delta", "audio": "A" * 9000}))
    vendor.data(event({"type": "speech.audio.done", "usage": {**usage, "output_tokens": 9000}}))
    vendor.finish()
    assert stage.entries[1].cost_source == "estimated"
    assert (stage.entries[1].input_tokens, stage.entries[1].output_tokens) == (140_000, 9000)


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
