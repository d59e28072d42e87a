"""Amounts, times and tables as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from attrs import evolve

from abg.custody import mint
from abg.home.present import age, columns, duration, many, money, share
from abg.home.status import status_text
from abg.home.tables import budget_rows, token_rows
from abg.statusline import line, standing

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("0.05", "$0.0500"),
        ("0.00004", "$0.0000"),
        ("0.1", "$0.10"),
        ("5.145", "$5.15"),
        ("-0.02", "-$0.0200"),
    ],
)
def test_amounts(amount, text):
    assert money(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("spent", "limit", "text"),
    [("4.99", "5", "99%"), ("5", "5", "100%"), ("9", "5", "180%"), ("0", "0", "100%")],
)
def test_a_share_is_never_rounded_up_to_the_whole(spent, limit, text):
    assert share(Decimal(spent), Decimal(limit)) == text


def test_no_limit_has_no_share():
    assert share(Decimal(1), None) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (8040, "2h 14m"), (200_000, "2d 7h")],
)
def test_lengths_of_time(seconds, text):
    assert duration(seconds) == text


def test_ages():
    began = (NOW - timedelta(minutes=5)).isoformat()
    assert age(began, NOW.timestamp()) == "5m"
    assert age(began.replace("+00:00", "Z"), NOW.timestamp()) == "5m"
    assert age("yesterday", NOW.timestamp()) == age("", 0) == ""


def test_numbers_of_things():
    assert (many(1, "call"), many(0, "call")) == ("1 call", "0 calls")


def test_columns_of_amounts_stand_to_the_right_and_empty_ones_are_left_out():
    rows = [("NAME", "USD", "", "X"), ("a", "$5.00", "", ""), ("bcdef", "$12.00", "", "none")]
    assert list(columns(rows)) == ["NAME      USD     X", "a       $5.00", "bcdef  $12.00  none"]


def test_no_rows_are_no_lines():
    assert list(columns([])) == []


def test_a_budget_that_was_changed_says_what_is_configured():
    row = {"name": "session", "key": "s", "limit_usd": 7, "configured_usd": 5, "spent_usd": 1}
    _, raised = budget_rows([row])
    assert (raised[5], raised[-1]) == ("$7.00", "configured: $5.00")
    (_, same), (_, given) = (
        budget_rows([{**row, "configured_usd": amount}]) for amount in (7, None)
    )
    assert (same[-1], given[-1]) == ("", "configured: none")


def test_budgets_without_a_limit():
    rows = list(budget_rows([{"name": "watch", "limit_usd": None, "spent_usd": 1, "held_usd": 1}]))
    assert rows[1][:6] == ("watch", "everything", "lifetime", "$1.00", "$1.00", "none")


def test_tokens_and_their_states():
    _, live = mint(bytes(40), "s", Decimal(5), NOW)
    until = NOW + timedelta(hours=1)
    grants = [
        live,
        evolve(live, budget_usd=None, expires=until),
        evolve(live, expires=NOW),
        evolve(live, revoked=NOW),
    ]
    rows = list(token_rows(grants, NOW))
    assert [row[-1] for row in rows[1:]] == ["live", "expires in 1h 0m", "expired", "revoked"]
    assert [row[2] for row in rows[1:3]] == ["$5.00", "configured"]


def test_a_status_with_nothing_in_it():
    assert status_text({"today_total_usd": 0}, "http://x") == (
        "abg at http://x\ntoday    $0.00\nno session has spent anything yet"
    )


def test_a_status_with_other_budgets_and_odd_rows():
    text = status_text(
        {
            "today_total_usd": Decimal("1.5"),
            "config": "/c.yaml",
            "sessions": {"a": 1, "b": 2},
            "budgets": [
                5,
                {"name": "daily", "limit_usd": None},
                {"name": "mine", "kind": "session", "key": "a", "limit_usd": None},
                {"name": "opus", "kind": "budget", "limit_usd": 10, "spent_usd": 2},
            ],
            "holds": ["?"],
            "ledger": {"healthy": False},
        },
        "http://x",
    )
    assert text.splitlines()[0] == "abg at http://x, config /c.yaml"
    assert "\ntoday    $1.50\n" in text
    assert "\nb        $2.00    none" in text
    assert "\nopus " in text


def test_times_are_said_as_people_read_them():
    daily = {"name": "daily", "limit_usd": 20, "resets_at": "2026-11-26T00:00:00+01:00"}
    text = status_text({"today_total_usd": 1, "budgets": [daily]}, "http://x")
    assert "today    $1.00 of $20.00 (0%), starts again at 2026-11-26 00:00\n" in text
    assert list(budget_rows([daily]))[1][-2] == "2026-11-26 00:00"
    odd = {**daily, "resets_at": "soon\x1b"}
    assert list(budget_rows([odd]))[1][-2] == "soon\N{REPLACEMENT CHARACTER}"


def test_blank_columns_are_explained():
    status = {"sessions": {"old": 1}, "session_info": {"old": {"budget_usd": 5}}}
    assert status_text(status, "http://x").splitlines()[-1].endswith("abg report")


def test_what_a_plan_pays_is_called_notional():
    info = {"s": {"agent": "claude-code", "auth": "subscription"}, "t": {"agent": "codex"}}
    status = {"sessions": {"s": 1, "t": 2}, "session_info": info, "today_total_usd": 3}
    lines = status_text(status, "http://x").splitlines()
    assert lines[-1].endswith("claude-code (notional: a plan pays)")
    assert lines[-2].endswith("codex")


def test_a_daily_budget_without_a_known_end():
    daily = {"name": "daily", "limit_usd": 20, "spent_usd": 5}
    text = status_text({"today_total_usd": 5, "budgets": [daily]}, "http://x")
    assert "today    $5.00 of $20.00 (25%)\n" in text


def test_a_limit_that_is_no_amount_is_no_limit():
    odd = {"name": "session", "per": "session", "key": "s", "limit_usd": "much", "spent_usd": True}
    found = standing({"today_total_usd": 1, "budgets": [odd], "sessions": {"s": "x"}}, "s")
    assert line(found, colour=False) == "abg $0.00 session · $1.00 today"


def test_a_name_that_begins_with_a_digit_is_no_number():
    rows = [("TOKEN", "USD"), ("441fec", "$1.00"), ("9a", "none")]
    assert list(columns(rows)) == ["TOKEN     USD", "441fec  $1.00", "9a       none"]
