"""``cut_streams``: a stream ends once what streams has used its budget up."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal

import pytest

from abg.budget import parse_budget
from abg.dialects import DIALECTS
from abg.proxy.ending import Ending
from abg.test.playbook import CLAUDE, CODEX, Client, Sent, Stage

MODEL = "claude-opus-4-8"  # 5 USD per million input tokens, 25 per million output tokens
ASK = {"model": MODEL, "max_tokens": 128_000, "messages": [], "stream": True}
WORDS = b"word " * 1_600  # 8,000 bytes: 2,000 tokens, 0.05 USD


def event(told: dict) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (told["type"].encode(), json.dumps(told).encode())


def start(input_tokens: int) -> bytes:
    usage = {"input_tokens": input_tokens, "output_tokens": 1}
    message = {"id": "msg_1", "model": MODEL, "usage": usage}
    block = {"type": "text", "text": ""}
    return event({"type": "message_start", "message": message}) + event(
        {"type": "content_block_start", "index": 0, "content_block": block}
    )


def words(text: bytes = WORDS) -> bytes:
    delta = {"type": "text_delta", "text": text.decode()}
    return event({"type": "content_block_delta", "index": 0, "delta": delta})


def finish(output_tokens: int) -> bytes:
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    return b"".join(
        event(told)
        for told in (
            {"type": "content_block_stop", "index": 0},
            {**delta, "usage": {"output_tokens": output_tokens}},
            {"type": "message_stop"},
        )
    )


def stage(**settings: object) -> Stage:
    settings.setdefault("session_budget_usd", Decimal(1))
    return Stage(cut_streams=True, **settings)


def stream(on: Stage, input_tokens: int = 100_000, session: str = "s") -> tuple[Client, Sent]:
    """A stream that has cost 0.50 USD at its beginning."""
    headers = [*CLAUDE, (b"x-abg-session-id", session.encode())]
    client = on.ask(b"/v1/messages", ASK, headers)
    vendor = on.vendor()
    vendor.head(200, [(b"content-type", b"text/event-stream; charset=utf-8")])
    vendor.data(start(input_tokens))
    return client, vendor


def events_of(body: bytes) -> list[dict]:
    return [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]


def test_a_stream_that_uses_its_budget_up_is_ended_as_its_client_understands():
    on = stage()
    client, vendor = stream(on)
    vendor.data(words() * 9)
    on.pass_time(0.25)
    assert not vendor.aborted, "0.95 USD"
    vendor.data(words())
    on.pass_time(0.24)
    assert not vendor.aborted, "not looked at yet"
    on.pass_time(0.01)
    assert vendor.aborted
    assert client.finished
    assert not client.aborted
    told = events_of(client.received)
    assert [e["type"] for e in told[-3:]] == [
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert told[-2]["delta"]["stop_reason"] == "max_tokens"
    entry = on.entries[0]
    assert (entry.end, entry.cost_source, entry.action) == ("cut", "estimated", "warn")
    assert entry.cost_usd >= Decimal(1)
    assert entry.input_tokens == 100_000
    assert entry.reason == "Session budget exhausted: $1.00 >= $1.00"
    assert on.lines[-1].startswith(f"[abg] WARN session=s cost=${entry.cost_usd:.4f}")
    assert "| stream cut: Session budget exhausted: $1.00 >= $1.00" in on.lines[-1]
    assert on.book.holds() == []
    assert on.ledger.reserved == {}
    assert on.corridor.open == 0
    headers = [*CLAUDE, (b"x-abg-session-id", b"s")]
    assert on.ask(b"/v1/messages", ASK, headers).status == 402
    assert len(on.sent) == 1


def test_without_the_setting_a_running_stream_finishes():
    on = Stage(session_budget_usd=Decimal(1))
    client, vendor = stream(on)
    vendor.data(words() * 20)
    on.pass_time(60)
    vendor.data(finish(40_000))
    vendor.finish()
    assert client.finished
    assert on.entries[0].end == "complete"


def test_a_stream_ends_between_two_events():
    on = stage()
    client, vendor = stream(on)
    rest = words(b"the end of it")
    vendor.data(words() * 10 + rest[:20])
    on.pass_time(0.25)
    assert not vendor.aborted, "an event has begun"
    assert client.received.endswith(rest[:20])
    vendor.data(rest[20:-1])
    vendor.data(rest[-1:] + words(b"too late"))
    assert vendor.aborted
    assert client.finished
    assert b"the end of it" in client.received
    assert b"too late" not in client.received
    assert events_of(client.received)[-1] == {"type": "message_stop"}
    assert len(on.entries) == 1


def test_the_usage_comes_in_the_very_piece_that_would_be_cut():
    on = stage()
    client, vendor = stream(on)
    tail = finish(20_000)
    head, last = tail[: tail.rindex(b"event:")], tail[tail.rindex(b"event:") :]
    vendor.data(words() * 10 + head + last[:8])
    on.pass_time(0.25)
    vendor.data(last[8:] + b": farewell\n\n")
    vendor.finish()
    assert client.received == start(100_000) + words() * 10 + tail + b": farewell\n\n"
    assert on.entries[0].end == "complete"
    assert on.entries[0].cost_source == "measured"


def test_the_youngest_stream_of_the_budget_is_ended_first():
    on = stage()
    old, old_vendor = stream(on, 80_000)
    young, young_vendor = stream(on, 80_000)
    other, other_vendor = stream(on, 80_000, "other")
    on.pass_time(0.25)
    assert not (old_vendor.aborted or young_vendor.aborted)
    old_vendor.data(words() * 5)
    on.pass_time(0.25)
    assert young_vendor.aborted
    assert young.finished
    assert not old_vendor.aborted, "it may come to its end until the next look"
    on.pass_time(0.25)
    assert old_vendor.aborted
    assert old.finished
    assert not other_vendor.aborted
    assert not other.finished
    assert [e.end for e in on.entries] == ["cut", "cut"]


def test_a_budget_over_all_sessions_counts_all_their_streams():
    on = stage(session_budget_usd=None, daily_budget_usd=Decimal(1))
    _, first = stream(on, 100_000, "one")
    client, second = stream(on, 100_000, "two")
    on.pass_time(0.25)
    assert second.aborted
    assert not first.aborted
    assert on.entries[0].reason == "Daily budget exhausted: $1.00 >= $1.00"
    assert client.finished


def test_who_waits_for_a_stream_that_is_cut_is_refused_as_spent():
    on = stage(session_budget_usd=Decimal("0.15"))
    headers = [*CLAUDE, (b"x-abg-session-id", b"s")]
    _, vendor = stream(on, 20_000)
    other = on.ask(b"/v1/messages", ASK, headers)
    waiting = on.ask(b"/v1/messages", ASK, headers)
    assert len(on.sent) == 2
    assert not waiting.status
    vendor.data(words())
    on.pass_time(0.25)
    assert on.entries[0].end == "cut"
    assert waiting.status == 402
    assert waiting.header(b"x-abg-decision") == b"block"
    assert not other.status, "it has not begun to answer"


def test_budgets_that_only_warn_and_shadow_mode_cut_nothing():
    rows = [{"name": "all", "per": "none", "window": "day", "limit_usd": 1, "action": "warn"}]
    warning = stage(
        session_budget_usd=None,
        daily_budget_usd=None,
        budgets=tuple(parse_budget(row, "budgets[0]") for row in rows),
    )
    shadow = stage(block_on_limit=False)
    for on in (warning, shadow):
        _, vendor = stream(on, 400_000)
        on.pass_time(5)
        assert not vendor.aborted


def test_a_limit_of_requests_or_none_at_all_cuts_nothing():
    row = {"name": "few", "per": "session", "window": "day", "max_requests": 1}
    on = stage(
        session_budget_usd=None,
        daily_budget_usd=None,
        budgets=(parse_budget(row, "budgets[0]"),),
    )
    _, vendor = stream(on, 400_000)
    on.pass_time(5)
    assert not vendor.aborted


def test_a_raised_limit_counts():
    on = stage()
    _, vendor = stream(on, 180_000)
    on.guard.event("raise", session_id="s", by_usd=Decimal(1), who="me")
    vendor.data(words() * 10)
    on.pass_time(0.25)
    assert not vendor.aborted
    vendor.data(words() * 14)
    on.pass_time(0.25)
    assert vendor.aborted
    assert on.entries[0].reason == "Session budget exhausted: $2.10 >= $2.00"


def test_json_answers_are_not_cut():
    on = stage()
    client = on.ask(b"/v1/messages", {**ASK, "stream": False})
    vendor = on.vendor()
    vendor.head()
    vendor.data(b'{"type":"message","content":"' + b"x" * 1_000_000)
    on.pass_time(5)
    assert not vendor.aborted
    assert not client.finished


def test_a_compressed_stream_can_only_be_broken_off():
    on = stage()
    client = on.ask(b"/v1/messages", ASK)
    vendor = on.vendor()
    vendor.head(200, [(b"content-encoding", b"gzip"), (b"content-type", b"text/event-stream")])
    vendor.data(gzip.compress(start(300_000) + words()))
    on.pass_time(0.25)
    assert client.aborted
    assert vendor.aborted
    assert on.entries[0].end == "cut"


def test_codex_is_told_why_and_its_input_is_taken_from_its_history():
    on = stage(session_budget_usd=Decimal("0.10"))
    body = {"model": "gpt-5.5", "stream": True, "input": "x" * 3_000}
    client = on.ask(b"/v1/responses", body, CODEX)
    vendor = on.vendor()
    vendor.head(200, [(b"content-type", b"text/event-stream")])
    vendor.data(
        event(
            {
                "type": "response.created",
                "sequence_number": 0,
                "response": {"id": "resp_1", "object": "response", "status": "in_progress"},
            }
        )
    )
    for number in range(1, 40):
        delta = {"type": "response.output_text.delta", "sequence_number": number}
        vendor.data(event({**delta, "delta": "x" * 1_000}))
        on.pass_time(0.25)
        if client.finished:
            break
    told = events_of(client.received)[-1]
    assert told["type"] == "response.failed"
    assert told["response"]["error"]["code"] == "invalid_prompt"
    assert told["response"]["error"]["message"].startswith(
        "[abg] Session budget exhausted: $0.10 >= $0.10. Raise it with: abg budget raise"
    )
    assert vendor.aborted
    assert 10 < number < 30, number
    assert on.entries[0].cost_usd >= Decimal("0.10")
    assert on.ask(b"/v1/responses", body, CODEX).status == 400


def test_a_chat_stream_ends_with_its_length_reached():
    on = stage(session_budget_usd=Decimal("0.01"))
    body = {"model": "gpt-4.1", "stream": True, "messages": []}
    client = on.ask(b"/v1/chat/completions", body, CODEX)
    vendor = on.vendor()
    vendor.head(200, [(b"content-type", b"text/event-stream"), (b"content-length", b"99999")])
    chunk = {"id": "c1", "object": "chat.completion.chunk", "model": "gpt-4.1"}
    choice = {"index": 0, "delta": {"content": "x" * 40_000}}
    told = json.dumps({**chunk, "choices": [choice]}, separators=(",", ":"))
    vendor.data(b"data: " + told.encode() + b"\n\n")
    on.pass_time(0.25)
    assert client.finished
    assert client.header(b"content-length") is None
    assert client.received.endswith(b"data: [DONE]\n\n")
    assert events_of(client.received)[-1]["choices"][0]["finish_reason"] == "length"


def test_nothing_is_looked_at_while_nothing_streams():
    on = stage()
    on.spend("0.10", "s")
    on.pass_time(1)
    assert not [t for t in on._timers if t.waits]
    _, vendor = stream(on)
    assert [t for t in on._timers if t.waits]
    vendor.data(finish(3))
    vendor.finish()
    on.pass_time(1)
    assert not [t for t in on._timers if t.waits]


def test_stopping_ends_the_looks():
    on = stage()
    stream(on)
    on.corridor.shut()
    assert not [t for t in on._timers if t.waits]


@pytest.mark.parametrize("blank", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("split", range(9))
def test_the_end_of_an_event_is_found_in_any_split(blank: bytes, split: int) -> None:
    wire = b"data:1" + blank + b"data:2" + blank
    ending = Ending()
    ending.last = wire[:split]
    size = ending.up_to_event(wire[split:])
    assert size is not None
    assert wire[: split + size] in (b"data:1" + blank, wire)


def test_what_streams_is_never_put_higher_than_what_it_is_charged_for():
    for name, target, headers in (
        ("anthropic", b"/v1/messages", CLAUDE),
        ("openai_responses", b"/v1/responses", CODEX),
    ):
        on = stage(session_budget_usd=Decimal(100))
        on.ask(target, {"model": "", "max_tokens": 5_000, "stream": True}, headers)
        flight = on.guard.airborne()[0]
        assert flight.dialect is DIALECTS[name]
        flight.feed(b": hello\n\n")
        on.vendor().head()
        so_far = on.guard._streams.cost(flight, flight.meter.reading, on.now)
        flight.sent = True
        on.guard.land(flight, "cut")
        assert 0 < so_far <= on.entries[0].cost_usd


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n", " : ")])
def test_a_stream_is_seen_however_its_vendor_spells_it(separators: tuple[str, str]):
    on = stage()
    ask = {"model": "gpt-5.5", "stream": True, "n": 2, "messages": []}
    client = on.ask(b"/v1/chat/completions", ask, CODEX)
    vendor = on.vendor()
    vendor.head(200, [(b"content-type", b"text/event-stream")])
    for at in range(80):
        choice = {"index": at % 2, "delta": {"content": "word " * 800}, "finish_reason": None}
        told = json.dumps({"id": "c", "choices": [choice]}, separators=separators)
        lines = told.replace("\n", "\ndata: ")
        vendor.data(f"data: {lines}\n\n".encode())
        on.pass_time(0.25)
        if vendor.aborted:
            break
    assert vendor.aborted
    ends = client.received.rpartition(b"word ")[2].split(b"\n\n")[1:-2]
    closed = [json.loads(end[6:])["choices"][0] for end in ends]
    assert [(c["index"], c["finish_reason"]) for c in closed] == [(0, "length"), (1, "length")]
    assert client.received.endswith(b"data: [DONE]\n\n")
    assert on.entries[0].cost_usd >= Decimal(1)


def test_pictures_are_no_reason_to_cut_an_answer():
    on = stage(session_budget_usd=Decimal(6))
    image = {"type": "base64", "data": "A" * 8_000_000}
    ask = {**ASK, "messages": [{"role": "user", "content": [{"type": "image", "source": image}]}]}
    on.ask(b"/v1/messages", ask, CLAUDE)
    vendor = on.vendor()
    vendor.head(200, [(b"content-type", b"text/event-stream")])
    vendor.data(b": hello\n\n")
    on.pass_time(0.25)
    assert not vendor.aborted
    assert on.guard.void(on.guard.airborne()[0].id)
    assert on.entries[0].input_tokens == 1_000_000, "its context window"
