"""``enforcement: strict`` over the corridor: the cap is never crossed, whatever is asked."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import Any

from abg.ledger import Event
from abg.test.playbook import CLAUDE, CODEX, LOCAL, START, Client, Stage

MODEL = "claude-opus-4-8"  # 5 USD per million input tokens, 25 per million output tokens
ASK: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 100_000,
    "messages": [{"role": "user", "content": "x" * 50_000}],
    "service_tier": "standard_only",
    "inference_geo": "global",
}
COUNTER = b"/v1/messages/count_tokens"


def strict(cap: str, **settings: Any) -> Stage:
    settings.setdefault("daily_budget_usd", None)
    return Stage(session_budget_usd=Decimal(cap), enforcement="strict", **settings)


def counted(on: Stage, tokens: int) -> None:
    """The vendor's counter answers."""
    assert on.vendor().target.partition(b"?")[0].endswith((b"count_tokens", b"input_tokens"))
    on.vendor().answer(200, {"input_tokens": tokens})


def answer(on: Stage, input_tokens: int, output_tokens: int) -> None:
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    on.vendor().answer(
        200, {"type": "message", "model": MODEL, "usage": usage, "content": [{"type": "text"}]}
    )


def refused(client: Client) -> str:
    assert client.status in (400, 402)
    return str(client.json["error"]["message"])


def test_a_whole_bound_that_fits_passes_unchanged_and_uncounted():
    on = strict("20")
    on.ask(b"/v1/messages", ASK)
    assert [sent.target for sent in on.sent] == [b"/v1/messages"]
    assert json.loads(on.vendor().body) == ASK
    answer(on, 9_000, 100)
    entry = on.entries[0]
    assert entry.hold_usd == entry.bound_usd
    assert entry.bound_usd > entry.cost_usd == Decimal("0.0475")
    assert on.book.holds() == []


def test_what_has_no_bound_passes_as_it_came_where_nothing_blocks():
    on = strict("20", block_on_limit=False)
    body = {**ASK, "mcp_servers": [{"type": "url", "url": "https://example.org", "name": "x"}]}
    on.ask(b"/v1/messages", body)
    assert json.loads(on.vendor().body) == body
    answer(on, 9_000, 100)
    entry = on.entries[0]
    assert (entry.action, entry.would_block, entry.bound_usd) == ("warn", ("strict",), None)
    assert on.book.holds() == []


def test_the_counter_is_asked_before_the_output_is_lowered():
    on = strict("2.7")
    body = {**ASK, "stream": True, "metadata": {"user_id": "me"}}
    client = on.ask(b"/v1/messages?beta=true", body)
    question = on.vendor()
    assert question.target == COUNTER + b"?beta=true"
    assert question.method == b"POST"
    assert json.loads(question.body) == {"model": MODEL, "messages": ASK["messages"]}
    assert dict(question.headers)[b"x-api-key"] == b"sk-ant-fake"
    assert on.book.holds() == [], "nothing is held while the vendor counts"
    assert not client.status
    counted(on, 9_000)
    assert len(on.sent) == 2
    assert json.loads(on.vendor().body) == body, "with the count the whole allowance fits"
    assert on.vendor().target == b"/v1/messages?beta=true"
    held = on.book.holds()[0].amount
    # 9,000 + 2 % + 512 tokens, and 100,000 of output
    assert Decimal("2.5") < held < Decimal("2.7")


def test_the_output_is_lowered_to_what_the_budget_pays():
    on = strict("1")
    on.ask(b"/v1/messages", ASK)
    counted(on, 9_000)
    sent = json.loads(on.vendor().body)
    lowered = sent["max_tokens"]
    assert 30_000 < lowered < 40_000
    assert sent == {**ASK, "max_tokens": lowered}
    assert on.vendor().body == json.dumps({**ASK, "max_tokens": lowered}).encode()
    held = on.book.holds()[0].amount
    assert Decimal("0.9999") < held <= Decimal(1)
    answer(on, 9_690, lowered)
    entry = on.entries[0]
    assert entry.session_total_usd <= Decimal(1)
    assert entry.hold_usd == held
    assert entry.bound_usd > held


def test_what_fits_not_even_with_the_least_output_is_refused_as_short():
    on = strict("0.05")
    client = on.ask(b"/v1/messages", ASK)
    counted(on, 9_000)
    assert refused(client).startswith(
        "[abg] Session budget does not cover this request: $0.00 spent + $0.07 needed > $0.05"
    )
    assert client.header(b"x-abg-decision") == b"block"
    assert [sent.target for sent in on.sent] == [COUNTER]
    assert on.entries[-1].action == "block"


