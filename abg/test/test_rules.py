"""Which budgets speak of a call, and under which key it counts."""

from __future__ import annotations

from datetime import timezone
from decimal import Decimal

import pytest

from abg import rules as rules_room
from abg.budget import daily_budget, parse_budget, session_budget
from abg.call import Scope
from abg.rules import SEPARATOR, Rules
from abg.shapes import Shapes

UTC = timezone.utc


def row(name, **keys):
    return parse_budget({"name": name, "limit_usd": 1, **keys}, "test")


def compile(*rows):
    return Rules(rows, Shapes(UTC))


def names(rules, **scope):
    selection, _ = rules.of(Scope(**{"session": "s", **scope}))
    return [check.name for check in selection.checks]


def test_match_is_globs_and_all_of_them_must_fit():
    rules = compile(
        row("opus", match={"model": "claude-opus-*"}),
        row("codex", match={"agent": "codex"}),
        row("both", match={"agent": "codex", "model": ["gpt-*", "o?-mini"]}),
        row("shop", match={"project": "shop[12]"}),
        row("keys", match={"auth": "api_key"}),
    )
    assert names(rules, model="claude-opus-5-5") == ["opus"]
    assert names(rules, model="Claude-Opus-5-5") == ["opus"], "models are matched without case"
    assert names(rules, agent="codex", model="o3-mini") == ["codex", "both"]
    assert names(rules, agent="Codex") == []
    assert names(rules, project="shop2") == ["shop"]
    assert names(rules, project="shop3", auth="api_key") == ["keys"]


def test_what_is_counted_by_decides_the_key():
    pers = ["session", "agent", "subagent", "model", "project", "auth", "none"]
    rules = compile(*(row(f"by {per}", per=per) for per in pers))
    scope = Scope("s", "codex", "helper", "gpt-6", "shop", "api_key")
    selection, keys = rules.of(scope)
    found = {check.name: keys[check.index] for check in selection.checks}
    assert found == {
        "by session": "s",
        "by agent": "codex",
        "by subagent": f"s{SEPARATOR}helper",
        "by model": "gpt-6",
        "by project": "shop",
        "by auth": "api_key",
        "by none": "",
    }


def test_a_budget_by_subagent_speaks_of_subagents_only():
    rules = compile(row("helpers", per="subagent"))
    assert names(rules, subagent="") == []
    assert names(rules, subagent="x") == ["helpers"]


class TestTheSessionsOwnBudget:
    def rules(self):
        return compile(
            session_budget(Decimal(5)),
            daily_budget(Decimal(20)),
            row("bugfixes", per="session", match={"session": "bugfix-*"}),
            row("bugs", per="session", match={"session": "bug*"}),
            row("login", match={"session": "bugfix-login"}),
        )

    @pytest.mark.parametrize(
        ("session", "own"),
        [
            ("other", "session"),
            ("bugle", "bugs"),
            ("bugfix-1", "bugfixes"),
            ("bugfix-login", "login"),
            ("default", "session"),
        ],
    )
    def test_the_most_specific_row_stands_in_its_stead(self, session, own):
        rules = self.rules()
        assert set(names(rules, session=session)) == {own, "daily"}
        selection, _ = rules.of(Scope(session))
        assert [c.name for c in selection.checks if c.kind == "session"] == [own]
        shown = [
            checks[0].name
            for checks in rules.everything()
            if checks[0].kind == "session" and rules.speaks(checks[0], session)
        ]
        assert shown == [own]

    def test_the_first_of_two_that_are_equally_specific_counts(self):
        rules = compile(
            row("one", per="session", match={"session": "a*c"}),
            row("two", per="session", match={"session": "*ac"}),
        )
        assert names(rules, session="aac") == ["one"]

    @pytest.mark.parametrize(
        "keys",
        [
            {"per": "session", "window": "10m", "match": {"session": "s*"}},
            {"per": "session", "match": {"session": "s*", "model": "*"}},
            {"per": "session"},
            {"match": {"session": "s*"}},
            {"match": {"session": ["s", "t"]}},
            {"per": "model", "match": {"session": "s"}},
            {"per": "session", "match": {"session": "s"}, "limit_usd": None, "max_requests": 5},
        ],
    )
    def test_other_rows_stand_beside_it(self, keys):
        rules = compile(session_budget(Decimal(5)), row("other", **keys))
        assert names(rules, session="s")[:2] == ["session", "other"]

    def test_a_row_without_limit_exempts_a_session(self):
        rules = compile(
            session_budget(Decimal(5)),
            row("free", per="session", match={"session": "free"}, limit_usd=None),
        )
        selection, _ = rules.of(Scope("free"))
        assert [(c.name, c.limit) for c in selection.checks] == [("free", None)]


