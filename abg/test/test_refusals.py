"""What a refused user reads, and what a program sees."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve

from abg.call import Scope
from abg.decision import Decision, Verdict
from abg.finding import Finding
from abg.refusals import decision_headers, refusal_text

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
LATER = datetime(2026, 11, 26, tzinfo=timezone.utc)
SPENT = Finding("session", "session", "job", Decimal("5.14"), limit=Decimal(5))
DAILY = Finding("daily", "daily", "", Decimal(20), limit=Decimal(20), frees_at=LATER)


def text(*findings: Finding, session: str = "job", **how: Any) -> str:
    how = {"locked": False, "zone": timezone.utc, **how}
    decision = Decision(Verdict.BLOCK, Decimal(0), NOW, findings)
    return refusal_text(decision, Scope(session), **how)


def test_it_says_why_and_what_to_do():
    assert text(SPENT) == (
        "[abg] Session budget exhausted: $5.14 >= $5.00. "
        "Raise it with: abg budget raise --session job --by 5"
    )


def test_every_budget_that_blocks_is_named_and_when_the_first_frees_up():
    said = text(DAILY, SPENT)
    assert said.startswith(
        "[abg] Daily budget exhausted: $20.00 >= $20.00; Session budget exhausted"
    )
    assert "It frees up at 2026-11-26 00:00" in said
    assert "abg budget raise --budget daily --by 5" in said


def test_when_it_frees_up_is_said_in_the_users_zone_and_not_too_early():
    assert "It frees up at 2026-11-26 05:30." in text(DAILY, zone=ZoneInfo("Asia/Kolkata"))
    soon = evolve(DAILY, frees_at=datetime(2026, 11, 25, 13, 59, 30, tzinfo=timezone.utc))
    assert "It frees up at 2026-11-25 14:00." in text(soon)


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (Finding("block", "blocked", "job"), "abg unblock job"),
        (Finding("block", "blocked", "*"), "Let them go on with: abg unblock --all"),
        (Finding("block", "blocked", "--all"), "Let it go on with: abg unblock -- --all"),
        (Finding("max", "loop", "job", Decimal(5), limit=Decimal(5)), "abg reset --session job"),
        (Finding("few", "requests", "job", Decimal(3), limit=Decimal(3)), "max_requests"),
        (
            Finding("dear", "request", "job", needed=Decimal(3), limit=Decimal(1), why="short"),
            "max_usd_per_request",
        ),
        (Finding("strict", "strict", "mcp_servers"), "enforcement: estimate"),
        (Finding("unknown_model", "unknown_model", "gpt-x"), "under prices:"),
    ],
)
def test_each_reason_has_its_remedy(finding, words):
    assert words in text(finding)


def test_who_is_only_busy_may_ask_again():
    held = Finding("session", "session", "job", limit=Decimal(5), why="held")
    assert "Ask again when they have ended" in text(held)


def test_locked_budgets_name_no_command():
    said = text(SPENT, locked=True)
    assert "locked" in said
    assert "abg budget raise" not in said
    for kind in ("blocked", "loop", "daily"):
        assert text(Finding("x", kind, "job"), locked=True).endswith("(lock_budgets).")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("requests", "max_requests"),
        ("request", "Ask for less"),
        ("strict", "Leave that part out"),
        ("unknown_model", "under prices:"),
    ],
)
def test_what_no_command_helps_has_its_remedy_where_budgets_are_locked(kind, words):
    assert words in text(Finding("x", kind, "job"), locked=True)


def test_a_plan_is_not_charged():
    assert "notional" in text(SPENT, notional=True)


def test_a_name_cannot_smuggle_a_command():
    assert "--session '; rm -rf ~' --by" in text(SPENT, session="; rm -rf ~")


@pytest.mark.parametrize("name", ["-x", "--all", "--help"])
def test_a_name_is_never_taken_for_an_option(name):
    assert text(SPENT, session=name).endswith(f"abg budget raise --session={name} --by 5")
    loop = Finding("max", "loop", name, Decimal(5), limit=Decimal(5))
    assert text(loop, session=name).endswith(f"abg reset --session={name}")
    row = Finding(name, "budget", spent=Decimal(5), limit=Decimal(5))
    assert text(row).endswith(f"abg budget raise --budget={name} --by 5")


def test_headers_are_ascii_whatever_the_names_are():
    headers = dict(decision_headers("block", Scope("größe \U0001f600"), [SPENT, DAILY]))
    assert headers[b"x-abg-decision"] == b"block"
    assert headers[b"x-abg-session"] == b"gr%C3%B6%C3%9Fe %F0%9F%98%80"
    assert headers[b"x-abg-budget"] == b"session, daily"
    assert b"x-abg-budget" not in dict(decision_headers("block", Scope("s"), []))
