"""The corridor, step by step: every way a call can go, and its one ledger entry."""

from __future__ import annotations

import gzip
import json
import zlib
from decimal import Decimal

import pytest

from abg.test.playbook import CLAUDE, CODEX, LOCAL, Client, Stage

MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "model": "claude-opus-4-8",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1000, "output_tokens": 200},
}
COST = Decimal("0.01")  # 1000 x 5 + 200 x 25 USD per million
ASK = {"model": "claude-opus-4-8", "max_tokens": 1000, "messages": []}


def sse(*events: dict) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events
    )


STREAM = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "model": "claude-opus-4-8",
            "usage": {"input_tokens": 1000, "output_tokens": 1},
        },
    },
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "hello " * 10},
    },
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 200},
    },
    {"type": "message_stop"},
]


def test_a_call_is_forwarded_metered_and_recorded():
    stage = Stage()
    client = stage.ask(b"/v1/messages?beta=true", ASK)
    vendor = stage.vendor()
    assert vendor.origin == "https://api.anthropic.com"
    assert vendor.target == b"/v1/messages?beta=true"
    assert json.loads(vendor.body) == ASK
    assert len(stage.ledger.reserved) == 1
    vendor.answer(200, MESSAGE)
    assert client.status == 200
    assert client.json == MESSAGE
    assert client.finished
    entry = stage.entries[0]
    assert entry.cost_usd == COST
    assert (entry.action, entry.end, entry.cost_source) == ("allow", "complete", "measured")
    assert entry.session_total_usd == COST
    assert stage.ledger.reserved == {}
    assert stage.lines == [
        "[abg] ALLOW session=default model=claude-opus-4-8 cost=$0.0100 session_total=$0.01"
    ]
    assert stage.corridor.open == 0


def test_the_next_call_is_refused_once_the_cap_is_reached():
    stage = Stage(session_budget_usd=Decimal("5"))
    stage.spend("5.14")
    before = len(stage.sent)
    client = stage.ask(b"/v1/messages", ASK)
    assert len(stage.sent) == before, "a blocked call never reaches the vendor"
    assert client.status == 402
    error = client.json["error"]
    assert error["type"] == "billing_error"
    assert error["message"].startswith("[abg] Session budget exhausted: $5.14 >= $5.00")
    assert "abg budget raise --session default" in error["message"]
    assert client.header(b"x-should-retry") == b"false"
    assert client.header(b"x-abg-decision") == b"block"
    assert client.header(b"x-abg-session") == b"default"
    assert client.header(b"x-abg-budget") == b"session"
    assert client.header(b"retry-after") is None
    assert stage.entries[-1].action == "block"
    assert stage.entries[-1].cost_usd == 0
    assert stage.lines[-1] == (
        "[abg] BLOCKED session=default | Session budget exhausted: $5.14 >= $5.00"
    )


def test_warning_lines_name_the_budget():
    stage = Stage()
    stage.spend("4.01")
    assert stage.entries[-1].action == "warn"
    assert stage.lines[-1] == (
        "[abg] WARN session=default cost=$4.0100 session_total=$4.01 | "
        "Budget warning: session=$4.01/5.00"
    )


def test_the_daily_budget_blocks_every_session():
    stage = Stage(session_budget_usd=None, daily_budget_usd=Decimal(1))
    stage.spend("1.00", "one")
    client = stage.ask(b"/s/two/v1/messages", ASK)
    assert client.status == 402
    assert "Daily budget exhausted: $1.00 >= $1.00" in client.json["error"]["message"]


@pytest.mark.parametrize(
    ("target", "headers", "code"),
    [
        (b"/v1/responses", CODEX, "invalid_prompt"),
        (b"/v1/chat/completions", CODEX, "budget_exceeded"),
    ],
)
def test_openai_refusals(target, headers, code):
    stage = Stage(session_budget_usd=Decimal(0), daily_budget_usd=None)
    client = stage.ask(target, {"model": "gpt-6.1-sol", "input": "x"}, headers)
    assert client.status == 400
    assert client.json["error"]["code"] == code
    assert client.header(b"x-should-retry") == b"false"


def test_with_blocking_off_nothing_blocks_and_the_entry_says_so():
    stage = Stage(session_budget_usd=Decimal(1), block_on_limit=False)
    stage.spend("2")
    client = stage.ask(b"/v1/messages", ASK)
    stage.vendor().answer(200, MESSAGE)
    assert client.status == 200
    assert stage.entries[-1].action == "warn"
    assert stage.entries[-1].would_block == ("session",)


