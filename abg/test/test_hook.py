"""Claude Code's hooks: a word at each threshold, and quiet otherwise."""

from __future__ import annotations

import io
import json
import sys
from decimal import Decimal

import pytest

from abg.cli import main
from abg.home.hook import Told, answer, down, thresholds_of
from abg.statusline import Standing
from abg.test.standin import StandIn, own_places

AT = (Decimal("0.8"),)


def standing(**more):
    facts = {
        "name": "my task",
        "spent": Decimal("1.00"),
        "limit": Decimal("5.00"),
        "today": Decimal("1.00"),
        "daily_limit": Decimal("20"),
        "held": Decimal(0),
        "minutes_left": None,
        "requests": 100,
        "stopped": "",
        "warns": False,
        "locked": False,
        "notional": False,
    }
    return Standing(**(facts | {k: Decimal(v) if k in AMOUNTS else v for k, v in more.items()}))


AMOUNTS = ("spent", "today", "limit", "daily_limit")


def said(event="UserPromptSubmit", told=None, to_model=False, **more):
    return answer(event, standing(**more), AT, told or Told(), to_model=to_model)


def test_far_from_the_cap_nothing_is_said():
    assert said() == ({}, Told())


def test_at_a_threshold_the_user_is_told_once():
    words, told = said(spent="4.38")
    assert words == {"systemMessage": "[abg] $0.62 of $5.00 left, about 14 requests at this pace"}
    assert told.share == Decimal("0.8")
    assert said(spent="4.40", told=told) == ({}, told)
    again, told = said(spent="4.80", told=told)
    assert "$0.20 of $5.00 left" in again["systemMessage"]
    assert told.share == Decimal("0.95")


def test_the_model_is_told_only_when_asked_for():
    words, _ = said("PostToolUse", spent="4.38", to_model=True)
    assert words["hookSpecificOutput"] == {
        "hookEventName": "PostToolUse",
        "additionalContext": "[abg] Budget: $0.62 of $5.00 left, about 14 requests at this pace: "
        "finish and commit what you have.",
    }
    assert "hookSpecificOutput" not in said("Stop", spent="4.38", to_model=True)[0]


def test_the_nearer_of_two_caps_is_named():
    words, _ = said(today="19.5")
    assert words["systemMessage"].startswith("[abg] $0.50 of $20.00 left")


def test_without_requests_no_pace_is_named():
    assert said(spent="4.38", requests=0)[0]["systemMessage"] == "[abg] $0.62 of $5.00 left"


def test_a_raised_budget_is_told_of_again():
    words, told = said(spent="4.80", limit="10", told=Told(Decimal("0.95"), "session"))
    assert (words, told) == ({}, Told())
    assert said(spent="8.2", limit="10", told=told)[0]


def test_a_budget_of_nothing_has_nothing_left():
    words, _ = said(limit="0", spent="0")
    assert "$0.00 of $0.00 left" in words["systemMessage"]


def test_without_any_cap_nothing_is_said():
    found = standing()._replace(limit=None, daily_limit=None)
    assert answer("UserPromptSubmit", found, AT, Told(), to_model=True) == ({}, Told())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"stopped": "session", "spent": "5.14"},
            "[abg] Session budget exhausted: $5.14 >= $5.00. "
            "Raise it with: abg budget raise --session 'my task' --by 5",
        ),
        (
            {"stopped": "daily", "today": "20.5"},
            "[abg] Daily budget exhausted: $20.50 >= $20.00. "
            "Raise it with: abg budget raise --budget daily --by 5",
        ),
        (
            {"stopped": "session", "spent": "5", "locked": True},
            "[abg] Session budget exhausted: $5.00 >= $5.00. "
            "Budgets are locked by the configuration",
        ),
        (
            {"stopped": "budget", "stopped_by": "runaway"},
            "[abg] Budget runaway exhausted. "
            "Raise it with: abg budget raise --budget runaway --by 5",
        ),
        (
            {"stopped": "blocked", "stopped_by": "*"},
            "[abg] All sessions are blocked. Let them go on with: abg unblock --all",
        ),
        (
            {"stopped": "blocked", "stopped_by": "my task"},
            "[abg] This session is blocked. Let it go on with: abg unblock 'my task'",
        ),
        (
            {"stopped": "ledger"},
            "[abg] The ledger cannot be written, so no call passes. See: abg doctor",
        ),
    ],
)
def test_once_stopped_each_prompt_gets_the_reason_and_the_remedy(more, words):
    message, told = said(**more)
    assert message == {"systemMessage": words}
    assert said(told=told, **more)[0] == message


