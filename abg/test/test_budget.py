"""Rows of the table of budgets: what they say, and what is wrong with them, in words."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from abg.budget import Budget, daily_budget, parse_budget, session_budget
from abg.errors import ConfigError
from abg.windows import LIFETIME, Window


def parse(**row):
    return parse_budget({"name": "x", "limit_usd": 5, **row}, "abg.yaml:3: budgets[0]")


def test_a_row_with_everything():
    row = {
        "name": " opus ",
        "per": "session",
        "match": {"model": "claude-opus-*", "agent": ["codex", "claude-*"]},
        "window": "10m",
        "limit_usd": 8,
        "warn_at": [0.9, 0.5],
        "action": "warn",
        "max_requests": 100,
        "max_usd_per_request": Decimal("0.5"),
    }
    assert parse_budget(row, "here") == Budget(
        name="opus",
        per="session",
        match=(("agent", ("codex", "claude-*")), ("model", ("claude-opus-*",))),
        window=Window("rolling", timedelta(minutes=10), "10m"),
        limit_usd=Decimal(8),
        warn_at=(Decimal("0.5"), Decimal("0.9")),
        action="warn",
        max_requests=100,
        max_usd_per_request=Decimal("0.5"),
    )


def test_defaults():
    assert parse() == Budget(
        "x", "none", (), LIFETIME, Decimal(5), (Decimal("0.8"),), "block", None, None
    )
    assert parse_budget(
        {"name": "x", "limit_usd": 1}, "here", warn_at=(Decimal("0.3"),)
    ).warn_at == (Decimal("0.3"),)
    nulls = dict.fromkeys(["per", "match", "window", "warn_at", "action", "max_requests"])
    assert parse(**nulls) == parse()


def test_no_limit_and_a_limit_of_nothing_are_not_confused():
    assert parse(limit_usd=None).limit_usd is None
    assert parse(limit_usd=0).limit_usd == 0
    assert parse(max_requests=0).max_requests == 0
    assert parse(max_usd_per_request=0).max_usd_per_request == 0


def test_a_float_is_read_by_its_shortest_text():
    assert parse(limit_usd=0.1).limit_usd == Decimal("0.1")


def test_the_two_rows_with_settings_of_their_own():
    assert session_budget(Decimal(5)).per == "session"
    assert session_budget(None).window == LIFETIME
    assert daily_budget(Decimal(20), ()) == Budget(
        "daily", window=Window("day"), limit_usd=Decimal(20), warn_at=()
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"limit": 5}, "limit: unknown key (did you mean limit_usd?)"),
        ({"colour": 5}, "colour: unknown key"),
        ({"name": None}, "name: each budget needs a name"),
        ({"name": 7}, "name: a name is a text: write it in quotes, not 7"),
        ({"name": "  "}, "name: each budget needs a name"),
        ({"name": "daily"}, "name: daily is the budget of daily_budget_usd"),
        ({"name": "session"}, "name: session is the budget of session_budget_usd"),
        ({"name": "a\nb"}, "name: at most 64 visible characters"),
        ({"name": "a'b"}, "no quotes"),
        ({"name": "n" * 65}, "name: at most 64"),
        ({"per": "sesion"}, "per: 'sesion' is none of session, agent,"),
        ({"per": "sesion"}, "(did you mean session?)"),
        ({"per": 3}, "per: 3 is none of"),
        ({"match": "claude-*"}, "match: a table such as {model: 'claude-opus-*'}"),
        ({"match": {"modell": "x"}}, "match: 'modell' is none of"),
        ({"match": {"none": "x"}}, "match: 'none' is none of"),
        ({"match": {"model": 5}}, "match.model: a text such as"),
        ({"match": {"model": []}}, "match.model: a text such as"),
        ({"match": {"model": ["a", ""]}}, "match.model: a text such as"),
        ({"window": "hour"}, "window: 'hour': a window is lifetime"),
        ({"window": 10}, "window: 10: a window is lifetime"),
        ({"limit_usd": "five"}, "limit_usd: an amount of USD such as 5.00, or null; not 'five'"),
        ({"limit_usd": True}, "limit_usd: an amount of USD"),
        ({"limit_usd": [5] * 60}, "limit_usd: an amount of USD such as 5.00, or null; not [5, 5"),
        ({"limit_usd": -1}, "limit_usd: cannot be negative: -1"),
        ({"limit_usd": Decimal("1e-30")}, "limit_usd: no amount of USD that could be meant: 1E-30"),
        ({"limit_usd": 10**13}, "limit_usd: no amount of USD that could be meant: 10000000000000"),
        ({"limit_usd": "1_000"}, "limit_usd: an amount of USD such as 5.00, or null; not '1_000'"),
        ({"limit_usd": float("nan")}, "limit_usd: an amount of USD"),
        ({"limit_usd": Decimal("Infinity")}, "limit_usd: an amount of USD"),
        ({"warn_at": 1.5}, "warn_at: shares of the limit between 0 and 1, not 1.5"),
        ({"warn_at": [0.5, "much"]}, "warn_at: shares of the limit between 0 and 1"),
        ({"action": "stop"}, "action: 'stop' is none of block, warn"),
        ({"max_requests": -1}, "max_requests: a whole number from 0 on"),
        ({"max_requests": 1.5}, "max_requests: a whole number from 0 on"),
        ({"max_requests": True}, "max_requests: a whole number from 0 on"),
        ({"max_usd_per_request": -1}, "max_usd_per_request: cannot be negative"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(row, message):
    with pytest.raises(ConfigError) as raised:
        parse(**row)
    assert str(raised.value).startswith("abg.yaml:3: budgets[0]: ")
    assert message in str(raised.value)


def test_a_row_without_any_limit_is_a_mistake():
    with pytest.raises(ConfigError, match="limit_usd: is missing"):
        parse_budget({"name": "x", "window": "day"}, "here")
    assert parse_budget({"name": "x", "max_requests": 3}, "here").limit_usd is None


def test_a_row_must_be_a_table():
    with pytest.raises(ConfigError, match="here: a budget is a table of keys, not 'opus'"):
        parse_budget("opus", "here")