def test_a_stream_is_settled_by_its_usage_and_relayed_byte_for_byte():
    stage = Stage()
    client = stage.ask(b"/v1/messages", {**ASK, "stream": True})
    wire = sse(*STREAM)
    vendor = stage.vendor()
    vendor.head(200, [(b"content-type", b"text/event-stream")])
    for at in range(0, len(wire), 7):
        vendor.data(wire[at : at + 7])
    assert client.received == wire
    assert len(stage.entries) == 1, "settled before the connection ends"
    client.handler.gone()
    assert vendor.aborted
    assert len(stage.entries) == 1
    assert stage.entries[0].cost_usd == COST


def test_a_client_that_leaves_in_mid_stream_pays_for_what_it_got():
    stage = Stage()
    client = stage.ask(b"/v1/messages", {**ASK, "stream": True})
    vendor = stage.vendor()
    vendor.head(200, [(b"content-type", b"text/event-stream")])
    vendor.data(sse(*STREAM[:3]))
    stage.pass_time(2)
    client.handler.gone()
    assert vendor.aborted
    entry = stage.entries[0]
    assert (entry.end, entry.cost_source) == ("client_gone", "estimated")
    assert entry.input_tokens == 1000
    assert entry.output_tokens == 400
    assert stage.corridor.open == 0
    vendor.data(b"late bytes are ignored")
    vendor.finish()
    assert len(stage.entries) == 1


def test_an_upstream_that_dies_in_mid_stream_cuts_the_client_too():
    stage = Stage()
    client = stage.ask(b"/v1/messages", {**ASK, "stream": True})
    vendor = stage.vendor()
    vendor.head()
    vendor.data(sse(*STREAM[:3]))
    vendor.fail()
    assert client.aborted
    assert stage.entries[0].end == "upstream_cut"
    assert stage.entries[0].cost_source == "estimated"


@pytest.mark.parametrize(
    ("kind", "sent", "status", "source"),
    [
        ("refused", False, 502, "none"),
        ("dns", False, 502, "none"),
        ("tls", False, 502, "none"),
        ("connect_timeout", False, 504, "none"),
        ("silence", True, 504, "estimated"),
        ("cut", True, 502, "estimated"),
        ("malformed", True, 502, "estimated"),
    ],
)
def test_upstream_failures_speak_the_dialect_and_leave_an_entry(kind, sent, status, source):
    stage = Stage()
    client = stage.ask(b"/v1/messages", ASK)
    stage.vendor().sent = sent
    stage.vendor().fail(kind, "api.anthropic.com cannot be reached")
    assert client.status == status
    assert client.json["type"] == "error"
    assert "api.anthropic.com" in client.json["error"]["message"]
    assert stage.entries[0].cost_source == source
    assert (stage.entries[0].cost_usd > 0) == (source == "estimated")
    assert stage.book.holds() == []


def test_a_vendors_error_costs_nothing_and_is_handed_on():
    stage = Stage()
    client = stage.ask(b"/v1/messages", ASK)
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
    stage.vendor().answer(529, body)
    assert client.status == 529
    assert client.json == body
    assert stage.entries[0].cost_usd == 0
    assert stage.entries[0].status == 529
    assert stage.entries[0].cost_source == "none"


def test_an_answer_without_usage_is_an_estimate_never_a_zero():
    stage = Stage()
    stage.ask(b"/v1/messages", ASK)
    stage.vendor().answer(200, {"type": "message", "content": []})
    assert stage.entries[0].cost_source == "estimated"
    assert stage.entries[0].cost_usd > 0


def test_garbage_is_relayed_and_estimated():
    stage = Stage()
    client = stage.ask(b"/v1/messages", b"\xff\xfe not json")
    stage.vendor().answer(200, b"\x00\x01<html>")
    assert client.received == b"\x00\x01<html>"
    assert stage.entries[0].cost_source == "estimated"
    assert stage.entries[0].cost_usd > 0


@pytest.mark.parametrize(
    ("name", "pack"),
    [(b"gzip", gzip.compress), (b"deflate", zlib.compress)],
)
def test_a_compressed_answer_is_metered_beside_the_stream(name, pack):
    stage = Stage()
    client = stage.ask(b"/v1/messages", ASK)
    packed = pack(json.dumps(MESSAGE).encode())
    vendor = stage.vendor()
    vendor.head(200, [(b"content-encoding", name)])
    for at in range(0, len(packed), 5):
        vendor.data(packed[at : at + 5])
    vendor.finish()
    assert client.received == packed
    assert stage.entries[0].cost_usd == COST