def test_once_stopped_tools_in_a_row_are_told_once():
    message, told = said("PostToolUse", stopped="session", spent="5")
    assert message
    assert said("PostToolUse", stopped="session", spent="5", told=told)[0] == {}


def test_amounts_under_a_plan_are_called_notional():
    assert "notional" in said(spent="4.5", notional=True)[0]["systemMessage"]
    assert "notional" in said(spent="5", stopped="session", notional=True)[0]["systemMessage"]


@pytest.mark.parametrize(
    "kept", [None, [], {}, {"share": 1}, {"share": "x"}, {"share": "0.8", "stopped": 5}]
)
def test_whatever_was_kept_is_read(kept):
    assert Told.parse(kept).stopped == ""


def test_what_was_told_is_kept_and_read():
    told = Told(Decimal("0.8"), "daily")
    assert Told.parse(json.loads(json.dumps(told.as_dict()))) == told


@pytest.mark.parametrize(
    ("event", "base", "speaks"),
    [
        ("SessionStart", "http://127.0.0.1:8788", True),
        ("SessionStart", "https://api.anthropic.com", False),
        ("SessionStart", "", False),
        ("PostToolUse", "http://127.0.0.1:8788", False),
    ],
)
def test_while_the_proxy_is_down(event, base, speaks):
    assert bool(down(event, base)) is speaks


def budget(**more):
    return {"budgets": [{"name": "daily"}, {"name": "session", "key": "s", **more}]}


@pytest.mark.parametrize(
    ("status", "marks"),
    [
        (budget(warn_at=[Decimal("0.5"), 1, "x"]), ("0.5", "1")),
        (budget(warn_at=[]), ("0.8",)),
        (budget(), ("0.8",)),
        ({}, ("0.8",)),
    ],
)
def test_the_thresholds_are_the_configured_ones(status, marks):
    assert thresholds_of(status, "s") == tuple(map(Decimal, marks))


@pytest.fixture
def hook(tmp_path, monkeypatch, capsys):
    own_places(monkeypatch, tmp_path)

    def ask(url, event="UserPromptSubmit", words=(), stdin=None):
        said = json.dumps({"hook_event_name": event, "session_id": "default"})
        monkeypatch.setattr(sys, "stdin", io.StringIO(said if stdin is None else stdin))
        assert main(["hook", "--url", url, *words]) == 0
        out = capsys.readouterr().out
        return json.loads(out) if out else {}

    return ask


def test_the_command_speaks_once_at_a_threshold(hook):
    with StandIn() as proxy:
        assert "$0.88 of $5.00 left" in hook(proxy.url)["systemMessage"]
        assert hook(proxy.url) == {}


def test_the_command_tells_the_model_by_flag_or_by_configuration(hook, tmp_path):
    with StandIn() as proxy:
        assert "hookSpecificOutput" in hook(proxy.url, words=["--tell-model"])
        for kept in (tmp_path / "state" / "abg" / "told").iterdir():
            kept.unlink()
        proxy.status["hook_tells_model"] = True
        assert "hookSpecificOutput" in hook(proxy.url)


def test_the_command_is_quiet_while_the_proxy_is_down(hook, monkeypatch):
    assert hook("http://127.0.0.1:1") == {}
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    assert "abg proxy" in hook("http://127.0.0.1:1", "SessionStart")["systemMessage"]


@pytest.mark.parametrize("stdin", ["", "nonsense", "[]"])
def test_the_command_breaks_on_no_input(hook, stdin):
    with StandIn(status={"today_total_usd": 0, "budgets": 5}) as proxy:
        assert hook(proxy.url, stdin=stdin) == {}


def test_a_state_folder_that_cannot_be_written_breaks_nothing(hook, tmp_path):
    (tmp_path / "state" / "abg" / "told").write_text("")
    with StandIn() as proxy:
        assert hook(proxy.url) == hook(proxy.url) != {}