def test_a_spent_budget_is_not_even_asked_to_count():
    on = strict("1")
    data = {"session_id": "default", "cost_usd": Decimal(1), "at": START.isoformat()}
    on.book.apply(Event(START, "adjust", data))
    client = on.ask(b"/v1/messages", ASK)
    assert "exhausted: $1.00 >= $1.00" in refused(client)
    assert on.sent == []
    assert len(on.entries) == 1


def test_a_thinking_budget_stays_below_the_allowance():
    on = strict("1")
    body = {**ASK, "thinking": {"type": "enabled", "budget_tokens": 20_000}}
    on.ask(b"/v1/messages", body)
    counted(on, 9_000)
    sent = json.loads(on.vendor().body)
    assert sent["thinking"]["budget_tokens"] < sent["max_tokens"] < 100_000
    tight = strict("0.5")
    client = tight.ask(b"/v1/messages", body)
    counted(tight, 9_000)
    assert "does not cover this request" in refused(client)


def test_codex_sends_no_limit_and_gets_one():
    on = strict("1")
    body = {"model": "gpt-5.5", "input": "x" * 10_000, "stream": True}
    on.ask(b"/v1/responses", body, CODEX)
    assert on.vendor().target == b"/v1/responses/input_tokens"
    counted(on, 2_500)
    sent = json.loads(on.vendor().body)
    assert 1_024 <= sent.pop("max_output_tokens") < 128_000
    assert sent == body


def test_chat_has_no_counter():
    on = strict("0.2")
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "x"}], "n": 2}
    on.ask(b"/v1/chat/completions", body, CODEX)
    sent = json.loads(on.vendor().body)
    assert 1_024 <= sent.pop("max_completion_tokens") < 32_768
    assert sent == body


def test_where_no_limit_can_be_sent_only_the_whole_bound_passes():
    on = strict("0.5")
    headers = [*LOCAL, (b"authorization", b"Bearer jwt"), (b"chatgpt-account-id", b"acc")]
    client = on.ask(b"/v1/responses", {"model": "gpt-5.5", "input": "x"}, headers)
    assert "does not cover this request" in refused(client)
    assert on.sent == [], "that vendor neither counts nor takes a limit"
    large = strict("20")
    large.ask(b"/v1/responses", {"model": "gpt-5.5", "input": "x"}, headers)
    assert large.vendor().origin == "https://chatgpt.com"
    assert json.loads(large.vendor().body) == {"model": "gpt-5.5", "input": "x"}


def test_what_cannot_be_proven_is_refused_and_its_part_is_named():
    on = strict("20")
    client = on.ask(b"/v1/messages", {**ASK, "tools": [{"type": "web_search_20250305"}]})
    text = refused(client)
    assert "no upper bound for this request: " in text
    assert "web search without a limit of uses" in text
    assert "enforcement: estimate" in text
    assert on.sent == []
    assert on.entries[-1].action == "block"
    garbage = on.ask(b"/v1/messages", b"\xff\xfe not json")
    assert "cannot be read" in refused(garbage) or "nobody can read" in refused(garbage)


def test_a_compressed_body_that_is_lowered_is_sent_decompressed():
    on = strict("1")
    packed = gzip.compress(json.dumps(ASK).encode())
    on.ask(b"/v1/messages", packed, [*CLAUDE, (b"content-encoding", b"gzip")])
    question = on.vendor()
    assert json.loads(question.body)["model"] == MODEL
    assert b"content-encoding" not in [name.lower() for name, _ in question.headers]
    counted(on, 9_000)
    vendor = on.vendor()
    assert json.loads(vendor.body)["max_tokens"] < 100_000
    assert b"content-encoding" not in [name.lower() for name, _ in vendor.headers]
    whole = strict("20")
    whole.ask(b"/v1/messages", packed, [*CLAUDE, (b"content-encoding", b"gzip")])
    assert whole.vendor().body == packed


