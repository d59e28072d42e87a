"""Busy is not spent: calls that wait in abg for what others hold, over the corridor."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from abg.budget import parse_budget
from abg.config import Config
from abg.engine import Engine
from abg.test.playbook import CLAUDE, CODEX, Client, Sent, Stage
from abg.test.test_engine import Reactor, places

ASK = {"model": "claude-opus-4-8", "max_tokens": 1_000, "messages": []}
HOLD = Decimal("0.025")  # its estimate is a little more: 1,000 tokens of output at 25 USD a million


def crowd(**settings: Any) -> Stage:
    """One call of this session fits at a time."""
    settings.setdefault("session_budget_usd", HOLD)
    settings.setdefault("daily_budget_usd", None)
    return Stage(**settings)


def ask(on: Stage, session: str = "s", tag: str = "") -> Client:
    headers = [*CLAUDE, (b"x-abg-session-id", session.encode())]
    return on.ask(b"/v1/messages", {**ASK, "metadata": {"tag": tag}}, headers)


def answer(vendor: Sent, input_tokens: int = 0, output_tokens: int = 0) -> None:
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    vendor.answer(200, {"type": "message", "model": "claude-opus-4-8", "usage": usage})


def tags(on: Stage) -> list[str]:
    """The calls that reached the vendor, in order."""
    return [sent.body.decode().partition('"tag": "')[2].partition('"')[0] for sent in on.sent]


def test_a_call_waits_for_what_another_holds_and_then_passes():
    on = crowd()
    first = ask(on)
    second = ask(on)
    assert len(on.sent) == 1
    assert not second.status
    assert len(on.book.holds()) == 1, "a call holds nothing while it waits"
    assert len(on.ledger.reserved) == 1
    on.pass_time(30)
    answer(on.sent[0], 10)
    assert first.finished
    assert len(on.sent) == 2
    answer(on.sent[1], 10)
    assert second.status == 200
    assert [e.action for e in on.entries] == ["allow", "allow"]
    assert on.entries[1].duration_ms == 30_000
    assert on.entries[1].ts == on.now, "it is admitted when it may go"


def test_order_of_arrival_is_kept():
    on = crowd()
    ask(on, tag="a")
    for tag in "bcd":
        ask(on, tag=tag)
    for number in range(4):
        assert tags(on) == list("abcd")[: number + 1]
        answer(on.sent[number])
    assert on.guard.waiting == 0


def test_who_waits_in_one_budget_holds_up_nobody_in_another():
    on = crowd()
    ask(on, "one")
    waiting = ask(on, "one")
    free = ask(on, "two")
    assert len(on.sent) == 2
    assert not waiting.status
    answer(on.sent[1])
    assert free.status == 200
    assert on.guard.waiting == 1


def test_a_settlement_that_spends_the_budget_refuses_all_that_wait():
    on = crowd()
    ask(on)
    waiting = [ask(on), ask(on)]
    answer(on.sent[0], 5_000)
    assert [client.status for client in waiting] == [402, 402]
    assert {client.header(b"x-abg-decision") for client in waiting} == {b"block"}
    assert len(on.sent) == 1
    assert [e.action for e in on.entries] == ["warn", "block", "block"]


def test_a_failed_call_makes_room():
    on = crowd()
    ask(on)
    ask(on)
    on.sent[0].sent = False
    on.sent[0].fail("refused", "nobody there")
    assert on.entries[0].cost_usd == 0
    assert len(on.sent) == 2


@pytest.mark.parametrize(
    ("target", "headers", "body", "status"),
    [
        (b"/v1/messages", CLAUDE, ASK, 402),
        (b"/v1/responses", CODEX, {"model": "gpt-5.5", "max_output_tokens": 1_000}, 400),
        (b"/v1/chat/completions", CODEX, {"model": "gpt-4.1", "max_tokens": 1_000}, 400),
    ],
)
def test_whoever_has_waited_for_too_long_is_refused_as_busy(target, headers, body, status):
    on = crowd(session_budget_usd=Decimal("0.005"))
    on.ask(target, body, headers)
    client = on.ask(target, body, headers)
    on.pass_time(59.9)
    assert not client.status
    on.pass_time(0.1)
    assert client.status == status
    assert client.header(b"x-abg-decision") == b"busy"
    assert client.header(b"x-should-retry") == b"false"
    assert client.header(b"x-abg-budget") == b"session"
    message = client.json["error"]["message"]
    assert message.startswith("[abg] Session budget held by running requests: $0.000 spent + $0.0")
    assert " held + $0.0" in message
    assert " needed > $0.005. " in message
    assert "Raise it with: abg budget raise --session" in message
    for word in ("timeout", "credit balance is too low", "prompt is too long", "exceeded_limit"):
        assert word not in message
    entry = on.entries[-1]
    assert (entry.action, entry.cost_usd, entry.status) == ("block", 0, status)
    assert entry.reason is not None
    assert entry.reason.startswith("Session budget held by running requests")
    assert entry.duration_ms == 60_000
    assert len(on.sent) == 1


@pytest.mark.parametrize("length", [0, None])
def test_a_call_without_a_body_is_asked_for_once(length):
    # Bodies of unmetered calls stream: the end of an empty one comes while the call still waits.
    on = crowd()
    ask(on)
    headers = [(b"x-abg-session-id", b"s"), *(f for f in CODEX if f[0] != b"Content-Type")]
    waiting = on.send(Client(b"POST", b"/v1/audio/speech", headers, length), b"")
    assert on.guard.waiting == 1
    answer(on.sent[0])
    assert len(on.sent) == 2
    assert on.sent[1].ended
    on.sent[1].answer(200, b"sound")
    assert waiting.finished
    assert on.guard.waiting == 0
    assert on.book.holds() == []
    assert [entry.end for entry in on.entries] == ["complete", "complete"]


def test_a_shorter_patience():
    on = crowd(busy_wait_seconds=5)
    ask(on)
    client = ask(on)
    on.pass_time(5)
    assert client.header(b"x-abg-decision") == b"busy"
    at_once = crowd(busy_wait_seconds=0)
    ask(at_once)
    assert ask(at_once).header(b"x-abg-decision") == b"busy"


def test_a_raise_wakes_at_once():
    on = crowd()
    ask(on)
    client = ask(on)
    on.guard.event("raise", session_id="s", by_usd=Decimal(1), who="me")
    assert len(on.sent) == 2
    answer(on.sent[1])
    assert client.status == 200


def test_a_window_that_ends_wakes():
    row = {"name": "runaway", "per": "session", "window": "10m", "limit_usd": "0.05"}
    on = crowd(
        session_budget_usd=None,
        busy_wait_seconds=240,
        budgets=(parse_budget(row, "budgets[0]"),),
    )
    ask(on)
    answer(on.sent[0], 9_000)  # 0.045 of 0.05 is spent
    on.pass_time(500)
    ask(on)
    client = ask(on)
    assert len(on.sent) == 2
    assert not client.status
    due = on.guard.next_wake()
    assert due is not None
    assert (due - on.now).total_seconds() <= 100
    on.pass_time(100.5)
    assert len(on.sent) == 3


def test_a_reset_wakes():
    on = crowd(session_budget_usd=Decimal("0.05"))
    ask(on)
    answer(on.sent[0], 9_000)
    ask(on)
    client = ask(on)
    assert len(on.sent) == 2
    assert not client.status
    on.guard.event("reset", session_id="s", who="me")
    assert len(on.sent) == 3


@pytest.mark.parametrize("who", [{"session_id": "s"}, {"session_id": "*"}])
def test_the_kill_switch_wakes_and_refuses_at_once(who):
    on = crowd()
    running = ask(on)
    client = ask(on)
    on.guard.event("block", **who)
    assert client.status == 402
    assert client.header(b"x-abg-decision") == b"block"
    assert "blocked by hand" in client.json["error"]["message"]
    assert not running.status, "what runs goes on"
    on.guard.event("unblock", **who)
    answer(on.sent[0])
    ask(on)
    assert len(on.sent) == 2


def test_a_client_that_leaves_while_waiting_leaves_an_entry_and_no_hold():
    on = crowd()
    ask(on)
    second = ask(on)
    third = ask(on, tag="third")
    second.handler.gone()
    assert len(on.entries) == 1
    entry = on.entries[0]
    assert (entry.end, entry.cost_usd, entry.cost_source) == ("client_gone", 0, "none")
    assert entry.reason == "left while waiting"
    assert len(on.book.holds()) == 1
    assert on.guard.waiting == 1
    answer(on.sent[0])
    assert tags(on)[-1] == "third"
    answer(on.sent[1])
    assert third.status == 200
    assert on.corridor.open == 0
    assert on.ledger.reserved == {}


def test_voiding_the_hold_of_another_makes_room():
    on = crowd(session_budget_usd=Decimal("0.1"))
    body = {**ASK, "max_tokens": 5_000}
    headers = [*CLAUDE, (b"x-abg-session-id", b"s")]
    on.ask(b"/v1/messages", body, headers)
    client = on.ask(b"/v1/messages", body, headers)
    assert len(on.sent) == 1
    assert on.guard.void(on.book.holds()[0].id)
    assert len(on.sent) == 2
    assert not client.status


def test_stopping_turns_away_who_waits_and_lets_finish_what_runs():
    on = crowd()
    running = ask(on)
    waiting = [ask(on), ask(on)]
    on.guard.turn_away()
    assert [client.status for client in waiting] == [402, 402]
    assert {client.header(b"x-abg-decision") for client in waiting} == {b"busy"}
    assert [e.action for e in on.entries] == ["block", "block"]
    assert on.corridor.open == 1
    late = ask(on)
    assert late.header(b"x-abg-decision") == b"busy", "nobody waits any more"
    answer(on.sent[0])
    assert running.status == 200
    assert on.corridor.open == 0


def test_being_shut_while_waiting_ends_each_call_once():
    on = crowd()
    ask(on)
    client = ask(on)
    on.corridor.shut()
    assert client.header(b"x-abg-decision") == b"busy"
    assert [e.end for e in on.entries] == ["blocked", "shutdown"]
    assert len(on.sent) == 1, "nothing is sent any more"
    assert on.book.holds() == []
    assert on.corridor.open == 0


def test_a_ledger_that_breaks_meanwhile_refuses_in_its_own_words():
    on = crowd()
    ask(on)
    clients = [ask(on), ask(on)]
    on.ledger.broken = "disk full"
    answer(on.sent[0])
    assert [client.status for client in clients] == [503, 503]
    assert on.book.holds() == []
    assert on.guard.waiting == 0


@pytest.mark.parametrize("enforcement", ["estimate", "strict"])
def test_a_swarm_of_sixteen_waits_and_uses_the_budget_up(enforcement):
    on = crowd(session_budget_usd=Decimal("0.2"), enforcement=enforcement)
    clients = [ask(on) for _ in range(16)]
    done = 0
    while done < len(on.sent):
        vendor = on.sent[done]
        done += 1
        if b"count_tokens" in vendor.target:
            vendor.answer(200, {"input_tokens": 10})
        else:
            answer(vendor, 10, 900)
        on.pass_time(1)
    cost = Decimal("0.02255")
    total = on.book.session_total("s")
    refused = [c for c in clients if c.status == 402]
    assert {c.header(b"x-abg-decision") for c in refused} <= {b"block"}
    assert on.guard.waiting == 0
    if enforcement == "strict":
        assert Decimal("0.2") - cost - HOLD < total <= Decimal("0.2")
    else:
        assert Decimal("0.2") <= total <= Decimal("0.2") + cost


def test_term_wakes_who_waits_and_waits_for_what_runs(tmp_path):
    on = crowd()  # its vendor and its clients, before a whole engine
    config = Config(session_budget_usd=HOLD, daily_budget_usd=None, timezone="UTC")
    engine = Engine(
        config, Reactor(), say=on.lines.append, places=places(tmp_path), upstreams=Vendor(on)
    )
    engine.start()
    on.corridor = engine.corridor
    running, waiting = ask(on), ask(on)
    assert len(on.sent) == 1
    drained = engine.drain()
    assert waiting.header(b"x-abg-decision") == b"busy"
    assert not drained.called
    answer(on.sent[0], 10)
    assert running.status == 200
    engine.reactor.advance(0)
    assert drained.called
    engine.stop()


class Vendor:
    """The stage's vendor, for an engine."""

    def __init__(self, stage: Stage) -> None:
        self.request = stage.request

    def close(self) -> None: ...
