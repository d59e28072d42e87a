"""Usage that comes later than the answer, and what nobody can meter, through the whole corridor."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from abg.background import OpenCalls
from abg.ledger import Entry, Event, decode, encode
from abg.test.playbook import CLAUDE, CODEX, LOCAL, Client, Stage
from abg.test.told import SOL, THOUSAND_EACH, as_events, event, message, response, told

UPLOAD = [
    LOCAL[0],
    (b"content-type", b"multipart/form-data; boundary=x"),
    (b"authorization", b"Bearer sk-fake"),
]

# -- usage that comes later ------------------------------------------------------------------------


def restarted(stage: Stage) -> Stage:
    """A new program that knows only what the ledger's lines say."""
    new = Stage()
    for record in stage.ledger.records:
        read = decode(encode(record, None))
        assert isinstance(read, (Entry, Event))
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

UNMETERED: dict[str, tuple[bytes, bytes, Any, Any]] = {
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
        sound = ("kind_rate_assumed",) if kind == "audio.speech" else ()
        assert (entry.cost_source, entry.marks) == ("estimated", ("estimated", *sound))
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
    assert stage.entries[0].cost_usd == 0
    assert stage.entries[0].cost_source == "none"


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
    vendor.finish()  # ten were asked for: another could have come
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
