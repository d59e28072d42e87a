"""The guard without a corridor: asked, held, landed, and everything that ends a call once."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

import pytest

from abg.book import Verdict
from abg.call import Call, Session
from abg.custody import Grant
from abg.dialects import DIALECTS
from abg.errors import LedgerUnavailable
from abg.outcome import so_far
from abg.test.playbook import CLAUDE, START, Stage
from abg.usage import Reading

ANTHROPIC = DIALECTS["anthropic"]
CALL = Call("anthropic", "messages", "claude-opus-4-8", max_output_tokens=100, body_bytes=300)
SESSION = Session("job", "agent", "claude-code", project="shop", subagent="explorer")
ANSWER = {
    "type": "message",
    "id": "msg_1",
    "model": "claude-opus-4-8",
    "content": [{"type": "text", "text": "x"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 200_000, "output_tokens": 0},
}


def fly(stage: Stage, call: Call = CALL, session: Session = SESSION):
    """A call that is with its vendor."""
    flight = stage.guard.ask(ANTHROPIC, call, session)
    assert flight.decision is not None
    assert flight.decision.verdict is Verdict.ALLOW
    stage.guard.depart(flight)
    flight.sent = True
    return flight


def test_landing_twice_is_landing_once():
    stage = Stage()
    flight = fly(stage)
    stage.guard.land(flight, "client_gone")
    stage.guard.land(flight, "complete", status=200)
    stage.guard.leave(flight)
    assert [e.end for e in stage.entries] == ["client_gone"]
    assert stage.book.holds() == []


def test_an_unknown_model_is_refused_where_the_user_wants_it():
    stage = Stage(unknown_model="block")
    flight = stage.guard.ask(ANTHROPIC, Call("anthropic", "messages", "claude-x-99"), SESSION)
    assert flight.decision is not None
    assert flight.decision.verdict is Verdict.BLOCK
    assert "Unknown model 'claude-x-99'" in stage.entries[0].reason
    assert b"under prices:" in stage.guard.refusal(flight).body


def test_an_unknown_model_is_told_once():
    stage = Stage()
    for _ in range(2):
        stage.guard.land(fly(stage, Call("anthropic", "messages", "claude-opus-99")), "complete")
    assert sum("unknown model" in line for line in stage.lines) == 1
    assert stage.entries[0].price == "assumed"


def test_a_token_fixes_session_and_budget():
    stage = Stage(session_budget_usd=Decimal(5))
    now = datetime(2026, 11, 25, tzinfo=timezone.utc)
    grant = Grant("id1", "0" * 64, "granted", Decimal(1), now)
    for _ in range(2):
        session = stage.guard.granted(SESSION, grant)
        assert (session.id, session.source) == ("granted", "token")
    assert [(e.event, e.data["to_usd"]) for e in stage.events] == [("raise", Decimal(1))]
    assert stage.guard.granted(SESSION, Grant("id2", "0" * 64, "free", None, now)).id == "free"
    assert len(stage.events) == 1


def test_a_budget_that_was_raised_since_is_not_lowered_by_its_token():
    stage = Stage()
    grant = Grant("id1", "0" * 64, "granted", Decimal(1), START)
    stage.guard.granted(SESSION, grant)
    stage.guard.event("raise", session_id="granted", to_usd=Decimal(3), who="me")
    again = Stage()
    for event in stage.events:
        again.guard._write_event(event)
    again.guard.granted(SESSION, grant)
    assert len(again.events) == 2
    assert again.book.limit(START, session="granted") == 3


def test_a_tokens_budget_counts_also_where_its_session_has_spent_before():
    stage = Stage(session_budget_usd=None)
    stage.spend("1", "granted")
    for id, usd in (("id1", 2), ("id2", 3)):
        stage.guard.granted(SESSION, Grant(id, "0" * 64, "granted", Decimal(usd), START))
        assert stage.book.limit(START, session="granted") == usd


def test_nothing_but_the_kill_switch_refuses_where_limits_only_warn():
    stage = Stage(unknown_model="block", block_on_limit=False)
    call = Call("anthropic", "messages", "claude-x-99")
    stage.guard.land(fly(stage, call), "complete")
    assert stage.entries[0].would_block == ("unknown_model",)
    assert "(not blocked: block_on_limit is false)" in stage.lines[-1]
    stage.guard.event("block", session_id=SESSION.id)
    flight = stage.guard.ask(ANTHROPIC, call, SESSION)
    assert flight.decision is not None
    assert flight.decision.verdict is Verdict.BLOCK


def test_voiding_needs_no_corridor():
    stage = Stage()
    flight = fly(stage)
    assert stage.guard.airborne() == [flight]
    assert stage.guard.void(flight.id)
    assert not stage.guard.void(flight.id)
    assert stage.entries[0].end == "voided"
    assert stage.guard.airborne() == []


def test_an_entry_that_cannot_be_written_is_said():
    stage = Stage()
    flight = fly(stage)
    stage.ledger.broken = "disk full"
    stage.guard.land(flight, "complete", status=200)
    assert any("ERROR ledger: disk full" in line for line in stage.lines)
    with pytest.raises(LedgerUnavailable):
        stage.guard.depart(stage.guard.ask(ANTHROPIC, CALL, SESSION))


def test_usage_of_several_models_is_told_by_model():
    stage = Stage()
    usage = {
        "input_tokens": 10,
        "output_tokens": 2,
        "iterations": [
            {"type": "message", "input_tokens": 10, "output_tokens": 2},
            {
                "type": "advisor_message",
                "model": "claude-opus-5-5",
                "input_tokens": 5,
                "output_tokens": 4,
            },
        ],
    }
    stage.ask(b"/v1/messages", {"model": "claude-sonnet-5-5", "messages": []})
    stage.vendor().answer(200, {**ANSWER, "model": "claude-sonnet-5-5", "usage": usage})
    models = stage.entries[0].models
    assert models is not None
    assert models["claude-sonnet-5-5"]["output_tokens"] == 2
    assert models["claude-opus-5-5"]["output_tokens"] == 4


def test_usage_of_one_model_in_several_rounds_is_not_told_by_model():
    stage = Stage()
    row = {"type": "message", "input_tokens": 10, "output_tokens": 2}
    usage = {"input_tokens": 10, "output_tokens": 2, "iterations": [row, {**row}]}
    stage.ask(b"/v1/messages", {"model": "claude-sonnet-5-5", "messages": []})
    stage.vendor().answer(200, {**ANSWER, "model": "claude-sonnet-5-5", "usage": usage})
    (entry,) = stage.entries
    assert (entry.models, entry.input_tokens, entry.output_tokens) == (None, 20, 4)


def test_the_projects_and_sub_agents_of_an_open_call_are_adjusted_too():
    stage = Stage()
    headers = [*CLAUDE, (b"x-abg-project", b"shop"), (b"x-claude-code-agent-id", b"a1")]
    body = {"requests": [{"custom_id": "1", "params": {"model": "claude-opus-4-8"}}]}
    stage.ask(b"/v1/messages/batches", body, headers)
    stage.vendor().answer(200, {"id": "msgbatch_1", "type": "message_batch"})
    assert stage.entries[0].open == "msgbatch_1"
    stage.ask(b"/v1/messages/batches/msgbatch_1", b"", headers, b"GET")
    stage.vendor().answer(200, {"id": "msgbatch_1", "processing_status": "in_progress"})
    assert stage.events == [], "no usage yet"
    stage.ask(b"/v1/messages/batches/msgbatch_1/results", b"", headers, b"GET")
    line = {"custom_id": "1", "result": {"type": "succeeded", "message": ANSWER}}
    stage.vendor().answer(200, line)
    data = stage.events[0].data
    assert data["project"] == "shop"
    assert data["subagent"] == "a1"
    # Batches cost half: 200,000 x 2.5 USD per million.
    assert stage.book.session_total("default") == Decimal("0.5")


def test_a_later_answer_without_an_open_call_changes_nothing():
    stage = Stage()

    class Meter:
        reading = Reading(final=True)

    stage.guard.observe("resp_unknown", DIALECTS["openai_responses"], Meter())
    assert stage.events == []


def test_what_runs_beyond_its_hold_is_noted_for_a_crash():
    stage = Stage()
    flight = fly(stage)
    assert so_far(flight, 0.01, stage.guard.table, strict=False) is None
    call = Call("anthropic", "messages", "claude-opus-4-8", max_output_tokens=100_000)
    flight = fly(stage, call)
    noted = so_far(flight, 300.0, stage.guard.table, strict=False)
    assert noted is not None
    # 200 tokens a second at 25 USD per million.
    assert noted["cost_usd"] == Decimal("1.5")


def wait(stage: Stage):
    """A call that waits for what another holds, with nobody to tell."""
    fly(stage)
    flight = stage.guard.ask(ANTHROPIC, CALL, SESSION)
    assert flight.decision is not None
    assert flight.decision.verdict is Verdict.WAIT
    return flight


def tight() -> Stage:
    return Stage(session_budget_usd=Decimal("0.001"), daily_budget_usd=None)


def test_a_waiting_call_that_nobody_listens_to_is_decided_all_the_same():
    stage = tight()
    flight = wait(stage)
    stage.pass_time(61)
    assert flight.decision.verdict is Verdict.BLOCK
    assert flight.ended
    assert stage.entries[-1].action == "block"


def test_whoever_has_left_the_queue_is_not_turned_away_too():
    stage = tight()
    flight = wait(stage)
    stage.book.leave(flight.id)
    stage.guard.turn_away()
    assert not flight.ended


def test_fates_of_calls_that_are_gone_concern_nobody(monkeypatch):
    stage = tight()
    flight = wait(stage)
    monkeypatch.setattr(stage.book, "woken", lambda now, ticks: [("gone", flight.decision)])
    stage.guard.wake()
    assert flight.waiting
    finding = flight.decision.findings[0]
    monkeypatch.setattr(stage.guard._streams, "overrun", lambda *_: {"gone": finding})
    assert stage.guard.cut_overruns()