def test_a_row_of_one_session_counts_by_session():
    rules = compile(row("login", match={"session": "bugfix-login"}, window="day"))
    selection, keys = rules.of(Scope("bugfix-login"))
    assert [keys[check.index] for check in selection.checks] == ["bugfix-login"]
    assert names(rules, session="other") == []


def test_budgets_of_one_description_share_their_accounts():
    shapes = Shapes(UTC)
    rules = Rules(
        [
            session_budget(Decimal(5)),
            daily_budget(Decimal(20)),
            row("runaway", per="session", window="10m"),
            row("hour", per="session", window="1h"),
            row("bugs", per="session", match={"session": "bug*"}),
            row("month", window="month"),
        ],
        shapes,
    )
    selection, _ = rules.of(Scope("s"))
    assert [accounts for accounts, _ in selection.money] == [shapes.by_session, shapes.all]
    assert not rules.simple
    assert compile(session_budget(Decimal(5)), daily_budget(None)).simple


def test_requests_and_dear_requests_are_limits_of_their_own():
    rules = compile(
        row("calm", max_requests=10, max_usd_per_request=2),
        row("warns", action="warn", max_requests=10, max_usd_per_request=2),
        row("silent", warn_at=[]),
    )
    selection, _ = rules.of(Scope("s"))
    assert [(c.name, c.kind, c.limit) for c in selection.checks] == [
        ("calm", "budget", 1),
        ("calm", "requests", 10),
        ("silent", "budget", 1),
    ]
    assert [(c.name, c.kind, c.limit) for c in selection.dear] == [("calm", "request", 2)]
    assert [(c.name, c.kind, c.share) for c in selection.warners] == [
        ("calm", "budget", Decimal("0.8")),
        ("calm", "requests", Decimal("0.8")),
        ("warns", "budget", Decimal("0.8")),
        ("warns", "requests", Decimal("0.8")),
    ]
    assert len(selection.counts) == 1


def test_a_warning_budget_without_shares_warns_at_its_limit():
    selection, _ = compile(row("x", action="warn", warn_at=[])).of(Scope("s"))
    assert [check.share for check in selection.warners] == [1]


def test_two_budgets_cannot_have_one_name():
    with pytest.raises(ValueError, match="same name"):
        compile(row("x"), row("x", per="session"))


def test_selections_are_shared_and_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(rules_room, "REMEMBERED", 3)
    rules = compile(
        session_budget(Decimal(5)),
        row("bugs", per="session", match={"session": "bug*"}),
        row("opus", match={"model": "claude-opus-*"}),
        *(row(f"s{n}", per="session", window="day", match={"session": f"s{n}"}) for n in range(9)),
    )
    first = [rules.of(Scope(f"bug {n}", model=f"m{n}"))[0] for n in range(20)]
    assert len(set(map(id, first))) == 1
    for n in range(9):
        assert names(rules, session=f"s{n}") == ["session", f"s{n}"]
    assert rules.of(Scope("bug 0", model="m0"))[0].checks[0].name == "bugs"


def test_a_row_speaks_only_of_the_sessions_it_matches():
    rules = compile(
        session_budget(Decimal(5)),
        row("bugs", per="session", window="day", match={"session": "bug*"}),
        row("pool", per="model", match={"session": "bug*"}),
    )
    (own,), (bugs,), (pool,) = rules.everything()
    assert rules.speaks(own, "x") and rules.speaks(own, "bug 1")
    assert rules.speaks(bugs, "bug 1") and not rules.speaks(bugs, "x")
    assert rules.speaks(pool, "any model")


class TestDescriptions:
    def test_their_digest_knows_windows_and_zones_but_no_limits(self):
        from zoneinfo import ZoneInfo

        def digest(*rows, zone=UTC):
            shapes = Shapes(zone)
            Rules(rows, shapes)
            return shapes.digest()

        base = digest(row("a", window="10m"))
        assert base == digest(row("b", window="10m", limit_usd=99))
        assert base == digest(session_budget(Decimal(3)), row("a", window="10m"))
        assert base != digest(row("a", window="20m"))
        assert base != digest(row("a", window="10m", per="model"))
        assert base != digest(row("a", window="10m", match={"model": "x"}))
        assert base != digest(row("a", window="10m", max_requests=3))
        assert base != digest(row("a", window="10m"), zone=ZoneInfo("Europe/Berlin"))