def test_an_answer_that_unpacks_beyond_measure_goes_on_and_is_estimated():
    stage = Stage()
    client = stage.ask(b"/v1/messages", ASK)
    packed = gzip.compress(bytes(40 << 20))
    vendor = stage.vendor()
    vendor.head(200, [(b"content-encoding", b"gzip")])
    vendor.data(packed)
    vendor.data(b"more")
    vendor.finish()
    assert client.received == packed + b"more"
    (entry,) = stage.entries
    assert (entry.end, entry.cost_source) == ("complete", "estimated")


CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "model": "gpt-4.1",
    "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}],
}
SHOWN = b"data: %s\n\n" % json.dumps(CHUNK).encode()
COUNTS = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
UNASKED = b"data: %s\n\n" % json.dumps({**CHUNK, "choices": [], "usage": COUNTS}).encode()
CHAT = {"model": "gpt-4.1", "stream": True, "messages": []}


@pytest.mark.parametrize("cut_streams", [False, True])
def test_a_compressed_chat_without_the_chunk_that_only_abg_asked_for_goes_on_plain(cut_streams):
    stage = Stage(cut_streams=cut_streams)
    client = stage.ask(b"/v1/chat/completions", CHAT, CODEX)
    packed = gzip.compress(zlib.compress(SHOWN + UNASKED + b"data: [DONE]\n\n"))
    vendor = stage.vendor()
    codings = [(b"content-encoding", b"deflate"), (b"Content-Encoding", b"gzip")]
    vendor.head(200, [(b"content-type", b"text/event-stream"), *codings])
    for at in range(0, len(packed), 7):
        vendor.data(packed[at : at + 7])
    vendor.finish()
    assert client.received == SHOWN + b"data: [DONE]\n\n"
    assert client.header(b"content-encoding") is None
    assert (stage.entries[0].cost_source, stage.entries[0].input_tokens) == ("measured", 1000)


def test_a_client_who_asked_for_usage_gets_a_compressed_chat_as_it_came():
    stage = Stage()
    ask = {**CHAT, "stream_options": {"include_usage": True}}
    client = stage.ask(b"/v1/chat/completions", ask, CODEX)
    packed = gzip.compress(SHOWN + UNASKED + b"data: [DONE]\n\n")
    stage.vendor().head(200, [(b"content-encoding", b"gzip")])
    stage.vendor().data(packed)
    stage.vendor().finish()
    assert client.received == packed
    assert client.header(b"content-encoding") == b"gzip"


def test_a_compressed_chat_that_nobody_can_unpack_ends_where_it_is_broken():
    stage = Stage()
    client = stage.ask(b"/v1/chat/completions", CHAT, CODEX)
    vendor = stage.vendor()
    vendor.head(200, [(b"content-encoding", b"gzip")])
    packed = gzip.compress(SHOWN)
    vendor.data(packed)
    vendor.data(b"no gzip at all")
    assert client.received == SHOWN
    assert client.aborted
    assert vendor.aborted
    (entry,) = stage.entries
    assert (entry.end, entry.cost_source) == ("upstream_cut", "estimated")
    assert "cannot be read" in (entry.reason or "")


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (gzip.compress(bytes(3000)) + b"junk", 3000),
        (gzip.compress(bytes(3000))[:-3], 3000),
        (gzip.compress(bytes(20_000_000)), 16_000_001),
        (b"junk", 32),
    ],
    ids=["junk behind it", "cut", "too much", "not gzip"],
)
def test_a_compressed_request_that_breaks_off_is_as_large_as_it_could_be_read(packed, size):
    stage = Stage()
    stage.ask(b"/v1/messages", packed, [*CLAUDE, (b"content-encoding", b"gzip")])
    (flight,) = stage.guard.airborne()
    assert (flight.call.readable, flight.call.body_bytes) == (False, size)


def test_a_compressed_request_is_read_and_forwarded_as_it_came():
    stage = Stage()
    packed = gzip.compress(json.dumps(ASK).encode())
    stage.ask(b"/v1/messages", packed, [*CLAUDE, (b"content-encoding", b"gzip")])
    assert stage.vendor().body == packed
    stage.vendor().answer(200, {**MESSAGE, "model": None})
    assert stage.entries[0].model == "claude-opus-4-8"