def test_without_the_counters_word_the_size_of_the_body_decides():
    def failing(on: Stage) -> None:
        on.vendor().answer(529, {"error": "overloaded"})

    def nonsense(on: Stage) -> None:
        on.vendor().answer(200, {"input_tokens": "many"})

    def broken(on: Stage) -> None:
        on.vendor().fail()

    def endless(on: Stage) -> None:
        on.vendor().head()
        on.vendor().data(b"x" * 70_000)
        assert on.sent[0].aborted

    def silent(on: Stage) -> None:
        on.pass_time(9.9)
        assert len(on.sent) == 1
        on.pass_time(0.1)
        assert on.sent[0].aborted

    allowances = []
    for way in (failing, nonsense, broken, endless, silent):
        on = strict("1")
        on.ask(b"/v1/messages", ASK)
        way(on)
        assert len(on.sent) == 2, way
        allowances.append(json.loads(on.vendor().body)["max_tokens"])
        assert not [timer for timer in on._timers if timer.waits]
        answer(on, 9_000, 10)
        assert len(on.entries) == 1
    assert len(set(allowances)) == 1
    assert 25_000 < allowances[0] < 30_000, "with a count it is 38,000"


def test_a_client_that_goes_while_the_vendor_counts_leaves_nothing():
    on = strict("1")
    client = on.ask(b"/v1/messages", ASK)
    client.handler.gone()
    assert on.sent[0].aborted
    on.vendor().answer(200, {"input_tokens": 9_000})
    on.pass_time(11)
    assert len(on.sent) == 1
    assert on.book.holds() == []
    assert on.ledger.records == []
    assert on.corridor.open == 0


def test_what_the_body_only_refers_to_is_counted_by_the_vendor():
    on = strict("3")
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/x.png"}}
    on.ask(b"/v1/messages", {**ASK, "messages": [{"role": "user", "content": [image]}]})
    counted(on, 2_000)
    assert json.loads(on.vendor().body)["max_tokens"] == 100_000


def test_a_cut_answer_is_charged_at_what_was_held():
    on = strict("1")
    client = on.ask(b"/v1/messages", {**ASK, "stream": True})
    counted(on, 9_000)
    held = on.book.holds()[0].amount
    client.handler.gone()
    assert on.entries[0].cost_usd == held
    assert on.entries[0].cost_source == "estimated"


def test_a_swarm_never_crosses_the_cap():
    on = strict("1")
    content = [{"role": "user", "content": "x" * 3_000}]
    small = {**ASK, "max_tokens": 10_000, "messages": content}
    told: list[Client] = []
    for _ in range(40):
        told.append(on.ask(b"/v1/messages", small))
    paid = 0
    while paid < len(on.sent):
        vendor = on.sent[paid]
        paid += 1
        if vendor.target == COUNTER:
            vendor.answer(200, {"input_tokens": 800})
        else:
            # All that the call may cost: the dearest answer to it.
            most = json.loads(vendor.body)["max_tokens"]
            usage = {"input_tokens": 1_328, "output_tokens": most}
            vendor.answer(200, {"type": "message", "model": MODEL, "usage": usage})
        held = sum((hold.amount for hold in on.book.holds()), Decimal(0))
        assert held + on.book.session_total("default") <= 1
    assert {client.status for client in told} == {200, 402}
    total = on.book.session_total("default")
    assert Decimal("0.95") < total <= 1
    assert on.book.holds() == []
    assert on.book.waiting == 0


def test_the_count_stands_in_for_a_context_window_that_nobody_knows():
    price = {"vendor": "anthropic", "input": 5, "output": 25, "max_output_tokens": 8_000}
    on = strict("3", prices={"my-model": price})
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/x.png"}}
    body = {**ASK, "model": "my-model", "messages": [{"role": "user", "content": [image]}]}
    body["max_tokens"] = 4_000
    on.ask(b"/v1/messages", body)
    counted(on, 2_000)
    assert json.loads(on.vendor().body) == body
    client = on.ask(b"/v1/messages", body)
    on.vendor().answer(500, {})
    assert "the price table names no" in refused(client)


def test_the_question_to_the_counter_takes_room_and_is_not_asked_without():
    body = json.dumps({**ASK, "messages": [{"role": "user", "content": "x" * 3_000_000}]})
    packed = gzip.compress(body.encode())
    headers = [*CLAUDE, (b"content-encoding", b"gzip")]
    on = strict("2.7")
    on.ask(b"/v1/messages", packed, headers)
    assert on.corridor.rooms.taken > 3_000_000
    counted(on, 9_000)
    assert on.sent[-1].target == b"/v1/messages"
    answer(on, 9_000, 100)
    assert on.corridor.rooms.taken == 0

    on = strict("2.7")
    on.corridor.rooms.large.taken = on.corridor.rooms.large.limit
    client = on.ask(b"/v1/messages", packed, headers)
    assert on.sent == []
    assert "needed" in refused(client)


def test_a_body_is_not_kept_while_its_answer_streams():
    on = strict("20")
    passage: Any = on.ask(b"/v1/messages", ASK).handler
    assert passage._strict._body == b""
    assert passage._body is None
