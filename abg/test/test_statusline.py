"""The line under the prompt: text by state, and a quiet line whatever goes wrong."""

from __future__ import annotations

import io
import json
import sys
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.cli import main
from abg.statusline import Standing, line, session_name, short, standing
from abg.test.standin import STATUS, StandIn


def status(**more):
    found = json.loads(json.dumps(STATUS), parse_float=Decimal)
    info = found["session_info"]["default"]
    info |= more.pop("info", {})
    own = next(b for b in found["budgets"] if b["key"] == "default")
    own |= more.pop("own", {})
    daily = next(b for b in found["budgets"] if b["name"] == "daily")
    daily |= more.pop("daily", {})
    return found | more


def said(**more):
    return line(standing(status(**more), "default"), colour=False)


def test_the_usual_line():
    spent = {"spent_usd": Decimal("1.23")}
    assert said(own=spent) == "abg $1.23/$5.00 session · $5.34/$20 today · 37m to cap at this pace"


@pytest.mark.parametrize(
    ("more", "tail"),
    [
        ({"own": {"spent_usd": 5}}, "STOPPED: abg budget raise --session default --by 5"),
        ({"daily": {"spent_usd": 20}}, "STOPPED: abg budget raise --budget daily --by 5"),
        ({"blocked": ["*"]}, "STOPPED: abg unblock --all"),
        ({"blocked": ["default", "*"]}, "STOPPED: abg unblock --all"),
        ({"blocked": ["default"]}, "STOPPED: abg unblock default"),
        ({"own": {"spent_usd": 5}, "locked": True}, "STOPPED: budgets are locked"),
        ({"ledger": {"healthy": False}}, "STOPPED: the ledger cannot be written (abg doctor)"),
        ({"info": {"auth": "subscription"}}, "notional, your plan pays · 8m to cap at this pace"),
        ({"own": {"spent_usd": 5}, "block_on_limit": False}, "0s to cap at this pace"),
        ({"own": {"spent_usd": 5, "action": "warn"}}, "0s to cap at this pace"),
        ({"info": {"usd_per_minute": 0}}, "$5.34/$20 today"),
        ({"info": {"usd_per_minute": Decimal("0.0001")}}, "$5.34/$20 today"),
        ({"budgets": [], "session_info": {}}, "abg $4.12 session · $5.34 today"),
    ],
)
def test_the_states(more, tail):
    assert said(**more).endswith(tail)


def test_another_budget_of_the_session_stops_it_too():
    found = status()
    runaway = {"name": "run away", "kind": "budget", "per": "session", "key": "default"}
    found["budgets"].append(runaway | {"limit_usd": 1, "spent_usd": 1})
    text = line(standing(found, "default"), colour=False)
    assert text.endswith("STOPPED: abg budget raise --budget 'run away' --by 5")


def test_the_rows_of_another_name_may_be_the_sessions_own():
    found = status(own={"name": "bugfixes", "kind": "session", "limit_usd": 2, "spent_usd": 1})
    assert line(standing(found, "default"), colour=False).startswith("abg $1.00/$2.00 session")


@pytest.mark.parametrize(
    ("spent", "marks", "tone"),
    [("1", None, "32"), ("4", None, "33"), ("5", None, "31"), ("2.5", [0.5, 0.9], "33")],
)
def test_the_colours(spent, marks, tone):
    found = standing(status(own={"spent_usd": Decimal(spent), "warn_at": marks}), "default")
    assert line(found).startswith(f"\x1b[{tone}m")


def test_budgets_of_cents_are_told_finer():
    cents = {"limit_usd": Decimal("0.05"), "spent_usd": Decimal("0.0164")}
    assert said(own=cents).startswith("abg $0.016/$0.050 session · $5.34/$20 today")


def test_a_session_that_has_not_spent_shows_its_budget():
    found = standing(status(session_info={"new": {"budget_usd": 2}}), "new")
    assert line(found, colour=False).startswith("abg $0.00/$2.00 session")


def test_a_name_cannot_steer_the_terminal_or_the_shell():
    text = line(standing(status(blocked=["a\x1b[2J;rm x"]), "a\x1b[2J;rm x"), colour=False)
    assert "\x1b" not in text
    assert text.endswith("abg unblock 'a\N{REPLACEMENT CHARACTER}[2J;rm x'")


@pytest.mark.parametrize(
    ("base", "claude", "name"),
    [
        ("http://127.0.0.1:1/s/my%20task", {"session_id": "u"}, "my task"),
        ("http://127.0.0.1:1/s/x/", {}, "x"),
        ("http://127.0.0.1:1/s/", {"session_id": "u"}, "u"),
        ("http://127.0.0.1:1", {"session_id": "u"}, "u"),
        ("", {"session_id": 5}, "default"),
        ("", {}, "default"),
    ],
)
def test_whose_session_it_is(base, claude, name):
    assert session_name(claude, {"ANTHROPIC_BASE_URL": base}) == name


@pytest.mark.parametrize(
    ("usd", "text"), [("0", "$0.00"), ("9", "$9.00"), ("20", "$20"), ("20.5", "$20.50")]
)
def test_amounts(usd, text):
    assert short(Decimal(usd)) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(STATUS)), JSON))
def test_no_status_breaks_it(strange):
    found = standing(STATUS | strange, "default")
    assert isinstance(found, Standing)
    assert line(found).startswith("\x1b[")


def run(monkeypatch, capsys, stdin, url):
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    code = main(["statusline", "--no-color", "--url", url])
    return code, capsys.readouterr().out


def test_the_command_asks_only_for_its_session(monkeypatch, capsys):
    with StandIn() as proxy:
        code, out = run(monkeypatch, capsys, '{"session_id": "default"}', proxy.url)
        assert proxy.gets == ["/abg/status?session=default"]
    assert (code, out.count("\n")) == (0, 1)
    assert out.startswith("abg $4.12/$5.00 session")


@pytest.mark.parametrize("stdin", ["", "no json", "[1]", "[" * 100_000])
def test_strange_input_is_the_default_session(monkeypatch, capsys, stdin):
    with StandIn() as proxy:
        code, out = run(monkeypatch, capsys, stdin, proxy.url)
    assert code == 0
    assert out.startswith("abg $")


def test_a_proxy_that_is_down_is_a_quiet_line(monkeypatch, capsys):
    code, out = run(monkeypatch, capsys, "{}", "http://127.0.0.1:1")
    assert (code, out) == (0, "abg: proxy is not running\n")


def test_a_proxy_that_talks_nonsense_is_a_quiet_line(monkeypatch, capsys):
    with StandIn(status=b"\xff\xfe not json") as proxy:
        assert run(monkeypatch, capsys, "{}", proxy.url) == (0, "abg: proxy is not running\n")
