"""Plans that pay for calls: amounts are notional, and budgets heed them or not, as configured."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from abg.budget import parse_budget
from abg.test.playbook import CLAUDE, LOCAL, Client, Stage

PLAN = [
    *LOCAL,
    (b"authorization", b"Bearer sk-ant-oat01-fake"),
    (b"anthropic-version", b"2023-06-01"),
]
CHATGPT = [
    *LOCAL,
    (b"authorization", b"Bearer eyJ.fake"),
    (b"chatgpt-account-id", b"acc"),
    (b"session-id", b"codex-1"),
]
ASK = {"model": "claude-opus-4-8", "max_tokens": 9}


def call(stage: Stage, headers: Any, usd: str = "1") -> Client:
    """A call that costs so much, if it passes."""
    client = stage.ask(b"/v1/messages", ASK, headers)
    if not client.status:
        usage = {"input_tokens": int(Decimal(usd) * 200_000), "output_tokens": 0}
        stage.vendor().answer(200, {"type": "message", "model": ASK["model"], "usage": usage})
    return client


def test_a_plans_calls_count_and_are_called_notional():
    stage = Stage(session_budget_usd=2)
    assert [call(stage, PLAN).status for _ in range(2)] == [200, 200]
    refused = call(stage, PLAN)
    assert refused.status == 402
    assert "Session budget exhausted: $2.00 >= $2.00" in refused.json["error"]["message"]
    assert "your plan is not charged" in refused.json["error"]["message"]
    assert [entry.auth for entry in stage.entries] == ["subscription"] * 3
    allowed, warned, blocked = stage.lines
    assert allowed.endswith(" | notional: a plan pays")
    assert warned.endswith(" | Budget warning: session=$2.00/2.00; notional: a plan pays")
    assert blocked.endswith(" | Session budget exhausted: $2.00 >= $2.00; notional: a plan pays")


def test_what_a_key_pays_is_not_called_notional():
    stage = Stage(session_budget_usd=2)
    assert [call(stage, CLAUDE).status for _ in range(3)] == [200, 200, 402]
    assert not any("notional" in line for line in stage.lines)
    assert [entry.auth for entry in stage.entries] == ["api_key"] * 3


def test_codex_on_a_chatgpt_login_is_a_plan():
    stage = Stage()
    body = {"model": "gpt-5.2-codex", "input": "hi", "stream": False}
    stage.ask(b"/v1/responses", body, CHATGPT)
    usage = {"input_tokens": 1000, "output_tokens": 10}
    stage.vendor().answer(200, {"object": "response", "model": body["model"], "usage": usage})
    (entry,) = stage.entries
    assert (entry.auth, entry.session_id, entry.cost_source) == (
        "subscription",
        "codex-1",
        "measured",
    )
    assert entry.cost_usd > 0


def test_ignored_plans_pass_and_are_recorded_but_fill_no_budget():
    stage = Stage(session_budget_usd=2, daily_budget_usd=3, subscription_budgets="ignore")
    assert [call(stage, PLAN).status for _ in range(4)] == [200] * 4
    assert [entry.action for entry in stage.entries] == ["allow"] * 4
    # A key's calls have all of their budget still, and end at it.
    assert [call(stage, CLAUDE).status for _ in range(3)] == [200, 200, 402]
    assert call(stage, PLAN).status == 200
    rows = {row["name"]: row["spent_usd"] for row in stage.book.status(stage.now).budgets}
    assert rows == {"session": 2, "daily": 2}


def test_a_plans_own_budget_counts_also_where_plans_are_ignored():
    row = {"name": "plan", "match": {"auth": "subscription"}, "window": "day", "limit_usd": 1}
    own = (parse_budget(row, "test"),)
    stage = Stage(session_budget_usd=1, subscription_budgets="ignore", budgets=own)
    assert [call(stage, PLAN).status for _ in range(2)] == [200, 402]
    assert [call(stage, CLAUDE).status for _ in range(2)] == [200, 402]


@pytest.mark.parametrize("plans", ["count", "ignore"])
def test_a_sessions_more_specific_row_counts_instead_of_the_general_one(plans):
    rows = (
        {"name": "bugs", "match": {"session": "bug-*"}, "per": "session", "limit_usd": 3},
        {"name": "free", "match": {"session": "free"}, "limit_usd": None},
        {"name": "keys", "match": {"session": "s-*", "auth": "api_key"}, "limit_usd": 2},
    )
    budgets = tuple(parse_budget(row, "test") for row in rows)
    stage = Stage(session_budget_usd=1, subscription_budgets=plans, budgets=budgets)

    def passed(session: str) -> int:
        headers = [*CLAUDE, (b"x-abg-session-id", session.encode())]
        return [call(stage, headers).status for _ in range(4)].count(200)

    assert (passed("plain"), passed("bug-1"), passed("free"), passed("s-1")) == (1, 3, 4, 1)
    stage.guard.event("raise", session_id="bug-1", by_usd=1)
    assert passed("bug-1") == 1
    kinds = {row["name"]: row["kind"] for row in stage.book.status(stage.now, "bug-1").budgets}
    assert (kinds["bugs"], "session" in kinds) == ("session", False)


@pytest.mark.parametrize("plans", ["count", "ignore"])
def test_api_keys_can_be_kept_out_altogether(plans):
    row = {"name": "no keys", "match": {"auth": "api_key"}, "limit_usd": 0}
    rule = (parse_budget(row, "test"),)
    stage = Stage(budgets=rule, subscription_budgets=plans)
    refused = call(stage, CLAUDE)
    assert refused.status == 402
    assert "Budget 'no keys' exhausted: $0.00 >= $0.00" in refused.json["error"]["message"]
    assert call(stage, PLAN).status == 200
    assert len(stage.sent) == 1, "a key's call never reaches the vendor"


def test_an_unknown_model_is_told_with_the_model_whose_prices_count():
    stage = Stage()
    stage.ask(b"/v1/messages", {**ASK, "model": "claude-opus-99"})
    (line,) = [line for line in stage.lines if "unknown model" in line]
    match = stage.guard.table.resolve("anthropic", "claude-opus-99")
    assert (
        f"unknown model claude-opus-99: priced as the dearest of its family ({match.priced_as})"
        in (line)
    )
    assert match.priced_as != "claude-opus-99"