def test_free_calls_are_never_blocked_and_leave_no_entry():
    stage = Stage(session_budget_usd=Decimal(0))
    for target in (b"/v1/messages/count_tokens?beta=true", b"/v1/responses/input_tokens"):
        client = stage.ask(target, ASK)
        stage.vendor().answer(200, {"input_tokens": 3})
        assert client.status == 200
    client = stage.ask(b"/v1/models", b"", method=b"GET")
    stage.vendor().answer(200, {"data": []})
    assert client.status == 200
    assert stage.ledger.records == []


def test_a_websocket_upgrade_is_answered_426():
    stage = Stage()
    headers = [*CODEX, (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    client = stage.ask(b"/v1/responses", b"", headers, b"GET")
    assert client.status == 426
    assert stage.sent == []
    assert stage.ledger.records == []


def test_a_foreign_host_or_origin_is_refused():
    stage = Stage()
    for extra in ((b"Host", b"evil.example"), (b"Origin", b"https://evil.example")):
        headers = [extra, *[h for h in CLAUDE if h[0] != extra[0]]]
        assert stage.ask(b"/v1/messages", ASK, headers).status == 403
    assert stage.sent == []


def test_a_body_that_is_too_large_gets_413_in_the_dialects_shape():
    stage = Stage(max_body_mb=1)
    client = stage.ask(b"/v1/messages", b"x" * 1_000_001)
    assert client.status == 413
    assert client.json["type"] == "error"
    assert stage.sent == []
    assert stage.corridor.rooms.taken == 0


def test_room_for_bodies_is_given_back():
    stage = Stage(max_body_mb=1)
    stage.ask(b"/v1/messages", ASK)
    assert stage.corridor.rooms.taken == 0


@pytest.mark.parametrize(("size", "read"), [(16_000_000, True), (16_000_001, False)])
def test_a_request_is_unpacked_to_what_it_may_be_worth(size: int, read: bool):
    stage = Stage()
    plain = json.dumps(dict(ASK, padding="")).encode()
    plain = plain[:-2] + b"x" * (size - len(plain)) + plain[-2:]
    packed = zlib.compress(plain)
    stage.ask(b"/v1/messages", packed, [*CLAUDE, (b"content-encoding", b"deflate")])
    assert stage.vendor().body == packed
    (flight,) = stage.guard.airborne()
    assert flight.call.readable == read
    assert flight.call.model == (ASK["model"] if read else "")


@pytest.mark.parametrize("end", ["took", "finish", "fail"])
def test_a_large_body_has_its_room_for_as_long_as_it_is_in_memory(end: str):
    # It was given back when the vendor's side had the body: a vendor that reads slowly filled
    # the memory with as many bodies as there were clients.
    stage = Stage(max_body_mb=1)
    body = dict(ASK, padding="x" * 100_000)
    stage.ask(b"/v1/messages", body)
    assert stage.corridor.rooms.taken > 100_000
    stage.vendor().head()
    assert stage.corridor.rooms.taken > 100_000
    getattr(stage.vendor(), end)()
    assert stage.corridor.rooms.taken == 0


def test_paid_calls_that_cannot_be_metered_are_estimated_and_capped():
    stage = Stage()
    client = stage.ask(b"/v1/images/generations", {"model": "gpt-image-9", "prompt": "x"}, CODEX)
    stage.vendor().answer(200, {"data": []})
    assert client.status == 200
    assert stage.entries[0].cost_usd > 0
    assert stage.entries[0].cost_source == "estimated"
    capped = Stage(session_budget_usd=Decimal(0), daily_budget_usd=None)
    assert capped.ask(b"/v1/images/generations", {"prompt": "x"}, CODEX).status == 400


def test_an_upload_to_an_unmetered_path_streams():
    stage = Stage()
    headers = [h for h in CODEX if h[0] != b"Content-Type"]
    headers.append((b"Content-Type", b"multipart/form-data; boundary=x"))
    stage.ask(b"/v1/audio/transcriptions", b"x" * 1000, headers, split=100)
    assert stage.vendor().body == b"x" * 1000
    assert stage.vendor().ended
    assert (b"Content-Length", b"1000") in stage.vendor().headers


def test_usage_is_asked_for_in_chat_streams_and_taken_out_again():
    stage = Stage()
    client = stage.ask(
        b"/v1/chat/completions", {"model": "gpt-4.1", "stream": True, "messages": []}, CODEX
    )
    assert json.loads(stage.vendor().body)["stream_options"] == {"include_usage": True}
    chunk = {"object": "chat.completion.chunk", "model": "gpt-4.1", "choices": [{"index": 0}]}
    usage = {**chunk, "choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 1000}}
    first = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    vendor = stage.vendor()
    vendor.head(200, [(b"content-type", b"text/event-stream")])
    vendor.data(first + b"data: " + json.dumps(usage).encode() + b"\n\ndata: [DONE]\n\n")
    vendor.finish()
    assert client.received == first + b"data: [DONE]\n\n"
    assert stage.entries[0].cost_usd == Decimal("0.01")


def test_no_ledger_no_call():
    stage = Stage()
    stage.ledger.broken = "disk full"
    client = stage.ask(b"/v1/messages", ASK)
    assert client.status == 503
    assert client.header(b"x-should-retry") == b"false"
    assert "Ledger cannot be written" in client.json["error"]["message"]
    assert stage.sent == []
    assert stage.book.holds() == []
    codex = stage.ask(b"/v1/responses", {"model": "gpt-6.1-sol"}, CODEX)
    assert codex.status == 400
    assert codex.json["error"]["code"] == "invalid_prompt"


def test_whoever_prefers_the_other_risk_goes_on_without_a_ledger():
    stage = Stage(on_ledger_error="allow")
    stage.ledger.broken = "disk full"
    client = stage.ask(b"/v1/messages", ASK)
    assert client.status == 0
    assert len(stage.sent) == 1


def test_a_background_response_is_estimated_and_adjusted_once():
    stage = Stage()
    stage.ask(b"/v1/responses", {"model": "gpt-4.1", "background": True, "input": "x"}, CODEX)
    stage.vendor().answer(200, {"id": "resp_9", "object": "response", "status": "queued"})
    entry = stage.entries[0]
    assert entry.cost_source == "estimated"
    assert entry.open == "resp_9"
    done = {
        "id": "resp_9",
        "object": "response",
        "status": "completed",
        "model": "gpt-4.1",
        "usage": {"input_tokens": 1000, "output_tokens": 1000},
    }
    for _ in range(2):
        stage.ask(b"/v1/responses/resp_9", b"", CODEX, b"GET")
        stage.vendor().answer(200, done)
    assert [e.event for e in stage.events] == ["adjust"]
    assert entry.cost_usd + stage.events[0].data["cost_usd"] == Decimal("0.01")
    assert stage.book.session_total("codex-1") == Decimal("0.01")


def test_the_answer_to_a_cancellation_may_tell_the_usage_too():
    stage = Stage()
    stage.ask(b"/v1/responses", {"model": "gpt-4.1", "background": True, "input": "x"}, CODEX)
    stage.vendor().answer(200, {"id": "resp_9", "object": "response", "status": "queued"})
    stage.ask(b"/v1/responses/resp_9", b"", CODEX, b"HEAD")
    stage.vendor().answer(200, b"")
    assert stage.events == []
    cancelled = {
        "id": "resp_9",
        "object": "response",
        "status": "cancelled",
        "model": "gpt-4.1",
        "usage": {"input_tokens": 1000, "output_tokens": 0},
    }
    stage.ask(b"/v1/responses/resp_9/cancel", b"", CODEX)
    stage.vendor().answer(200, cancelled)
    assert [e.event for e in stage.events] == ["adjust"]
    assert stage.book.session_total("codex-1") == Decimal("0.002")


def test_pausing_the_client_pauses_the_vendor():
    stage = Stage()
    client = stage.ask(b"/v1/messages", ASK)
    stage.vendor().head()
    client.handler.pause()
    assert stage.vendor().paused
    client.handler.resume()
    assert not stage.vendor().paused


def test_shutting_down_settles_what_runs():
    stage = Stage()
    client = stage.ask(b"/v1/messages", {**ASK, "stream": True})
    stage.vendor().head()
    stage.vendor().data(sse(*STREAM[:3]))
    stage.corridor.shut()
    assert client.aborted
    assert stage.entries[0].end == "shutdown"
    assert stage.book.holds() == []
    assert stage.ledger.reserved == {}


def test_voiding_a_hold_aborts_its_call():
    stage = Stage()
    client = stage.ask(b"/v1/messages", ASK)
    stage.vendor().head()
    assert not stage.guard.void("nobody")
    assert stage.guard.void(stage.book.holds()[0].id)
    assert client.aborted
    assert stage.vendor().aborted
    assert stage.entries[0].end == "voided"


def test_no_secret_is_ever_written():
    stage = Stage()
    headers = [*LOCAL, (b"x-api-key", b"sk-ant-SECRET")]
    stage.ask(
        b"/v1/messages", {**ASK, "messages": [{"role": "user", "content": "PROMPT"}]}, headers
    )
    stage.vendor().answer(200, MESSAGE)
    text = repr(stage.ledger.records) + repr(stage.lines)
    assert "SECRET" not in text
    assert "PROMPT" not in text
    assert "hello" not in text


@pytest.mark.parametrize("where", ["feed", "end"])
def test_a_fault_in_abgs_own_meter_costs_nobody_his_answer(where, monkeypatch):
    def fail(*_: object) -> bytes:
        raise RuntimeError("a fault of ours")

    stage = Stage()
    client = stage.ask(b"/v1/messages", ASK)
    vendor = stage.vendor()
    vendor.head(200)
    vendor.data(json.dumps(MESSAGE).encode()[:20])
    (flight,) = stage.guard.airborne()
    monkeypatch.setattr(type(flight.meter), where, fail)
    vendor.data(json.dumps(MESSAGE).encode()[20:40])
    vendor.data(json.dumps(MESSAGE).encode()[40:])
    vendor.finish()
    assert client.json == MESSAGE
    assert client.finished
    (entry,) = stage.entries
    assert entry.cost_source == "estimated"
    assert entry.cost_usd > 0
    assert "meter_failed:RuntimeError" in entry.marks


def test_a_meter_that_cannot_even_be_made_is_no_cut(monkeypatch):
    stage = Stage()
    client = stage.ask(b"/v1/messages", ASK)
    (flight,) = stage.guard.airborne()
    monkeypatch.setattr(type(flight.dialect), "meter", lambda *_: 1 / 0)
    stage.vendor().answer(200, MESSAGE)
    assert client.json == MESSAGE
    assert stage.entries[0].cost_source == "estimated"


def test_requests_that_are_alike_are_judged_by_the_same_papers():
    stage = Stage()
    first = stage.ask(b"/v1/messages", ASK)
    stage.vendor().answer(200, MESSAGE)
    papers = first.kin.papers
    second = Client(b"POST", b"/v1/messages", list(CLAUDE), 2)
    second.kin = first.kin
    stage.send(second, json.dumps({**ASK, "system": "longer"}).encode())
    assert second.kin.papers is papers
    assert stage.sent[0].headers == stage.sent[1].headers
    stage.vendor().answer(200, MESSAGE)
    assert [entry.cost_usd for entry in stage.entries] == [COST, COST]


def test_a_length_is_said_of_its_own_request_only():
    """An upload streams: its length is added to what the vendor gets, not to the papers."""
    stage = Stage()
    sent = [(b"content-type", b"application/octet-stream"), *CODEX]
    for size in (3, 5):
        stage.ask(b"/v1/files", b"x" * size, headers=sent)
        lengths = [value for name, value in stage.vendor().headers if name == b"Content-Length"]
        assert lengths == [b"%d" % size]


@pytest.mark.parametrize("origin", ["http://evil.test", "http://127.0.0.1:1"])
def test_who_is_refused_is_refused_each_time(origin):
    stage = Stage()
    headers = [*CLAUDE, (b"Origin", origin.encode())]
    first = stage.ask(b"/v1/messages", ASK, headers=headers)
    again = Client(b"POST", b"/v1/messages", headers, 2)
    again.kin = first.kin
    stage.send(again, b"{}")
    assert (first.status, again.status, stage.sent) == (403, 403, [])
    assert stage.guard.tally.counts["forbidden"] == 2


def test_a_body_that_comes_too_slowly_makes_room_for_one_that_waits():
    stage = Stage()
    slow = [Client(b"POST", b"/v1/messages", list(CLAUDE), 1_000_000) for _ in range(64)]
    for client in slow:
        client.handler = stage.corridor.begin(client)
        client.handler.body(b"{")
    stage.pass_time(60)
    assert {client.status for client in slow} == {0}
    late = Client(b"POST", b"/v1/messages", list(CLAUDE), 1_000_000)
    late.handler = stage.corridor.begin(late)
    assert not late.reading
    stage.pass_time(20)
    assert late.reading
    assert {client.status for client in slow} == {408}
    assert "too slowly" in slow[0].json["error"]["message"]
    assert (stage.corridor.open, stage.corridor.rooms.taken) == (1, 1_000_000)
